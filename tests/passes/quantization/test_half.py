"""float16 storage: half the bytes, every use as before, and a reason where float16 would lose values."""

from __future__ import annotations

import numpy as np
import pytest

from compressor.passes.quantization.options import Scheme
from compressor.passes.quantize import QuantizeDynamic
from tests.passes.quantization.drawn import Array, draw, normal, operators, quantize, reasons, run_both

PRODUCT = "g (float[N, 64] x) => (float[N, 32] y) { y = MatMul(x, w) }"


@pytest.mark.parametrize(
    ("text", "shape", "feed"),
    [
        (PRODUCT, (64, 32), (20, 64)),
        ("g (float[32, 32] x) => (float[32, 32] y) { h = MatMul(x, w) y = Add(h, w) }", (32, 32), (32, 32)),
        ("g (float[1, 8, 9, 9] x) => (float[1, 32, 7, 7] y) { y = Conv(x, w) }", (32, 8, 3, 3), (1, 8, 9, 9)),
    ],
    ids=["MatMul", "Add", "Conv"],
)
def test_any_use_gets_the_nearest_float16_as_float32(text: str, shape: tuple[int, ...], feed: tuple[int, ...]) -> None:
    w, x = normal(*shape), normal(*feed, seed=1)
    result = quantize(draw(text, w=w), scheme=Scheme.FP16)
    assert result.counts == {"weights_quantized": 1, "stored_as_fp16": 1}
    stored = [value.const_value for value in result.model.graph.initializers.values()]
    assert [tensor.nbytes for tensor in stored if tensor is not None] == [w.nbytes // 2]
    rounded = draw(text, w=w.astype(np.float16).astype(np.float32))
    for expected, actual in run_both(rounded, result, x=x):
        assert actual.dtype == np.float32
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def spoiled(value: float, count: int = 1) -> Array:
    w = normal(64, 32)
    w.reshape(-1)[:count] = value
    return w


@pytest.mark.parametrize(
    ("w", "reason"),
    [
        (spoiled(65536), "holds values up to 6.6e+04, beyond float16's 65504"),
        (spoiled(np.nan), "holds NaN or infinity"),
        (spoiled(-np.inf), "holds NaN or infinity"),
        (spoiled(1e-6, 100), "100 of its 2048 values are below 7.6e-06, where float16 has few digits"),
    ],
    ids=["overflow", "nan", "infinity", "underflow"],
)
def test_keeps_in_float_what_float16_would_lose(w: Array, reason: str) -> None:
    result = quantize(draw(PRODUCT, w=w), scheme=Scheme.FP16)
    assert reasons(result) == {"w": reason}
    assert not result.counts


def test_the_largest_float16_and_zeros_are_no_loss() -> None:
    w = spoiled(0, 1500)
    w[-1, -1] = 65504
    assert quantize(draw(PRODUCT, w=w), scheme=Scheme.FP16).counts["stored_as_fp16"] == 1


def test_a_second_run_leaves_float16_alone_and_says_so() -> None:
    first = quantize(draw(PRODUCT, w=normal(64, 32)), scheme=Scheme.FP16)
    assert operators(first) == ["Cast", "MatMul"]
    second = QuantizeDynamic(min_elements=1, scheme=Scheme.FP16).run(first.model)
    assert not second.counts
    assert [skip.reason for skip in second.skipped] == ["is float16, which float16 is not smaller than"]


def test_integers_can_still_be_made_of_what_is_stored_as_float16() -> None:
    model = draw(PRODUCT, w=normal(64, 32))
    second = QuantizeDynamic(min_elements=1).run(quantize(model, scheme=Scheme.FP16).model)
    assert second.counts["matmul_in_int8"] == 1
