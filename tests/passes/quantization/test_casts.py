"""Weights stored in one float type and used in another: scaled in the type that the uses see."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from compressor.passes.quantization.options import Scheme
from tests.passes.quantization.drawn import (
    Array,
    assert_near,
    assert_unchanged,
    draw,
    normal,
    operators,
    quantize,
    reasons,
    uneven,
)

FLOAT, HALF, BRAIN = 1, 10, 16
CAST = "g (float[8, 64] x) => (float[8, 32] y) {{ w = Cast<to = {to}>(stored) y = {product} }}"


def drawn_as(text: str, dtype: type[np.generic], **weights: Array) -> onnx.ModelProto:
    model = draw(text)
    model.graph.initializer.extend(
        numpy_helper.from_array(array.astype(dtype), name) for name, array in weights.items()
    )
    return model


@pytest.mark.parametrize("scheme", [Scheme.DYNAMIC, Scheme.WEIGHT_ONLY])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("product", ["MatMul(x, w)", "Gemm(x, w)"])
def test_a_weight_cast_to_float32_is_quantized_without_the_cast(
    dtype: type[np.generic], product: str, scheme: Scheme
) -> None:
    model = drawn_as(CAST.format(to=FLOAT, product=product), dtype, stored=uneven(64, 32))
    result = quantize(model, scheme=scheme)
    assert result.counts["weights_quantized"] == 1
    assert_near(model, result, x=normal(8, 64, seed=1))
    if scheme is Scheme.DYNAMIC:
        assert "DynamicQuantizeLinear" in operators(result)
        assert not {node.attributes["to"].as_int() for node in result.model.graph if node.op_type == "Cast"} - {FLOAT}


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_rows_looked_up_come_out_in_the_type_they_were_cast_to(dtype: type[np.generic]) -> None:
    text = "g (int64[4] i) => (float[4, 64] y) { w = Cast<to = 1>(stored) y = Gather(w, i) }"
    model = drawn_as(text, dtype, stored=uneven(100, 64))
    result = quantize(model)
    assert result.counts == {"weights_quantized": 1, "gather_in_int8": 1}
    assert_near(model, result, channel_axis=0, i=np.array([0, 7, 99, -1]))


def test_a_cast_after_a_transpose_is_followed() -> None:
    text = (
        "g (float[8, 64] x) => (float[8, 32] y)"
        "{ t = Transpose<perm = [1, 0]>(stored) w = Cast<to = 1>(t) y = MatMul(x, w) }"
    )
    model = drawn_as(text, np.float16, stored=uneven(32, 64))
    result = quantize(model)
    assert result.counts == {"weights_quantized": 1, "matmul_in_int8": 1}
    assert_near(model, result, x=normal(8, 64, seed=1))


def test_a_float32_weight_cast_to_float16_gives_a_float16_product() -> None:
    model = draw(CAST.replace("float[", "float16[").format(to=HALF, product="MatMul(x, w)"), stored=uneven(64, 32))
    result = quantize(model)
    assert result.counts["matmul_in_int8"] == 1
    assert result.model.graph.outputs[0].dtype is ir.DataType.FLOAT16
    assert_near(model, result, x=normal(8, 64, seed=1).astype(np.float16))


def test_a_weight_used_in_two_float_types_stays() -> None:
    text = (
        "g (float16[8, 64] x, float[8, 64] z) => (float16[8, 32] y, float[8, 32] v)"
        "{ w = Cast<to = 1>(stored) v = MatMul(z, w) y = MatMul(x, stored) }"
    )
    model = drawn_as(text, np.float16, stored=uneven(64, 32))
    result = quantize(model)
    assert reasons(result) == {"stored": "its uses read it in different float types"}
    assert_unchanged(model, result)


def test_a_weight_used_as_bfloat16_stays() -> None:
    text = "g (bfloat16[8, 64] x) => (bfloat16[8, 32] y) { y = MatMul(x, stored) }"
    model = drawn_as(text, ml_dtypes.bfloat16, stored=uneven(64, 32))
    result = quantize(model)
    assert "is used as bfloat16" in reasons(result)["stored"]
    assert_unchanged(model, result)


def test_rows_with_outliers_of_a_cast_weight_are_not_split_off() -> None:
    """They would be added in the type they are stored in."""
    w = normal(128, 32)
    w[5] *= 3000
    model = drawn_as(CAST.replace("64", "128").format(to=FLOAT, product="MatMul(x, w)"), np.float16, stored=w)
    result = quantize(model)
    assert "round most of the others there to zero" in reasons(result)["stored"]
    assert_unchanged(model, result)
