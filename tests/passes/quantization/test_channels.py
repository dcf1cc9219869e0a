"""Channels: read in blocks, exact to the element, and judged one by one."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from compressor.passes.quantization import channels
from compressor.passes.quantization.channels import integer_blocks, measure_channels, scales_for
from compressor.passes.quantization.options import Scheme
from tests.passes.quantization.drawn import BY_CHANNEL, Array, draw, normal, quantize, reasons


@pytest.mark.parametrize("limit", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("axes", [(), (0,), (1,), (2,), (0, 2), (0, 1)])
def test_blocks_of_any_size_give_what_the_whole_tensor_gives(
    limit: int, axes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "_BLOCK_ELEMENTS", limit)
    array = normal(5, 6, 7)
    over = tuple(axis for axis in range(3) if axis not in axes)
    measured = measure_channels(ir.tensor(array), frozenset(axes))
    assert np.array_equal(measured.peak, np.abs(array).max(axis=over, keepdims=True))
    assert np.allclose(measured.total, np.abs(array).sum(axis=over, keepdims=True))
    scales = scales_for(measured, frozenset(axes))
    integers = np.concatenate([block.reshape(-1) for block in integer_blocks(ir.tensor(array), scales, 0)()])
    assert integers.dtype == np.int8
    assert np.abs(integers.reshape(array.shape) * scales - array).max() <= scales.max() * 0.5001
    assert np.abs(integers).max() == 127


def test_the_unsigned_form_is_the_signed_one_shifted() -> None:
    array = normal(32, 16)
    scales = scales_for(measure_channels(ir.tensor(array), frozenset({1})), frozenset({1}))
    signed, unsigned = (next(integer_blocks(ir.tensor(array), scales, zero)()) for zero in (0, 128))
    assert np.array_equal(signed.astype(np.int16) + 128, unsigned.astype(np.int16))


PRODUCTS = {
    "stored as used": ((64, 33), "y = MatMul(x, w)"),
    "an odd sum": ((63, 33), "p = Constant<value_ints = [0, 0, 0, -1]>() z = Pad(x, p) y = MatMul(z, w)"),
    "transposed": ((33, 64), "t = Transpose(w) y = MatMul(x, t)"),
    "Gemm": ((33, 64), "y = Gemm<transB = 1>(x, w)"),
    "merged": ((4, 16, 33), "s = Constant<value_ints = [64, 33]>() t = Reshape(w, s) y = MatMul(x, t)"),
    "merged of odd parts": (
        (3, 33, 21), "t = Transpose<perm = [0, 2, 1]>(w) s = Constant<value_ints = [63, 33]>() v = Reshape(t, s)"
        " p = Constant<value_ints = [0, 0, 0, -1]>() z = Pad(x, p) y = MatMul(z, v)",
    ),
}  # fmt: skip
"""Weights of a sum over 64 (or 63) elements, in the orders they may be stored in."""


@pytest.mark.parametrize("limit", [1, 50, 100, 1 << 20])
@pytest.mark.parametrize("name", PRODUCTS)
def test_no_two_neighbours_of_a_sum_overflow_sixteen_bits(
    name: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """255 x (|a| + |b|) fits 16 bits for every pair of int8 weights that a processor without VNNI adds up there."""
    monkeypatch.setattr(channels, "_BLOCK_ELEMENTS", limit)
    shape, nodes = PRODUCTS[name]
    model = draw(f"g (float[N, 64] x) => (float[N, 33] y) {{ {nodes} }}", w=normal(*shape))
    result = quantize(model)
    assert result.counts["matmul_in_int8" if name != "Gemm" else "gemm_in_int8"] == 1
    tensor = result.model.graph.initializers["w_int8"].const_value
    assert tensor is not None
    seen = tensor.numpy().astype(np.int64)
    seen = seen.transpose(0, 2, 1).reshape(63, 33) if name == "merged of odd parts" else seen
    seen = seen.T if name in ("transposed", "Gemm") else seen.reshape(-1, 33)
    pairs = np.abs(seen[0::2]).copy()
    pairs[: len(seen) // 2] += np.abs(seen[1::2])
    assert pairs.max() <= 128
    neighbours_share_a_block = limit >= 100 and name != "merged of odd parts"
    assert pairs.max() >= (127 if neighbours_share_a_block else 63), "more range is given away than needed"


def test_weights_that_are_not_multiplied_in_integers_use_the_whole_range() -> None:
    model = draw("g (int64[A] i) => (float[A, 64] y) { y = Gather(w, i) }", w=normal(100, 64))
    tensor = quantize(model).model.graph.initializers["w_int8"].const_value
    assert tensor is not None
    assert (np.abs(tensor.numpy().astype(np.int16)).max(axis=1) == 127).all()


def spoiled(value: float, *places: tuple[int, int]) -> Array:
    w = normal(64, 32)
    for place in ((3, 5), *places):
        w[place] = value
    return w


@pytest.mark.parametrize("scheme", BY_CHANNEL)
@pytest.mark.parametrize(
    ("w", "reason"),
    [
        (spoiled(np.nan), "holds NaN or infinity"),
        (spoiled(np.inf), "holds NaN or infinity"),
        (spoiled(3e38), "holds values up to 3.0e+38, whose products overflow"),
        (
            spoiled(1000, (9, 11)),
            "a few large values in 2 of its 32 channels would round most of the others there to zero",
        ),
        (np.full((64, 32), 1e-40, np.float32), "holds only zeros and denormal values"),
    ],
    ids=["nan", "infinity", "huge", "outlier", "denormal"],
)
def test_keeps_in_float_what_int8_would_not_represent(w: Array, reason: str, scheme: Scheme) -> None:
    model = draw("g (float[N, 64] x) => (float[N, 32] y) { y = MatMul(x, w) }", w=w)
    result = quantize(model, scheme=scheme)
    assert reasons(result) == {"w": reason}
    assert not result.counts


@pytest.mark.parametrize("sparsity", [0.9, 0.998, 1.0])
def test_zeros_are_exact_so_pruned_weights_are_fine(sparsity: float) -> None:
    random = np.random.default_rng(0)
    w = np.where(random.random((1024, 32)) < sparsity, 0, random.uniform(0.5, 1, (1024, 32))).astype(np.float32)
    model = draw("g (float[N, 1024] x) => (float[N, 32] y) { y = MatMul(x, w) }", w=w)
    assert quantize(model).counts["matmul_in_int8"] == 1


def test_a_channel_of_zeros_stays_zero() -> None:
    w = normal(64, 32)
    w[:, 3] = 0
    scales = scales_for(measure_channels(ir.tensor(w), frozenset({1})), frozenset({1}))
    integers = next(integer_blocks(ir.tensor(w), scales, 0)())
    assert not integers[:, 3].any()
    assert np.isfinite(scales).all()
