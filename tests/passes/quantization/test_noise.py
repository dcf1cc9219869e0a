"""The noise of a weight: what its integers times their scales are off by, and what the report says of it."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
import pytest

from compressor.passes.quantization import noise
from compressor.passes.quantization.noise import signal_to_noise_db
from compressor.passes.quantization.options import Scheme
from tests.passes.quantization.drawn import Array, draw, normal, quantize, uneven


def by_hand(w: Array, scales: Array) -> float:
    back = np.rint(w.astype(np.float64) / scales) * scales
    return float(10 * np.log10((w.astype(np.float64) ** 2).sum() / ((w - back) ** 2).sum()))


@pytest.mark.parametrize("axes", [(0,), (1,), ()])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_is_the_ratio_of_energies(axes: tuple[int, ...], dtype: type[np.generic]) -> None:
    w = uneven(60, 70).astype(dtype)
    over = tuple(axis for axis in range(2) if axis not in axes)
    scales = (np.abs(w).max(axis=over, keepdims=True) / 127).astype(np.float32)
    assert signal_to_noise_db(ir.tensor(w), scales) == pytest.approx(by_hand(w, scales), abs=0.01)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_neither_overflows_nor_vanishes(size: float) -> None:
    w = normal(60, 70)
    scales = np.abs(w).max(axis=0, keepdims=True) / 127
    scaled = signal_to_noise_db(ir.tensor(w * np.float32(size)), scales * np.float32(size))
    assert scaled == pytest.approx(signal_to_noise_db(ir.tensor(w), scales), abs=0.01)


def test_whole_numbers_lose_nothing() -> None:
    w = np.arange(-127, 128, dtype=np.float32).reshape(5, 51)
    assert signal_to_noise_db(ir.tensor(w), np.ones((1, 1), np.float32)) == math.inf


def test_rows_that_stay_float_do_not_count() -> None:
    w = normal(60, 70)
    scales = np.abs(w).max(axis=0, keepdims=True) / 127
    spoilt = w.copy()
    spoilt[7] = 1000
    without = w.copy()
    without[7] = 0
    assert signal_to_noise_db(ir.tensor(spoilt), scales, {7}) == pytest.approx(by_hand(without, scales), abs=0.01)


def test_of_a_large_weight_some_blocks_stand_for_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "HELD_ELEMENTS", 1 << 18)
    w = normal(4096, 512) * np.geomspace(0.3, 3, 512, dtype=np.float32)
    scales = np.abs(w).max(axis=0, keepdims=True) / 127
    assert signal_to_noise_db(ir.tensor(w), scales) == pytest.approx(by_hand(w, scales), abs=0.5)


def test_the_report_names_the_worst_first_and_weighs_the_rest() -> None:
    rough = normal(64, 32, seed=3)
    rough *= 0.1
    rough[3] = 1.0
    model = draw(
        "g (float[N, 64] x) => (float[N, 32] y, float[N, 32] z, float[N, 32] o)"
        "{ y = MatMul(x, fine) z = MatMul(x, rough) o = Add(y, bias) }",
        fine=normal(64, 32), rough=rough, bias=normal(32),
    )  # fmt: skip
    found = quantize(model).quantization
    assert found is not None
    assert [worst.name for worst in found.worst] == ["rough", "fine"]
    assert found.worst[0].sqnr_db < found.worst[1].sqnr_db
    assert found.quantized_bytes == 2 * 8192
    assert found.float_bytes == 128


@pytest.mark.parametrize(("scheme", "least"), [(Scheme.BLOCKWISE_8, 40), (Scheme.BLOCKWISE_4, 15)])
def test_blocks_are_judged_too(scheme: Scheme, least: float) -> None:
    model = draw("g (float[N, 64] x) => (float[N, 64] y) { y = MatMul(x, w) }", w=normal(64, 64))
    found = quantize(model, scheme=scheme).quantization
    assert found is not None
    assert least < found.worst[0].sqnr_db < least + 15


def test_a_model_without_weights_has_no_account() -> None:
    assert quantize(draw("g (float[N] x) => (float[N] y) { y = Neg(x) }")).quantization is None
