"""The fuse pass as a whole: what it keeps, what it reads, what it offers when a result does not hold."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from compressor.errors import OptionError
from compressor.model.load import load
from compressor.model.weights import ComputedWeight, StoredWeight
from compressor.passes.fuse import KINDS, SLOW_KINDS, FuseTransformer
from tests.passes.fusions.fusing import Array, draw, fuse, normal, operators, run
from tests.passes.fusions.test_multi_head_attention import FEEDS, SPELLINGS, graph

FIXTURES = Path(__file__).parents[2] / "fixtures"
ATTENTION = {
    "albert.eager.torchscript11": 4,
    "albert.sdpa.dynamo": 4,
    "bert.eager.torchscript11": 2,
    "bert.sdpa.torchscript17": 2,
    "bert-mlm.sdpa.dynamo": 1,
    "gpt2.eager.torchscript17": 2,
    "gpt2-external.sdpa.dynamo": 2,
    "llama.sdpa.torchscript17": 1,
    "roberta.eager.torchscript12": 1,
    "t5.eager.torchscript17": 6,
    "vit.sdpa.torchscript17": 2,
}
"""Attention layers of the fixtures, every one of which must be fused."""


@pytest.mark.parametrize(("name", "layers"), ATTENTION.items())
def test_fuses_every_attention_of_the_fixtures(name: str, layers: int) -> None:
    model = load(FIXTURES / f"{name}.onnx")
    assert sum(node.op_type == "Softmax" for node in model.graph) == layers
    result = FuseTransformer().run(model)
    assert result.counts["attention_fused"] == layers
    assert "Softmax" not in operators(result.model)


@pytest.mark.parametrize("name", ATTENTION)
def test_reads_no_weight_of_any_size(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(FIXTURES / f"{name}.onnx")

    def read(*_: object) -> Iterator[memoryview]:
        raise AssertionError("a weight was read")

    monkeypatch.setattr(StoredWeight, "read", read)
    monkeypatch.setattr(StoredWeight, "chunks", read)
    monkeypatch.setattr(ComputedWeight, "chunks", read)
    assert FuseTransformer().run(model).is_changed


def test_keeps_names_types_and_order_of_inputs_and_outputs_and_inputs_nobody_reads() -> None:
    body = SPELLINGS["key transposed at once"].replace("y = MatMul(cm, wo)", "z = MatMul(cm, wo) y = Identity(cm)")
    model = graph(body, "float[B, S, 8] y, float[B, S, 8] z", "int64[N] unused, float[B, S, 8] x, int64[B, S] mask")
    feeds = [{**feed, "unused": np.zeros(3, np.int64)} for feed in FEEDS]
    before = ir.to_proto(model)
    after = ir.to_proto(fuse(model, *feeds).model)
    assert list(before.graph.input) == list(after.graph.input)
    assert list(before.graph.output) == list(after.graph.output)


def test_an_attention_whose_result_is_an_output_keeps_the_name() -> None:
    body = SPELLINGS["key transposed at once"].replace("y = MatMul(cm, wo)", "").replace("cm =", "y =")
    result = fuse(graph(body), *FEEDS)
    assert operators(result.model)["MultiHeadAttention"] == 1
    assert [output.name for output in result.model.graph.outputs] == ["y"]


def test_fuses_inside_branches_and_leaves_what_they_read_outside() -> None:
    text = """g (bool c, float[B, 8] x) => (float[B, 8] y) {
        h = Div(x, r2)
        y = If (c) <
            then_branch = a () => (float[B, 8] p) { e = Erf(h) s = Add(e, one) m = Mul(x, s) p = Mul(m, half) },
            else_branch = b () => (float[B, 8] q) {
                d = Div(x, r2) e = Erf(d) s = Add(e, one) m = Mul(x, s) q = Mul(m, half) }
        > }"""
    constants = {"r2": np.sqrt(2), "one": 1, "half": 0.5}
    weights: dict[str, Array] = {name: np.asarray(number, np.float32) for name, number in constants.items()}
    model = draw(text, weights)
    feeds = [{"c": np.asarray(c), "x": normal(2, 8)} for c in (True, False)]
    result = fuse(model, *feeds)
    assert operators(result.model)["Gelu"] == 2


def test_does_not_take_sizes_inside_a_loop_for_those_outside() -> None:
    text = """g (int64 n, int64[1] zero, float[S, 4] x) => (float[T, 4] y, int64[1] width) {
        d = Shape(x) rows = Gather(d, i0) target = Concat <axis=0> (rows, minus)
        y, width = Loop (n, , x, zero) <body = b (int64 i, bool go, float[S, 4] s, int64[1] w) =>
            (bool on, float[U, 4] t, int64[1] w2) {
            on = Identity(go) t = Concat <axis=0> (s, s)
            r = Reshape(s, target) e = Shape(r) c = Gather(e, i1) w2 = Add(w, c)
        }> }"""
    model = draw(text, {"minus": np.asarray([-1]), "i0": np.asarray([0]), "i1": np.asarray([1])})
    feed = {"n": np.asarray(3), "zero": np.asarray([0]), "x": normal(2, 4)}
    assert run(fuse(model, feed).model, feed)[1] == 4 + 8 + 16


def test_overridable_constants_are_not_constants() -> None:
    text = (
        "g (float[B, 8] x, float half) => (float[B, 8] y) { d = Div(x, r2) e = Erf(d) a = Add(e, "
        "one) m = Mul(x, a) y = Mul(m, half) }"
    )
    constants = {"r2": np.sqrt(2), "one": 1, "half": 0.5}
    model = draw(text, {name: np.asarray(number, np.float32) for name, number in constants.items()})
    feed = {"x": normal(2, 8), "half": np.asarray(0.25, np.float32)}
    result = fuse(model, feed)
    assert "Gelu" not in operators(result.model)


def test_names_it_makes_do_not_clash_with_those_in_inner_graphs() -> None:
    body = SPELLINGS["no mask"]
    model = graph(
        body.replace("y = MatMul(cm, wo)", "cm_fused = MatMul(cm, wo) y = Identity(cm_fused)"),
        inputs="float[B, S, 8] x",
    )
    fuse(model, {"x": normal(2, 3, 8)})


def test_equal_computations_of_random_numbers_stay_apart() -> None:
    text = "g (float[4] x) => (float[4] y) { a = RandomNormalLike(x) b = RandomNormalLike(x) y = Sub(a, b) }"
    result = FuseTransformer().run(draw(text))
    assert operators(result.model)["RandomNormalLike"] == 2
    assert np.abs(run(result.model, {"x": normal(4)})[0]).max() > 0


def test_imports_the_domain_of_fused_operators_only_where_one_is_used() -> None:
    assert (
        "com.microsoft"
        not in FuseTransformer().run(draw("g (float[4] x) => (float[4] y) { y = Relu(x) }")).model.graph.opset_imports
    )
    assert fuse(graph(SPELLINGS["einsum"]), *FEEDS).model.graph.opset_imports["com.microsoft"] == 1


def test_knows_the_standard_by_its_other_name() -> None:
    proto = ir.to_proto(graph(SPELLINGS["key transposed at once"]))
    proto.opset_import[0].domain = "ai.onnx"
    result = FuseTransformer().run(ir.from_proto(proto))
    assert result.counts["attention_fused"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_leaves_out_what_it_is_told_to(kind: str) -> None:
    model = load(FIXTURES / "bert.sdpa.torchscript17.onnx")
    counts = FuseTransformer(without=frozenset({kind})).run(model).counts
    assert f"{kind}_fused" not in counts
    assert any(f"{other}_fused" in counts for other in KINDS if other != kind)


def test_offers_less_and_less() -> None:
    model = load(FIXTURES / "bert.sdpa.torchscript17.onnx")
    results = list(FuseTransformer().alternatives(model))
    assert len(results) == 1 + len(KINDS) - len(SLOW_KINDS)
    nodes = [result.model.graph.num_nodes() for result in results]
    assert nodes[0] == min(nodes)


@pytest.mark.parametrize("options", [{"without": frozenset({"softmax"})}, {"engines": ("tensorrt",)}])
def test_refuses_unknown_names(options: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="choose from"):
        FuseTransformer(**options)  # type: ignore[arg-type]  # what a recipe file may say


def test_time_grows_with_the_graph_and_no_faster() -> None:
    def seconds(layers: int) -> float:
        model = _chain(layers)
        started = time.process_time()
        counts = FuseTransformer().run(model).counts
        assert counts["gelu_fused"] == layers
        return time.process_time() - started

    few, many = seconds(100), seconds(800)
    assert many < 8 * few * 3 + 0.5, "eight times the nodes take about eight times as long"


@pytest.mark.parametrize(
    "text",
    [
        "g (float[A, 1] v0, float[B, 1] v1) => (float[C, D] v61) { "
        + " ".join(f"v{i + 2} = Add(v{i}, v{i + 1})" for i in range(60))
        + " }",
        "g (float[A, 2, B, 4] v0) => (float[A, 2, B, 4] y) { "
        + " ".join(f"v{i + 1} = {'Add' if i % 2 else 'Mul'}(v{i}, v{i})" for i in range(60))
        + " y = Softmax(v60) }",
    ],
    ids=["sizes named after sizes", "scores of scores"],
)
def test_time_does_not_double_with_each_node_that_reads_two(text: str) -> None:
    started = time.process_time()
    FuseTransformer().run(draw(text))
    assert time.process_time() - started < 5, "a hundredth of that; doubled, it would take years"


def _chain(layers: int) -> ir.Model:
    nodes, value = [], "x"
    for layer in range(layers):
        steps = [("Div", value, "r2"), ("Erf", f"Div{layer}", ""), ("Add", f"Erf{layer}", "one")]
        steps += [("Mul", value, f"Add{layer}"), ("Mul", f"Mul{layer}", "half")]
        for index, (op_type, *inputs) in enumerate(steps):
            name = f"{op_type}{layer}" if index < 4 else f"y{layer}"
            nodes.append(onnx.helper.make_node(op_type, [given for given in inputs if given], [name]))
        value = f"y{layer}"
    interface = [onnx.helper.make_tensor_value_info(name, 1, ["B", 8]) for name in ("x", value)]
    constants = [("r2", np.sqrt(2)), ("one", 1.0), ("half", 0.5)]
    weights = [onnx.numpy_helper.from_array(np.asarray(number, np.float32), name) for name, number in constants]
    proto = onnx.helper.make_graph(nodes, "g", interface[:1], interface[1:], weights)
    imports = [onnx.helper.make_opsetid("", 17)]
    return ir.from_proto(onnx.helper.make_model(proto, opset_imports=imports, ir_version=8))
