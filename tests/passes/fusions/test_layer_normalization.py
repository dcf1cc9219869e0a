"""LayerNorm and RMSNorm in pieces become one operator, with the residual addition before them where there is one."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from tests.passes.fusions.fusing import assert_left_alone, draw, fuse, normal, operators, reasons, run

X = {"x": normal(2, 5, 8)}
CENTER = "mean = ReduceMean <axes=[-1]> (x) d = Sub(x, mean) "
VARIANCE = "p = Pow(d, two) v = ReduceMean <axes=[-1]> (p) ve = Add(v, eps) s = Sqrt(ve) "
LAYER_NORM = {
    "torch": CENTER + VARIANCE + "n = Div(d, s) w = Mul(n, gamma) y = Add(w, beta)",
    "reciprocal": CENTER + VARIANCE + "r = Reciprocal(s) n = Mul(d, r) w = Mul(gamma, n) y = Add(beta, w)",
    "product": CENTER
    + (
        "p = Mul(d, d) v = ReduceMean <axes=[2]> (p) ve = Add(eps, v) s = Sqrt(ve) n = Div(d, s) w "
        "= Mul(n, gamma) y = Add(w, beta)"
    ),
    "subtracted twice": CENTER
    + (
        "d2 = Sub(x, mean) p = Pow(d2, two) v = ReduceMean <axes=[-1]> (p) ve = Add(v, eps) s = "
        "Sqrt(ve) n = Div(d, s) w = Mul(n, gamma) y = Add(w, beta)"
    ),
    "tensorflow": CENTER
    + (
        "p = Mul(d, d) v = ReduceMean <axes=[-1]> (p) ve = Add(v, eps) s = Sqrt(ve) r = "
        "Reciprocal(s) f = Mul(r, gamma) xf = Mul(x, f) mf = Mul(mean, f) b = Sub(beta, mf) y = "
        "Add(xf, b)"
    ),
}
RMS_NORM = {
    "torch": (
        "p = Pow(x, two) v = ReduceMean <axes=[-1]> (p) ve = Add(v, eps) s = Sqrt(ve) r = "
        "Reciprocal(s) n = Mul(x, r) y = Mul(gamma, n)"
    ),
    "quotient": (
        "p = Mul(x, x) v = ReduceMean <axes=[-1]> (p) ve = Add(v, eps) s = Sqrt(ve) n = Div(x, s) y = Mul(n, gamma)"
    ),
}


def graph(body: str, outputs: str = "float[B, S, 8] y", opset: int = 17, epsilon: float = 1e-5) -> ir.Model:
    if opset >= 18:  # axes are an input
        for axes in ("<axes=[-1]> (x)", "<axes=[-1]> (p)", "<axes=[2]> (p)"):
            body = body.replace(axes, f"({axes[-2]}, last)")
    weights = {"gamma": normal(8, seed=1), "beta": normal(8, seed=2), "eps": np.asarray(epsilon, np.float32)}
    weights |= {"two": np.asarray(2, np.float32), "last": np.asarray([-1])}
    used = {name: array for name, array in weights.items() if f"{name})" in body or f"({name}," in body}
    return draw(f"g (float[B, S, 8] x) => ({outputs}) {{ {body} }}", used, opset)


@pytest.mark.parametrize("body", LAYER_NORM.values(), ids=LAYER_NORM)
@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize("epsilon", [1e-12, 0.1])
def test_fuses_every_spelling(body: str, opset: int, epsilon: float) -> None:
    result = fuse(graph(body, opset=opset, epsilon=epsilon), X)
    assert operators(result.model) == {"LayerNormalization": 1}
    assert result.counts["layer_normalization_fused"] == 1


@pytest.mark.parametrize("body", RMS_NORM.values(), ids=RMS_NORM)
def test_fuses_without_a_mean_from_opset_23_on(body: str) -> None:
    assert operators(fuse(graph(body, opset=23), X).model) == {"RMSNormalization": 1}
    result = assert_left_alone(graph(body, opset=18), X)
    assert reasons(result) == ["no operator of opset 18 normalizes in one step without a residual addition before it"]


def test_takes_in_the_casts_that_widen_half_precision_for_the_norm() -> None:
    body = (
        "h = Cast <to=10> (x) c = Cast <to=1> (h) p = Pow(c, two) v = ReduceMean <axes=[-1]> (p) ve = Add(v, eps) "
        "s = Sqrt(ve) r = Reciprocal(s) n = Mul(c, r) nh = Cast <to=10> (n) gh = Cast <to=10> (gamma) m = Mul(gh, nh) "
        "y = Cast <to=1> (m)"
    )
    result = fuse(graph(body, opset=23), X, tolerance=2e-3)  # two roundings of 11 bits
    assert operators(result.model) == {"Cast": 3, "RMSNormalization": 1}
    wide = body.partition("nh =")[0] + "y = Mul(gamma, n)"
    result = fuse(graph(wide, opset=23), X)
    assert operators(result.model)["RMSNormalization"] == 1
    assert operators(result.model)["Cast"] == 2, "what is widened for good stays wide"


def with_skip(body: str, outputs: str = "float[B, S, 8] y", opset: int = 17) -> ir.Model:
    model = graph(body, outputs, opset)
    proto = ir.to_proto(model)
    proto.graph.input[0].name = "u"
    other = proto.graph.input.add()
    other.CopyFrom(proto.graph.input[0])
    other.name = "skip"
    added = draw("g (float[B, S, 8] u, float[B, S, 8] skip) => (float[B, S, 8] x) { x = Add(u, skip) }")
    proto.graph.node.insert(0, ir.to_proto(added).graph.node[0])
    return ir.from_proto(proto)


FEEDS = {"u": normal(2, 5, 8), "skip": normal(2, 5, 8, seed=3)}


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize(
    "body", [*LAYER_NORM.values(), *RMS_NORM.values()], ids=[*LAYER_NORM, *(f"rms {n}" for n in RMS_NORM)]
)
def test_takes_in_the_addition_before(body: str, opset: int) -> None:
    result = fuse(with_skip(body, opset=opset), FEEDS)
    name = "SkipLayerNormalization" if "mean" in body else "SkipSimplifiedLayerNormalization"
    assert operators(result.model) == {name: 1}


def test_says_that_the_form_with_the_addition_is_left_out() -> None:
    result = fuse(with_skip(LAYER_NORM["torch"], opset=11), without=frozenset({"skip_layer_normalization"}))
    assert reasons(result) == [
        "no operator of opset 11 normalizes in one step without a residual addition before it, "
        "which is left out as a kind"
    ]


def test_gives_the_sum_to_whoever_else_reads_it() -> None:
    result = fuse(with_skip(LAYER_NORM["torch"], "float[B, S, 8] y, float[B, S, 8] x"), FEEDS)
    assert operators(result.model) == {"SkipLayerNormalization": 1}
    assert [output.name for output in result.model.graph.outputs] == ["y", "x"]


def test_takes_in_a_bias_before_the_addition() -> None:
    text = (
        "g (float[B, S, 8] u, float[B, S, 8] skip) => (float[B, S, 8] y) { b = Add(bias, u) x = "
        "Add(b, skip) y = LayerNormalization(x, gamma, beta) }"
    )
    result = fuse(draw(text, {"bias": normal(8), "gamma": normal(8), "beta": normal(8)}), FEEDS)
    assert operators(result.model) == {"SkipLayerNormalization": 1}


def test_leaves_an_addition_that_repeats_a_batch_of_more_than_one_axis_alone() -> None:
    text = (
        "g (float[B, S, 8] u, float[B, 1, 8] skip) => (float[B, S, 8] y) { x = Add(u, skip) y = "
        "LayerNormalization(x, gamma) }"
    )
    assert_left_alone(draw(text, {"gamma": normal(8)}), {"u": normal(2, 5, 8), "skip": normal(2, 1, 8)})


def test_leaves_four_axes_alone() -> None:
    text = (
        "g (float[1, 2, 3, 8] u, float[1, 2, 3, 8] s) => (float[1, 2, 3, 8] y) { x = Add(u, s) y = "
        "LayerNormalization(x, gamma) }"
    )
    assert_left_alone(draw(text, {"gamma": normal(8)}), {"u": normal(1, 2, 3, 8), "s": normal(1, 2, 3, 8, seed=1)})


@pytest.mark.parametrize(
    "body",
    [
        LAYER_NORM["torch"].replace("axes=[-1]> (p)", "axes=[1]> (p)"),
        LAYER_NORM["torch"].replace("axes=[-1]> (x)", "axes=[1]> (x)"),
        LAYER_NORM["torch"].replace("Sub(x, mean)", "Sub(mean, x)"),
        LAYER_NORM["torch"].replace("Div(d, s)", "Div(s, d)"),
    ],
    ids=["variance over rows", "mean over rows", "negative", "upside down"],
)
def test_leaves_what_only_looks_like_it(body: str) -> None:
    assert_left_alone(graph(body), X)


@pytest.mark.parametrize("inner", ["mean", "v", "n"])
def test_leaves_inner_values_that_are_outputs_alone(inner: str) -> None:
    width = 8 if inner == "n" else 1
    assert_left_alone(graph(LAYER_NORM["torch"], f"float[B, S, 8] y, float[B, S, {width}] {inner}"), X)


def test_leaves_the_mean_of_tensorflow_form_that_is_an_output_alone() -> None:
    assert_left_alone(graph(LAYER_NORM["tensorflow"], "float[B, S, 8] y, float[B, S, 1] mean"), X)


def test_leaves_a_mean_that_drops_its_axis_alone() -> None:
    body = LAYER_NORM["torch"].replace("<axes=[-1]> (p)", "<axes=[-1], keepdims=0> (p)")
    model = graph(body, "float[8, 8, 8] y").clone()
    model.graph.inputs[0].shape = ir.Shape((8, 8, 8))
    assert_left_alone(model, {"x": normal(8, 8, 8)})


def test_cube_is_not_a_square() -> None:
    model = graph(LAYER_NORM["torch"])
    three = np.asarray(3, np.float32)
    model.graph.initializers["two"].const_value = ir.tensor(three, name="two")
    assert_left_alone(model)


def test_without_skip_only_the_normalization_is_fused() -> None:
    result = fuse(with_skip(LAYER_NORM["torch"]), FEEDS, without=frozenset({"skip_layer_normalization"}))
    assert operators(result.model) == {"Add": 1, "LayerNormalization": 1}
    assert run(result.model, FEEDS)[0].shape == (2, 5, 8)
