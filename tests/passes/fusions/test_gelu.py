"""GELU in every spelling exporters use becomes one operator; anything that only looks like it stays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest

from compressor.passes.fuse import SLOW_KINDS
from tests.passes.fusions.fusing import assert_left_alone, draw, fuse, normal, operators

HALF_TOLERANCE = 4 * 2.0**-10
"""Some roundings of float16, relative to the largest output."""

X = {"x": 3 * normal(2, 5, 8)}

ERF = {
    "torch": "d = Div(x, r2) e = Erf(d) a = Add(e, one) m = Mul(x, a) y = Mul(m, half)",
    "half first": "d = Div(x, r2) e = Erf(d) a = Add(e, one) h = Mul(x, half) y = Mul(h, a)",
    "half on the sum": "d = Mul(x, ir2) e = Erf(d) a = Add(one, e) h = Mul(half, a) y = Mul(h, x)",
    "halved by division": "d = Div(x, r2) e = Erf(d) a = Add(e, one) m = Mul(x, a) y = Div(m, two)",
    "half of x by division": "h = Div(x, two) d = Div(x, r2) e = Erf(d) a = Add(e, one) y = Mul(h, a)",
    "half of the gate first": "d = Div(x, r2) e = Erf(d) h = Mul(e, half) a = Add(h, half) y = Mul(a, x)",
    "complement": "d = Mul(x, mir2) e = Erf(d) c = Sub(one, e) h = Div(c, two) y = Mul(x, h)",
}
TANH = {
    "cube": (
        "p = Pow(x, three) c = Mul(p, k) i = Add(x, c) s = Mul(i, r) t = Tanh(s) a = Add(t, one) h "
        "= Mul(x, half) y = Mul(h, a)"
    ),
    "products": (
        "q = Mul(x, x) p = Mul(x, q) c = Mul(k, p) i = Add(x, c) s = Mul(r, i) t = Tanh(s) a = "
        "Add(one, t) m = Mul(x, a) y = Mul(m, half)"
    ),
    "factored": (
        "rx = Mul(x, r) kx = Mul(x, k) q = Mul(kx, x) b = Add(q, one) s = Mul(rx, b) t = Tanh(s) a "
        "= Add(t, one) h = Mul(x, half) y = Mul(h, a)"
    ),
    "sigmoid": "q = Mul(x, x) p = Mul(x, q) c = Mul(k, p) i = Add(x, c) s = Mul(rr, i) g = Sigmoid(s) y = Mul(x, g)",
}
MIXED = {
    "gate in float32": (
        "d = Div(x, r2) f = Cast<to = 1>(d) e = Erf(f) h = Cast<to = 10>(e) a = Add(h, one) m = Mul(x, a) "
        "y = Mul(m, half)"
    ),
    "cube in float32": (
        "f = Cast<to = 1>(x) p = Pow(f, fthree) c = Mul(p, fk) i = Add(f, c) s = Mul(i, fr) t = Tanh(s) "
        "a = Add(t, fone) h = Mul(x, half) w = Cast<to = 1>(h) v = Mul(w, a) y = Cast<to = 10>(v)"
    ),
    "all in float32": (
        "f = Cast<to = 1>(x) d = Div(f, fr2) e = Erf(d) a = Add(e, fone) m = Mul(f, a) z = Mul(m, fhalf) "
        "y = Cast<to = 10>(z)"
    ),
    "sigmoid in float32": "s = Mul(x, r) f = Cast<to = 1>(s) b = Sigmoid(f) g = Cast<to = 10>(b) y = Mul(x, g)",
}
CONSTANTS = {
    "r2": np.float32(np.sqrt(2)),
    "ir2": np.float32(np.sqrt(0.5)),
    "one": np.float32(1),
    "half": np.float32(0.5),
    "two": np.float32(2),
    "mir2": np.float32(-np.sqrt(0.5)),
    "rr": np.float32(2 * np.sqrt(2 / np.pi)),
    "three": np.float32(3),
    "k": np.float32(0.044715),
    "r": np.float32(np.sqrt(2 / np.pi)),
}


def graph(
    body: str, outputs: str = "float[B, S, 8] y", opset: int = 17, changed: Mapping[str, float] | None = None
) -> ir.Model:
    values = {**CONSTANTS, **{name: np.float32(number) for name, number in (changed or {}).items()}}
    used = {name: np.asarray(value) for name, value in values.items() if f" {name})" in body or f"({name}," in body}
    return draw(f"g (float[B, S, 8] x) => ({outputs}) {{ {body} }}", used, opset)


@pytest.mark.parametrize("body", ERF.values(), ids=ERF)
@pytest.mark.parametrize("opset", [11, 17, 20])
def test_fuses_the_exact_form(body: str, opset: int) -> None:
    result = fuse(graph(body, opset=opset), X)
    assert operators(result.model) == {"Gelu": 1}
    assert result.counts["gelu_fused"] == 1
    assert ("com.microsoft" in result.model.graph.opset_imports) == (opset < 20)


@pytest.mark.parametrize("body", TANH.values(), ids=TANH)
@pytest.mark.parametrize(("opset", "operator"), [(13, "FastGelu"), (20, "Gelu")])
def test_fuses_the_tanh_form(body: str, opset: int, operator: str) -> None:
    assert operators(fuse(graph(body, opset=opset), X).model) == {operator: 1}


@pytest.mark.parametrize("alpha", [1.702, 1.0])
def test_fuses_the_sigmoid_form(alpha: float) -> None:
    body = "s = Mul(x, r) g = Sigmoid(s) y = Mul(x, g)" if alpha != 1 else "g = Sigmoid(x) y = Mul(g, x)"
    result = fuse(graph(body, changed={"r": alpha}), X)
    assert operators(result.model) == {"QuickGelu": 1}


@pytest.mark.parametrize("body", MIXED.values(), ids=MIXED)
def test_fuses_mixed_precision_in_the_type_of_the_result(body: str) -> None:
    halves = {name: np.asarray(number, np.float16) for name, number in CONSTANTS.items()}
    floats = {f"f{name}": np.asarray(number) for name, number in CONSTANTS.items()}
    used = {name: array for name, array in (halves | floats).items() if f" {name})" in body}
    model = draw(f"g (float16[B, S, 8] x) => (float16[B, S, 8] y) {{ {body} }}", used)
    result = fuse(model, {"x": X["x"].astype(np.float16)}, tolerance=HALF_TOLERANCE)
    fused = [operator for operator in operators(result.model) if operator != "Cast"]
    assert fused in (["Gelu"], ["FastGelu"], ["QuickGelu"])
    assert operators(result.model)["Cast"] <= 2


def test_keeps_the_wider_type_of_the_result() -> None:
    body = MIXED["cube in float32"].replace("v = Mul(w, a) y = Cast<to = 10>(v)", "y = Mul(w, a)")
    numbers = {"half": np.float16(0.5)} | {f"f{name}": number for name, number in CONSTANTS.items()}
    used = {name: np.asarray(number) for name, number in numbers.items() if f" {name})" in body}
    model = draw(f"g (float16[B, S, 8] x) => (float[B, S, 8] y) {{ {body} }}", used)
    assert operators(fuse(model, {"x": X["x"].astype(np.float16)}).model) == {"Cast": 1, "FastGelu": 1}


def test_leaves_a_number_added_to_the_product_alone() -> None:
    assert_left_alone(graph("d = Div(x, r2) e = Erf(d) m = Mul(x, e) h = Mul(m, half) y = Add(h, half)"), X)


def test_leaves_a_gate_through_integers_alone() -> None:
    body = "c = Cast<to = 6>(x) f = Cast<to = 1>(c) d = Div(f, r2) e = Erf(d) a = Add(e, one) h = Mul(a, half) "
    body += "y = Mul(x, h)"
    assert_left_alone(graph(body), X)


def test_takes_in_a_bias_per_feature() -> None:
    body = f"g (float[B, S, 8] u) => (float[B, S, 8] y) {{ x = Add(bias, u) {ERF['torch']} }}"
    weights = {name: np.asarray(CONSTANTS[name]) for name in ("r2", "one", "half")}
    model = draw(body, {"bias": normal(8), **weights})
    assert operators(fuse(model, {"u": normal(2, 5, 8)}).model) == {"BiasGelu": 1}
    assert operators(fuse(model, {"u": normal(2, 5, 8)}, without=SLOW_KINDS).model) == {"Add": 1, "Gelu": 1}


def test_leaves_a_bias_that_is_read_elsewhere_or_broadcasts_otherwise() -> None:
    body = f"g (float[B, S, 8] u) => (float[B, S, 8] y, float[B, S, 8] x) {{ x = Add(bias, u) {ERF['torch']} }}"
    weights = {name: np.asarray(CONSTANTS[name]) for name in ("r2", "one", "half")}
    result = fuse(draw(body, {"bias": normal(8), **weights}), {"u": normal(2, 5, 8)})
    assert operators(result.model) == {"Add": 1, "Gelu": 1}
    for bias in (normal(5, 8), normal(1)):
        model = draw(body.replace(", float[B, S, 8] x", ""), {"bias": bias, **weights})
        assert operators(fuse(model, {"u": normal(2, 5, 8)}).model) == {"Add": 1, "Gelu": 1}


@pytest.mark.parametrize(
    "changed",
    [{"r2": 1.5}, {"one": 1.1}, {"half": 0.4}],
    ids=["divides by 1.5", "adds 1.1", "multiplies with 0.4"],
)
def test_leaves_other_constants_alone(changed: dict[str, float]) -> None:
    assert_left_alone(graph(ERF["torch"], changed=changed), X)


@pytest.mark.parametrize("changed", [{"k": 0.05}, {"r": 0.7}], ids=["another cubic term", "another factor"])
def test_leaves_other_polynomials_alone(changed: dict[str, float]) -> None:
    assert_left_alone(graph(TANH["cube"], changed=changed), X)


@pytest.mark.parametrize("inner", ["e", "a", "m"])
def test_leaves_inner_values_that_are_outputs_alone(inner: str) -> None:
    assert_left_alone(graph(ERF["torch"], f"float[B, S, 8] y, float[B, S, 8] {inner}"), X)


def test_leaves_double_precision_alone() -> None:
    text = f"g (double[B, 8] x) => (double[B, 8] y) {{ {ERF['torch']} }}"
    model = draw(text, {name: np.asarray(CONSTANTS[name], np.float64) for name in ("r2", "one", "half")})
    assert_left_alone(model)


@pytest.mark.parametrize("changed", [{"k": 0.05}, {"rr": 1.5}], ids=["another cubic term", "another factor"])
def test_leaves_other_polynomials_in_a_sigmoid_alone(changed: dict[str, float]) -> None:
    assert_left_alone(graph(TANH["sigmoid"], changed=changed), X)


@pytest.mark.parametrize("sign", ["d = Mul(x, ir2)", "d = Mul(x, mir2)"])
def test_tells_a_gate_from_its_complement(sign: str) -> None:
    body = f"{sign} e = Erf(d) c = Sub(one, e) h = Mul(c, half) y = Mul(x, h)"
    fused = operators(fuse(graph(body), X).model).keys() == {"Gelu"}
    assert fused == ("mir2" in sign)


def test_leaves_gates_of_something_else_alone() -> None:
    assert_left_alone(draw("g (float[8] x, float[8] z) => (float[8] y) { g = Sigmoid(x) y = Mul(g, z) }"))
