"""MatMul: integers are multiplied, each output channel keeps its own scale, whatever the shapes."""

from __future__ import annotations

import numpy as np
import pytest

from compressor.passes.quantization import matmul
from compressor.passes.quantization.options import WeightType
from tests.passes.quantization.drawn import (
    assert_near,
    assert_unchanged,
    draw,
    normal,
    operators,
    quantize,
    reasons,
    run_both,
    uneven,
)


def dims(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))


PLAIN = "g (float[N, 64] x) => (float[N, 32] y) { y = MatMul(x, w) }"


@pytest.mark.parametrize("weight_type", WeightType)
def test_multiplies_integers_and_scales_each_output_channel(weight_type: WeightType) -> None:
    model = draw(PLAIN, w=uneven(64, 32))
    result = quantize(model, weight_type=weight_type)
    assert result.counts == {"weights_quantized": 1, "matmul_in_int8": 1}
    assert operators(result) == ["DynamicQuantizeLinear", "MatMulInteger", "Cast", "Mul", "Mul"]
    assert {
        v.const_value.dtype.name for v in result.model.graph.initializers.values() if v.const_value is not None
    } == ({"INT8", "FLOAT"} if weight_type is WeightType.INT8 else {"UINT8", "FLOAT"})
    assert_near(model, result, x=normal(8, 64, seed=1))


def test_quantizes_one_activation_once_for_all_its_products() -> None:
    model = draw(
        "g (float[N, 64] x) => (float[N, 32] q, float[N, 32] k, float[N, 32] v)"
        "{ q = MatMul(x, a) k = MatMul(x, b) v = MatMul(x, c) }",
        a=normal(64, 32, seed=1), b=normal(64, 32, seed=2), c=normal(64, 32, seed=3),
    )  # fmt: skip
    result = quantize(model)
    assert operators(result).count("DynamicQuantizeLinear") == 1
    assert operators(result).count("MatMulInteger") == 3
    assert_near(model, result, x=normal(8, 64, seed=4))


@pytest.mark.parametrize("rank_is_known", [True, False])
@pytest.mark.parametrize(
    ("x", "w"),
    [
        ((2, 8, 64), (64, 32)),
        ((64,), (64, 32)),
        ((4, 8, 64), (4, 64, 32)),
        ((2, 4, 8, 64), (4, 64, 32)),
        ((8, 64), (4, 64, 32)),
        ((64,), (4, 64, 32)),
    ],
)
def test_takes_vectors_matrices_and_stacks(x: tuple[int, ...], w: tuple[int, ...], rank_is_known: bool) -> None:
    y = np.matmul(np.zeros(x), np.zeros(w)).shape
    product = "y = MatMul(x, w)" if rank_is_known else "h = Identity(x) y = MatMul(h, w)"
    model = draw(f"g (float[{dims(x)}] x) => (float[{dims(y)}] y) {{ {product} }}", w=normal(*w))
    result = quantize(model)
    assert result.counts["matmul_in_int8"] == 1
    assert_near(model, result, channel_axis=-1 if len(x) > 1 else None, x=normal(*x, seed=1))


def test_a_stack_of_matrices_has_a_scale_for_each_matrix_and_column() -> None:
    w = normal(4, 64, 32) * np.array([1e-3, 1, 1e3, 1], np.float32).reshape(4, 1, 1)
    model = draw("g (float[A, 64] x) => (float[4, A, 32] y) { y = MatMul(x, w) }", w=w)
    assert_near(model, quantize(model), channel_axis=0, x=normal(8, 64, seed=1))


@pytest.mark.parametrize("weight_type", WeightType)
@pytest.mark.parametrize("x", [(64, 8), (3, 64, 8)])
def test_takes_the_weight_on_the_left(x: tuple[int, ...], weight_type: WeightType) -> None:
    y = (*x[:-2], 32, x[-1])
    model = draw(f"g (float[{dims(x)}] x) => (float[{dims(y)}] y) {{ y = MatMul(w, x) }}", w=uneven(32, 64))
    result = quantize(model, weight_type=weight_type)
    assert result.counts["matmul_in_int8"] == 1
    assert_near(model, result, channel_axis=-2, x=normal(*x, seed=1))


@pytest.mark.parametrize(
    ("left", "right", "weight"),
    [
        ((4, 8, 64), (64, 32), "right"),
        ((4, 8, 64), (1, 64, 32), "right"),
        ((4, 8, 64), (1, 4, 64, 32), "right"),
        ((64,), (4, 64, 32), "right"),
        ((32, 64), (4, 64, 32), "left"),
        ((4, 32, 64), (4, 64, 32), "left"),
    ],
)
def test_the_bias_after_a_product_is_not_scaled_with_it(
    left: tuple[int, ...], right: tuple[int, ...], weight: str
) -> None:
    """ONNX Runtime joins it into the integer product, and scales it there by scales of a form it does not know."""
    y = np.matmul(np.zeros(left), np.zeros(right)).shape
    x, w, product = (left, right, "MatMul(x, w)") if weight == "right" else (right, left, "MatMul(w, x)")
    model = draw(
        f"g (float[{dims(x)}] x) => (float[{dims(y)}] y) {{ h = {product} y = Add(h, b) }}",
        w=uneven(*w), b=100 * normal(32, seed=1),
    )  # fmt: skip
    result = quantize(model)
    assert result.counts["matmul_in_int8"] == 1
    assert_near(model, result, channel_axis=None, x=normal(*x, seed=2))


def test_a_weight_on_the_left_of_a_vector_has_one_scale() -> None:
    model = draw("g (float[64] x) => (float[32] y) { y = MatMul(w, x) }", w=normal(32, 64))
    result = quantize(model)
    assert result.counts["matmul_in_int8"] == 1
    assert_near(model, result, channel_axis=None, x=normal(64, seed=1))


def test_takes_a_vector_as_weight() -> None:
    model = draw("g (float[N, 512] x) => (float[N] y) { y = MatMul(x, w) }", w=normal(512))
    result = quantize(model)
    assert result.counts["matmul_in_int8"] == 1
    assert_near(model, result, channel_axis=None, x=normal(8, 512, seed=1))


@pytest.mark.parametrize("product", ["MatMul(x, w)", "MatMul(w, x)"])
def test_a_vector_is_not_multiplied_by_a_vector_in_integers(product: str) -> None:
    """ONNX Runtime's MatMulInteger gives a vector of one entry, where a number is due."""
    model = draw(f"g (float[4096] x) => (float y) {{ y = {product} }}", w=normal(4096))
    result = quantize(model)
    assert result.counts == {"weights_quantized": 1, "decoded_to_float": 1}
    assert_near(model, result, channel_axis=None, x=normal(4096, seed=1))


def test_float16_is_multiplied_in_integers_and_comes_out_as_float16() -> None:
    model = draw("g (float16[N, 64] x) => (float16[N, 32] y) { y = MatMul(x, w) }", w=uneven(64, 32).astype(np.float16))
    result = quantize(model)
    assert result.counts["matmul_in_int8"] == 1
    assert_near(model, result, x=normal(8, 64, seed=1).astype(np.float16))


@pytest.mark.parametrize("rows", [0, 3])
def test_an_empty_batch_and_zero_activations_work_as_before(rows: int) -> None:
    model = draw(PLAIN, w=uneven(64, 32))
    for expected, actual in run_both(model, quantize(model), x=np.zeros((rows, 64), np.float32)):
        assert expected.shape == actual.shape
        assert np.array_equal(expected, actual)


def test_nan_activations_still_come_out_as_nan() -> None:
    model = draw(PLAIN, w=uneven(64, 32))
    for _, actual in run_both(model, quantize(model), x=np.full((2, 64), np.nan, np.float32)):
        assert np.isnan(actual).all()


def test_sums_too_long_for_int32_stay_float(monkeypatch: pytest.MonkeyPatch) -> None:
    assert matmul.LONGEST_INNER_AXIS * 255 * 127 < 2**31 <= (matmul.LONGEST_INNER_AXIS + 1) * 255 * 127 + 2
    monkeypatch.setattr(matmul, "LONGEST_INNER_AXIS", 63)
    model = draw(PLAIN, w=uneven(64, 32))
    result = quantize(model)
    assert result.counts == {"weights_quantized": 1, "decoded_to_float": 1}
    assert_near(model, result, x=normal(8, 64, seed=1))


def test_leaves_a_product_of_two_activations_alone() -> None:
    model = draw("g (float[N, 64] x, float[64, 32] w) => (float[N, 32] y) { y = MatMul(x, w) }")
    assert_unchanged(model, quantize(model))


def test_a_product_of_two_weights_takes_one_of_them() -> None:
    model = draw("g () => (float[64, 48] y) { y = MatMul(a, b) }", a=normal(64, 32), b=normal(32, 48, seed=1))
    result = quantize(model)
    assert result.counts == {"weights_quantized": 1, "matmul_in_int8": 1}
    assert list(reasons(result).values()) == ["is multiplied by another weight, which is quantized"]
    assert_near(model, result)


def test_a_square_of_a_weight_stays_float() -> None:
    model = draw("g () => (float[64, 64] y) { y = MatMul(w, w) }", w=uneven(64, 64))
    result = quantize(model)
    assert reasons(result) == {"w": "used twice by one operator"}
    assert_unchanged(model, result)
