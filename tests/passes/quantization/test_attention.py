"""ONNX Runtime's Attention with a packed weight: QAttention where that says the same, decoded where not."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from compressor.evaluation.saturation import weights_that_may_saturate
from compressor.passes.quantization.options import Scheme, WeightType
from tests.passes.quantization.drawn import Array, assert_near, draw, normal, operators, quantize

HEADER = '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>'
MASK: Array = np.array([[0, 1, 1, 1, 1, 1], [1, 1, 0, 1, 0, 0]], np.int32)


def packed() -> Array:
    """Columns of different size, so that a scale on the wrong one is seen; scores of ordinary size."""
    return 0.1 * normal(64, 192) * np.geomspace(0.5, 2, 192, dtype=np.float32)


def attention(attributes: str = "", inputs: str = "x, w, b, mask", declared: str = "") -> onnx.ModelProto:
    inner = f"num_heads = 4{', ' if attributes else ''}{attributes}"
    return draw(
        HEADER + f"g (float[2, 6, 64] x, int32[2, 6] mask{declared}) => (float[2, 6, 64] y)"
        f"{{ y = com.microsoft.Attention<{inner}>({inputs}) }}",
        w=packed(), b=0.1 * normal(192, seed=2),
    )  # fmt: skip


@pytest.mark.parametrize("weight_type", WeightType)
@pytest.mark.parametrize(
    "attributes", ["", "unidirectional = 1", "scale = 0.5", "mask_filter_value = -10000.0", "do_rotary = 0"]
)
def test_the_packed_weight_becomes_integers(attributes: str, weight_type: WeightType) -> None:
    model = attention(attributes)
    result = quantize(model, weight_type=weight_type, exclude=("b",))
    assert result.counts == {"weights_quantized": 1, "attention_in_int8": 1}
    assert operators(result) == ["DynamicQuantizeLinear", "QAttention"]
    assert_near(model, result, channel_axis=None, x=normal(2, 6, 64), mask=MASK)


def test_the_mask_may_be_missing() -> None:
    model = attention(inputs="x, w, b")
    result = quantize(model)
    assert result.counts["attention_in_int8"] == 1
    assert_near(model, result, channel_axis=None, x=normal(2, 6, 64), mask=MASK)


def test_the_past_is_carried_over() -> None:
    model = draw(
        HEADER + "g (float[2, 6, 64] x, float[2, 2, 4, 3, 16] past)"
        "=> (float[2, 6, 64] y, float[2, 2, 4, 9, 16] present)"
        '{ y, present = com.microsoft.Attention<num_heads = 4, unidirectional = 1>(x, w, b, "", past) }',
        w=packed(), b=0.1 * normal(192, seed=2),
    )  # fmt: skip
    result = quantize(model)
    assert result.counts["attention_in_int8"] == 1
    assert_near(model, result, channel_axis=None, x=normal(2, 6, 64), past=normal(2, 2, 4, 3, 16, seed=5))


def test_layers_that_share_a_weight_share_its_integers() -> None:
    model = draw(
        HEADER + "g (float[2, 6, 64] x) => (float[2, 6, 64] y)"
        "{ h = com.microsoft.Attention<num_heads = 4>(x, w, b) y = com.microsoft.Attention<num_heads = 4>(h, w, b) }",
        w=packed(), b=0.1 * normal(192, seed=2),
    )  # fmt: skip
    result = quantize(model)
    assert result.counts == {"weights_quantized": 1, "attention_in_int8": 2}
    assert_near(model, result, channel_axis=None, x=normal(2, 6, 64))


def test_no_sum_saturates() -> None:
    model = attention()
    w = packed()
    w[6:8] = 1.0  # neighbours along the sum
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(w, "w"))
    result = quantize(model)
    assert result.counts["attention_in_int8"] == 1
    assert weights_that_may_saturate(result.model) == []


@pytest.mark.parametrize(
    ("attributes", "inputs", "declared"),
    [
        ("qkv_hidden_sizes = [64, 64, 64]", "x, w, b, mask", ""),
        ("", 'x, w, b, mask, "", bias', ", float[1, 1, 6, 6] bias"),
    ],
    ids=["sizes of their own", "a bias of the scores"],
)
def test_what_the_integer_operator_cannot_say_is_decoded(attributes: str, inputs: str, declared: str) -> None:
    """ONNX Runtime's own quantizer drops the bias of the scores without a word."""
    model = attention(attributes, inputs, declared)
    result = quantize(model)
    assert result.counts == {"weights_quantized": 1, "decoded_to_float": 1}
    feeds = {"bias": 3 * normal(1, 1, 6, 6, seed=4)} if declared else {}
    assert_near(model, result, channel_axis=None, x=normal(2, 6, 64), mask=MASK, **feeds)


def test_without_a_bias_it_is_decoded() -> None:
    """QAttention needs one. ONNX Runtime 1.31 loads an Attention without, and crashes when it runs it."""
    assert quantize(attention(inputs="x, w")).counts == {"weights_quantized": 1, "decoded_to_float": 1}


def test_float_arithmetic_keeps_the_operator() -> None:
    model = attention()
    result = quantize(model, scheme=Scheme.WEIGHT_ONLY)
    assert operators(result) == ["Cast", "Mul", "Attention"]
    assert_near(model, result, channel_axis=None, x=normal(2, 6, 64), mask=MASK)
