"""Gemm: every combination of its attributes and bias shapes, and the cases that ONNX Runtime's quantizer gets wrong."""

from __future__ import annotations

from itertools import product
from typing import Any  # slices of any kind

import numpy as np
import pytest

from compressor.passes.quantization.options import Scheme, WeightType
from tests.passes.quantization.drawn import Array, assert_near, draw, normal, operators, quantize, reasons, uneven

BIASES: dict[str, Array | None] = {
    "none": None,
    "scalar": np.array(3, np.float32),
    "one": np.array([3], np.float32),
    "row": normal(32, seed=5),
    "row of a matrix": normal(1, 32, seed=5),
    "column": normal(8, 1, seed=5),
    "matrix": normal(8, 32, seed=5),
}


def gemm(attributes: str, *, inputs: str = "x, w", shape: str = "A, B") -> str:
    return f"g (float[{shape}] x) => (float[M, N] y) {{ y = Gemm<{attributes}>({inputs}) }}"


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("beta", [1.0, 2.5, 0.0])
def test_adds_a_bias_of_any_shape(bias: str, beta: float) -> None:
    array = BIASES[bias]
    extra = {} if array is None else {"c": array}
    model = draw(gemm(f"beta = {beta}", inputs="x, w" + (", c" if extra else "")), w=uneven(64, 32), **extra)
    result = quantize(model, exclude=("c",))
    assert result.counts["gemm_in_int8"] == 1
    assert ("Add" in operators(result)) == (array is not None and beta != 0)
    assert_near(model, result, x=normal(8, 64, seed=1))


@pytest.mark.parametrize("weight_type", WeightType)
@pytest.mark.parametrize(
    ("turned_a", "turned_b", "alpha", "left"), list(product((0, 1), (0, 1), (1.0, 0.5, -2.0), (False, True)))
)
def test_takes_every_orientation_and_factor(
    turned_a: int, turned_b: int, alpha: float, left: bool, weight_type: WeightType
) -> None:
    a, b = (64, 8) if turned_a else (8, 64), (32, 64) if turned_b else (64, 32)
    attributes = f"transA = {turned_a}, transB = {turned_b}, alpha = {alpha}"
    weight, activation = (normal(*a), normal(*b, seed=1)) if left else (normal(*b), normal(*a, seed=1))
    model = draw(gemm(attributes, inputs="w, x" if left else "x, w"), w=weight)
    result = quantize(model, weight_type=weight_type)
    assert result.counts["gemm_in_int8"] == 1
    assert_near(model, result, channel_axis=-2 if left else -1, x=activation)


def test_one_weight_serves_gemms_of_both_orientations_and_a_matmul() -> None:
    model = draw(
        "g (float[A, 48] x) => (float[A, 48] p, float[A, 48] q, float[A, 48] r)"
        "{ p = Gemm<transB = 1, alpha = 0.5>(x, w) q = Gemm<transB = 1>(x, w, c)"
        "  t = Transpose<perm = [1, 0]>(w) r = MatMul(x, t) }",
        w=uneven(48, 48), c=normal(48, seed=2),
    )  # fmt: skip
    result = quantize(model, exclude=("c",))
    assert result.counts == {"weights_quantized": 1, "gemm_in_int8": 2, "matmul_in_int8": 1}
    assert operators(result).count("DynamicQuantizeLinear") == 1
    assert_near(model, result, x=normal(8, 48, seed=1))


def test_uses_that_scale_different_axes_share_one_scale() -> None:
    w = np.random.default_rng(0).standard_normal((48, 48)).astype(np.float32)
    model = draw(
        "g (float[A, 48] x) => (float[A, 48] p, float[A, 48] q) { p = Gemm<transB = 1>(x, w) q = Gemm(x, w) }", w=w
    )
    result = quantize(model)
    assert result.counts == {"weights_quantized": 1, "gemm_in_int8": 2}
    assert_near(model, result, x=normal(8, 48, seed=1))


def test_uses_that_scale_different_axes_stay_float_where_one_scale_would_drown_a_channel() -> None:
    w = np.random.default_rng(0).standard_normal((48, 48)).astype(np.float32)
    w[5] *= 1e-4
    model = draw(
        "g (float[A, 48] x) => (float[A, 48] p, float[A, 48] q) { p = Gemm<transB = 1>(x, w) q = Gemm(x, w) }", w=w
    )
    result = quantize(model)
    assert not result.counts
    assert "one scale" in result.skipped[0].reason


@pytest.mark.parametrize(
    ("scheme", "quiet"),
    [(Scheme.DYNAMIC, np.s_[5]), (Scheme.DYNAMIC, np.s_[:, 5]), (Scheme.WEIGHT_ONLY, np.s_[:, 5])],
    ids=["row", "column", "column, decoded by row"],
)
def test_each_use_is_judged_by_its_own_channels(scheme: Scheme, quiet: Any) -> None:
    w = normal(48, 48)
    w[quiet] *= 1e-4
    text = "g (float[A, 48] x) => (float[A, 48] p, float[A, 48] q) { p = Gemm<transB = 1>(x, w) q = Gemm(x, w) }"
    result = quantize(draw(text, w=w), scheme=scheme)
    assert not result.counts
    assert "its uses" in reasons(result)["w"]


def test_a_lookup_whose_rows_drown_in_the_scales_of_a_product_leaves_the_weight_float() -> None:
    w = normal(48, 48)
    w[5] *= 1e-4
    text = (
        "g (float[A, 48] x, int64[A] ids) => (float[A, 48] p, float[A, 48] r) { p = MatMul(x, w) r = Gather(w, ids) }"
    )
    assert reasons(quantize(draw(text, w=w)))["w"] == (
        "its uses want scales along different axes, and under those of one most of 1 of the 48 channels of others "
        "would be zero"
    )
    w[5] *= 1e4
    assert quantize(draw(text, w=w)).counts["weights_quantized"] == 1


def test_the_bias_may_be_computed() -> None:
    model = draw(
        "g (float[A, 64] x, float[32] c) => (float[A, 32] y) { y = Gemm<beta = 2.0>(x, w, c) }", w=uneven(64, 32)
    )
    assert_near(model, quantize(model), x=normal(8, 64, seed=1), c=normal(32, seed=2))


def test_float16_keeps_its_type_through_alpha_and_beta() -> None:
    model = draw(
        "g (float16[A, 64] x) => (float16[A, 32] y) { y = Gemm<alpha = 0.5, beta = 2.0>(x, w, c) }",
        w=uneven(64, 32).astype(np.float16), c=normal(32).astype(np.float16),
    )  # fmt: skip
    result = quantize(model, exclude=("c",))
    assert result.counts["gemm_in_int8"] == 1
    assert_near(model, result, x=normal(8, 64, seed=1).astype(np.float16))


def test_stores_integers_and_computes_in_float_where_asked_to() -> None:
    model = draw(gemm("transB = 1, alpha = 0.5"), w=uneven(32, 64))
    result = quantize(model, scheme=Scheme.WEIGHT_ONLY)
    assert operators(result) == ["Cast", "Mul", "Gemm"]
    assert_near(model, result, x=normal(8, 64, seed=1))
