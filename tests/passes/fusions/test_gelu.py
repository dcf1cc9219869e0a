"""GELU in every spelling exporters use becomes one operator; anything that only looks like it stays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest

from compressor.passes.fuse import SLOW_KINDS
from tests.passes.fusions.fusing import assert_left_alone, draw, fuse, normal, operators

X = {"x": 3 * normal(2, 5, 8)}

ERF = {
    "torch": "d = Div(x, r2) e = Erf(d) a = Add(e, one) m = Mul(x, a) y = Mul(m, half)",
    "half first": "d = Div(x, r2) e = Erf(d) a = Add(e, one) h = Mul(x, half) y = Mul(h, a)",
    "half on the sum": "d = Mul(x, ir2) e = Erf(d) a = Add(one, e) h = Mul(half, a) y = Mul(h, x)",
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
}
CONSTANTS = {
    "r2": np.float32(np.sqrt(2)),
    "ir2": np.float32(np.sqrt(0.5)),
    "one": np.float32(1),
    "half": np.float32(0.5),
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


def test_leaves_gates_of_something_else_alone() -> None:
    assert_left_alone(draw("g (float[8] x, float[8] z) => (float[8] y) { g = Sigmoid(x) y = Mul(g, z) }"))
