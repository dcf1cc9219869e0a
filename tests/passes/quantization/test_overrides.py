"""Single weights under a scheme of their own."""

from __future__ import annotations

import onnx
import pytest

from compressor.errors import OptionError
from compressor.passes.quantization.options import Scheme
from compressor.passes.quantize import QuantizeDynamic
from tests.passes.quantization.drawn import draw, normal, quantize


def three_products() -> onnx.ModelProto:
    weights = {name: normal(64, 64, seed=seed) for seed, name in enumerate(("first=1", "second", "third"))}
    text = "g (float[n, 64] x) => (float[n, 64] y) { a = MatMul(x, w0) b = MatMul(a, w1) y = MatMul(b, w2) }"
    model = draw(text, w0=weights["first=1"], w1=weights["second"], w2=weights["third"])
    for node, old, new in zip(model.graph.node, ("w0", "w1", "w2"), weights, strict=True):
        node.input[1] = new
        next(tensor for tensor in model.graph.initializer if tensor.name == old).name = new
    return model


def test_the_first_override_that_matches_decides() -> None:
    result = quantize(three_products(), overrides=("first=1=weight-only", "first*=float", "th*=float"))
    operators = [node.op_type for node in result.model.graph]
    assert operators.count("MatMulInteger") == 1
    assert operators.count("MatMul") == 2
    assert [skip.candidate for skip in result.skipped] == ["third"]
    assert result.skipped[0].reason == "kept in float by override 'th*=float'"
    assert result.model.graph.initializers.keys() >= {"first=1_int8", "second_int8", "third"}


def test_a_weight_may_be_float_by_default_and_smaller_by_override() -> None:
    result = quantize(three_products(), scheme=Scheme.FP16, overrides=("second=dynamic",))
    assert "first=1_fp16" in result.model.graph.initializers
    assert "second_int8" in result.model.graph.initializers


def test_an_override_that_matches_nothing_is_said_so() -> None:
    assert "matches 'misspelled=float'" in quantize(three_products(), overrides=("misspelled=float",)).note


@pytest.mark.parametrize("text", ["first", "=float", "first=int8", "first="])
def test_a_malformed_override_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match=f"override '{text}' is not GLOB=SCHEME"):
        QuantizeDynamic(overrides=(text,))
