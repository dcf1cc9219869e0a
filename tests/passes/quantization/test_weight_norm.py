"""Weight normalization left in the graph: what the weight is worked out from is stored in integers."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from compressor.passes.quantization.options import Scheme
from tests.passes.quantization.drawn import assert_near, assert_unchanged, draw, normal, quantize, reasons, uneven

CONVOLUTION = "g (float[N, 16, 20] x) => (float[N, 64, 18] y) <int64[2] axes = {1, 2}>"
NORM = "n = ReduceL2(v, axes)"


def convolution(body: str, **weights: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> onnx.ModelProto:
    """Draw it at opset 18, the first whose ReduceL2 takes axes as an input."""
    header = '<ir_version: 8, opset_import: ["" : 18]>'
    return draw(header + CONVOLUTION + "{" + body + "}", v=uneven(64, 16, 3), **weights)


@pytest.mark.parametrize("scheme", [Scheme.DYNAMIC, Scheme.WEIGHT_ONLY, Scheme.BLOCKWISE_8])
@pytest.mark.parametrize(
    "body",
    [
        NORM + " f = Div(g, n) w = Mul(v, f) y = Conv(x, w)",
        NORM + " f = Div(g, n) w = Mul(f, v) y = Conv(x, w)",
        NORM + " d = Div(v, n) w = Mul(d, g) y = Conv(x, w)",
        "w = Mul(v, g) y = Conv(x, w)",
    ],
)
def test_the_direction_of_a_normalized_weight_is_stored_in_integers(body: str, scheme: Scheme) -> None:
    model = convolution(body, g=normal(64, 1, 1, seed=1))
    result = quantize(model, min_elements=1000, scheme=scheme)
    assert result.counts["weights_quantized"] == 1
    assert set(reasons(result)) <= {"g"}
    assert_near(model, result, channel_axis=1, x=normal(2, 16, 20, seed=2))


def test_each_output_of_the_operator_behind_it_has_its_own_scale() -> None:
    directions = normal(64, 16, 3) * np.geomspace(1e-4, 1e4, 64, dtype=np.float32).reshape(64, 1, 1)
    model = convolution(NORM + " d = Div(v, n) w = Mul(d, g) y = Conv(x, w)", g=normal(64, 1, 1, seed=1))
    model.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(directions, "v"))
    assert_near(model, quantize(model, min_elements=1000), channel_axis=1, x=normal(2, 16, 20, seed=2))


def test_a_weight_that_is_turned_after_it_was_scaled_keeps_a_scale_for_each_output() -> None:
    model = draw(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[N, 64] x) => (float[N, 32] y)'
        "{ n = ReduceL2<axes = [1]>(v) f = Div(g, n) w = Mul(v, f) t = Transpose<perm = [1, 0]>(w) y = MatMul(x, t) }",
        v=normal(32, 64) * np.geomspace(1e-4, 1e4, 32, dtype=np.float32).reshape(32, 1), g=normal(32, 1, seed=1),
    )  # fmt: skip
    result = quantize(model, min_elements=1000)
    assert result.counts["weights_quantized"] == 1
    assert_near(model, result, x=normal(8, 64, seed=2))


@pytest.mark.parametrize(
    ("why", "body"),
    [
        ("an addition may need every digit", NORM + " f = Div(g, n) w = Mul(v, f) u = Add(w, w) y = Conv(x, u)"),
        ("the same, beside a convolution", "w = Mul(v, g) u = Abs(w) c = Conv(x, w) d = Conv(x, u) y = Add(c, d)"),
        ("what it is divided by is not its norm", "n = ReduceL1(v, axes) w = Div(v, n) y = Conv(x, w)"),
        ("a quotient magnifies small values", "w = Div(g, v) y = Conv(x, w)"),
        ("the factor depends on the input", "h = ReduceMax<keepdims = 1>(x) w = Mul(v, h) y = Conv(x, w)"),
    ],
)  # fmt: skip
def test_other_arithmetic_on_a_weight_is_left_in_float(why: str, body: str) -> None:
    model = convolution(body, g=normal(64, 1, 1, seed=1))
    assert_unchanged(model, quantize(model, min_elements=1000))


def test_a_factor_that_makes_the_weight_larger_leaves_it_in_float() -> None:
    model = draw(
        "g (float[N, 16, 20] x) => (float[N, 64, 18] y) { w = Mul(v, g) y = Conv(x, w) }",
        v=normal(64, 16, 1), g=normal(1, 1, 3, seed=1),
    )  # fmt: skip
    assert_unchanged(model, quantize(model, min_elements=1000))


def test_a_weight_that_is_an_output_as_well_is_left_in_float() -> None:
    model = draw(
        "g (float[N, 16, 20] x) => (float[N, 64, 18] y, float[64, 16, 3] w) { w = Mul(v, g) y = Conv(x, w) }",
        v=normal(64, 16, 3), g=normal(64, 1, 1, seed=1),
    )  # fmt: skip
    assert_unchanged(model, quantize(model, min_elements=1000))
