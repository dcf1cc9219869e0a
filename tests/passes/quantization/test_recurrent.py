"""LSTM: both weights become integers of DynamicQuantizeLSTM, or both are decoded."""

from __future__ import annotations

import numpy as np
import pytest

from compressor.evaluation.saturation import weights_that_may_saturate
from compressor.passes.quantization.options import Scheme, WeightType
from tests.passes.quantization.drawn import Array, assert_near, draw, normal, operators, quantize, reasons, uneven

HIDDEN = 24
PLAIN = "g (float[7, 3, 32] x) => (float[7, 1, 3, 24] y) { y = LSTM<hidden_size = 24>(x, w, r) }"


def weights(directions: int = 1, width: int = 32) -> dict[str, Array]:
    return {
        "w": 0.1 * uneven(directions, 4 * HIDDEN, width),
        "r": 0.1 * uneven(directions, 4 * HIDDEN, HIDDEN, seed=1),
    }


@pytest.mark.parametrize("weight_type", WeightType)
def test_both_weights_become_integers_of_one_operator(weight_type: WeightType) -> None:
    model = draw(PLAIN, **weights())
    result = quantize(model, weight_type=weight_type)
    assert result.counts == {"weights_quantized": 2, "lstm_weights_in_int8": 2}
    assert operators(result).count("DynamicQuantizeLSTM") == 1
    assert "LSTM" not in operators(result)
    assert result.model.graph.opset_imports["com.microsoft"] == 1
    assert_near(model, result, x=normal(7, 3, 32))


def test_no_sum_saturates() -> None:
    w = weights()
    w["w"][0, :, 4:6] = 2.0  # neighbours along the sum
    w["r"][0, :, 2:4] = -2.0
    result = quantize(draw(PLAIN, **w))
    assert result.counts["lstm_weights_in_int8"] == 2
    assert weights_that_may_saturate(result.model) == []


@pytest.mark.parametrize(
    ("attributes", "directions"),
    [
        ('direction = "reverse"', 1),
        ('direction = "bidirectional"', 2),
        ('activations = ["Sigmoid", "Relu", "Tanh"]', 1),
        ("clip = 0.3", 1),
        ("input_forget = 1", 1),
    ],
)
def test_every_attribute_is_carried_over(attributes: str, directions: int) -> None:
    text = PLAIN.replace("hidden_size = 24", f"hidden_size = 24, {attributes}").replace(
        "7, 1, 3", f"7, {directions}, 3"
    )
    model = draw(text, **weights(directions))
    result = quantize(model)
    assert result.counts["lstm_weights_in_int8"] == 2
    assert_near(model, result, channel_axis=1, x=normal(7, 3, 32))


def test_every_other_input_and_output_is_carried_over() -> None:
    model = draw(
        "g (float[7, 3, 32] x, int32[3] n, float[1, 3, 24] h, float[1, 3, 24] c)"
        "=> (float[7, 1, 3, 24] y, float[1, 3, 24] last, float[1, 3, 24] cell)"
        "{ y, last, cell = LSTM<hidden_size = 24>(x, w, r, b, n, h, c, p) }",
        **weights(), b=0.1 * normal(1, 8 * HIDDEN), p=0.1 * normal(1, 3 * HIDDEN),
    )  # fmt: skip
    result = quantize(model, exclude=("b",))
    assert result.counts["lstm_weights_in_int8"] == 2
    feeds = {"h": normal(1, 3, HIDDEN, seed=3), "c": normal(1, 3, HIDDEN, seed=4), "n": np.array([7, 2, 5], np.int32)}
    assert_near(model, result, channel_axis=None, x=normal(7, 3, 32), **feeds)


def test_a_second_lstm_may_share_the_weights() -> None:
    model = draw(
        "g (float[7, 3, 32] x, float[5, 3, 32] v) => (float[7, 1, 3, 24] y, float[5, 1, 3, 24] z)"
        "{ y = LSTM<hidden_size = 24>(x, w, r) z = LSTM<hidden_size = 24>(v, w, r) }",
        **weights(),
    )
    result = quantize(model)
    assert result.counts == {"weights_quantized": 2, "lstm_weights_in_int8": 4}
    assert operators(result).count("Transpose") == 2
    assert_near(model, result, x=normal(7, 3, 32), v=normal(5, 3, 32, seed=1))


def test_one_weight_may_be_both() -> None:
    model = draw(PLAIN.replace("32", "24").replace(" r)", " w)"), w=0.1 * normal(1, 4 * HIDDEN, HIDDEN))
    result = quantize(model)
    assert result.counts == {"weights_quantized": 1, "lstm_weights_in_int8": 2}
    assert_near(model, result, x=normal(7, 3, HIDDEN))


def test_one_weight_is_decoded_where_the_other_stays_float() -> None:
    model = draw(PLAIN, **weights())
    result = quantize(model, exclude=("r",))
    assert reasons(result) == {"r": "excluded by 'r'"}
    assert operators(result) == ["Cast", "Mul", "LSTM"]
    assert result.counts == {"weights_quantized": 1, "decoded_to_float": 1}
    assert_near(model, result, x=normal(7, 3, 32))


def test_a_weight_of_two_operators_is_decoded_for_one_and_integer_for_the_other() -> None:
    """The second LSTM has a float weight beside it."""
    model = draw(
        "g (float[7, 3, 32] x) => (float[7, 1, 3, 24] y, float[7, 1, 3, 24] z)"
        "{ y = LSTM<hidden_size = 24>(x, w, r) z = LSTM<hidden_size = 24>(x, w, s) }",
        **weights(), s=0.1 * normal(1, 4 * HIDDEN, HIDDEN, seed=5),
    )  # fmt: skip
    result = quantize(model, exclude=("s",))
    assert result.counts == {"weights_quantized": 2, "lstm_weights_in_int8": 2, "decoded_to_float": 1}
    assert_near(model, result, x=normal(7, 3, 32))


def test_another_layout_is_decoded() -> None:
    header = '<ir_version: 8, opset_import: ["" : 17]>'
    text = (
        header + "g (float[3, 7, 32] x) => (float[3, 7, 1, 24] y) { y = LSTM<hidden_size = 24, layout = 1>(x, w, r) }"
    )
    assert quantize(draw(text, **weights())).counts == {"weights_quantized": 2, "decoded_to_float": 2}


def test_float_arithmetic_keeps_the_standard_operator() -> None:
    model = draw(PLAIN, **weights())
    result = quantize(model, scheme=Scheme.WEIGHT_ONLY)
    assert result.counts == {"weights_quantized": 2, "decoded_to_float": 2}
    assert_near(model, result, x=normal(7, 3, 32))


def test_weights_of_two_integer_types_are_decoded() -> None:
    """One is on the left of a product as well, which takes uint8 only; the fused operator takes one type for both."""
    model = draw(
        "g (float[7, 3, 32] x, float[32, 5] z) => (float[7, 1, 3, 24] y, float[1, 96, 5] p)"
        "{ y = LSTM<hidden_size = 24>(x, w, r) p = MatMul(w, z) }",
        **weights(),
    )
    result = quantize(model)
    assert result.counts == {"weights_quantized": 2, "decoded_to_float": 2, "matmul_in_int8": 1}
    assert_near(model, result, channel_axis=None, x=normal(7, 3, 32), z=normal(32, 5, seed=1))
