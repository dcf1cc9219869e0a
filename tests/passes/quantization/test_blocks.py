"""The layout of blocks, against a reference that unpacks it number by number, and the choice of their scales."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from compressor.passes.quantization.blocks import (
    BlockFormat,
    Blocks,
    Matrix,
    as_matrix,
    measure_blocks,
    packed_blocks,
    packed_zero_points,
)
from compressor.passes.quantization.views import View
from tests.passes.quantization.drawn import Array, normal, uneven

every_form = pytest.mark.parametrize("form", [BlockFormat(8, 32), BlockFormat(4, 32), BlockFormat(4, 16)], ids=str)


def measure(w: Array, form: BlockFormat, *, outputs_first: bool = True) -> tuple[Matrix, Blocks]:
    outputs, inputs = w.shape if outputs_first else w.shape[::-1]
    matrix = Matrix(outputs, inputs, outputs_first)
    blocks = measure_blocks(ir.tensor(w), matrix, form, ir.DataType.FLOAT)
    assert isinstance(blocks, Blocks), blocks
    return matrix, blocks


def stored_bytes(w: Array, matrix: Matrix, form: BlockFormat, blocks: Blocks) -> bytes:
    return b"".join(
        np.ascontiguousarray(part).tobytes() for part in packed_blocks(ir.tensor(w), matrix, form, blocks)()
    )


def unpack(raw: bytes, matrix: Matrix, form: BlockFormat, blocks: Blocks) -> Array:
    """Read the packed matrix the way the operators' documentation describes it: outputs, blocks, low half first."""
    count = matrix.blocks(form.size)
    values = np.zeros((matrix.outputs, count * form.size), np.float32)
    for row in range(matrix.outputs):
        for column in range(count * form.size):
            bit = (row * count * form.size + column) * form.bits
            integer = raw[bit // 8] >> bit % 8 & form.highest
            block = column // form.size
            zero = form.middle if blocks.zero_points is None else int(blocks.zero_points[row, block])
            values[row, column] = (integer - zero) * blocks.scales[row, block]
    return values[:, : matrix.inputs]


@every_form
@pytest.mark.parametrize("inputs", [64, 40, 33, 7])
@pytest.mark.parametrize("outputs_first", [True, False])
def test_what_is_stored_is_within_half_a_step_of_the_weight(
    inputs: int, form: BlockFormat, outputs_first: bool
) -> None:
    w = uneven(9, inputs)
    stored = w if outputs_first else np.ascontiguousarray(w.T)
    matrix, blocks = measure(stored, form, outputs_first=outputs_first)
    decoded = unpack(stored_bytes(stored, matrix, form, blocks), matrix, form, blocks)
    step = np.repeat(blocks.scales, form.size, axis=1)[:, :inputs]
    inside = np.abs(decoded - w) <= step / 2 * (1 + 1e-5)
    # At 4 bits the range may be shrunk to 86 %, so that the ends are clipped.
    assert inside.all() if form.bits == 8 else inside.mean() > 0.8
    assert (np.abs(decoded - w) <= 1.7 * step).all()


@every_form
def test_both_orders_of_storage_give_the_same_bytes(form: BlockFormat) -> None:
    w = normal(48, 100)
    turned = np.ascontiguousarray(w.T)
    first = stored_bytes(w, *_measured(w, form, outputs_first=True))
    assert first == stored_bytes(turned, *_measured(turned, form, outputs_first=False))


def _measured(w: Array, form: BlockFormat, *, outputs_first: bool) -> tuple[Matrix, BlockFormat, Blocks]:
    matrix, blocks = measure(w, form, outputs_first=outputs_first)
    return matrix, form, blocks


@pytest.mark.parametrize("outputs_first", [True, False])
def test_a_matrix_of_many_pieces_is_read_like_one_of_few(outputs_first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from compressor.passes.quantization import blocks as module

    w, form = uneven(96, 200), BlockFormat(4, 32)
    whole = stored_bytes(w, *_measured(w, form, outputs_first=outputs_first))
    monkeypatch.setattr(module, "_PIECE_ELEMENTS", 777)
    assert stored_bytes(w, *_measured(w, form, outputs_first=outputs_first)) == whole


@pytest.mark.parametrize("size", [32, 128])
def test_four_bits_are_nearer_than_round_to_nearest_over_the_whole_range(size: int) -> None:
    w, form = normal(64, 512), BlockFormat(4, size)
    matrix, blocks = measure(w, form)
    decoded = unpack(stored_bytes(w, matrix, form, blocks), matrix, form, blocks)
    parts = w.reshape(64, -1, size)
    low, high = np.minimum(parts.min(-1, keepdims=True), 0), np.maximum(parts.max(-1, keepdims=True), 0)
    step = (high - low) / 15
    zero = np.rint(-low / step)
    plain = (np.clip(np.rint(parts / step) + zero, 0, 15) - zero) * step
    assert ((decoded - w) ** 2).sum() < 0.97 * ((plain - parts) ** 2).sum()


def test_zero_stays_zero_and_a_block_of_one_sign_uses_the_whole_range() -> None:
    w = np.abs(normal(16, 64))
    w[3] = 0
    w[5, ::2] = 0
    matrix, blocks = measure(w, BlockFormat(4, 32))
    decoded = unpack(stored_bytes(w, matrix, BlockFormat(4, 32), blocks), matrix, BlockFormat(4, 32), blocks)
    assert not decoded[w == 0].any()
    assert blocks.zero_points is not None
    assert not blocks.zero_points.any()


def test_zero_points_of_an_odd_number_of_blocks_fill_whole_bytes() -> None:
    _, blocks = measure(normal(5, 96), BlockFormat(4, 32))
    packed = packed_zero_points(blocks, BlockFormat(4, 32))
    assert packed is not None
    assert packed.shape == (5, 2)
    assert blocks.zero_points is not None
    assert (packed[:, 0] == (blocks.zero_points[:, 0] | blocks.zero_points[:, 1] << 4)).all()
    assert (packed[:, 1] == blocks.zero_points[:, 2]).all()
    assert packed_zero_points(measure(normal(5, 96), BlockFormat(8, 32))[1], BlockFormat(8, 32)) is None


def test_scales_of_float16_are_exact_in_float16() -> None:
    w = (normal(32, 64) * 1e-6).astype(np.float16)
    blocks = measure_blocks(ir.tensor(w), Matrix(32, 64, True), BlockFormat(8, 32), ir.DataType.FLOAT16)
    assert isinstance(blocks, Blocks)
    assert (blocks.scales > 0).all()
    assert (blocks.scales.astype(np.float16).astype(np.float32) == blocks.scales).all()


def test_sees_the_matrix_behind_a_transpose_and_a_reshape() -> None:
    stored = View.whole((4, 6, 10))
    assert as_matrix(stored.reshaped((24, 10)), 1) == Matrix(10, 24, False)
    assert as_matrix(stored.reshaped((24, 10)).transposed((1, 0)), 0) == Matrix(10, 24, False)
    assert as_matrix(stored.reshaped((24, 10)), 0) == Matrix(24, 10, True)


def test_sees_no_matrix_in_axes_that_are_mixed_up() -> None:
    assert as_matrix(View.whole((4, 6, 10)), 1) is None
    assert as_matrix(View.whole((4, 6, 10)).transposed((1, 0, 2)).reshaped((24, 10)), 1) is None
    assert as_matrix(View.whole((24, 10)).reshaped((40, 6)), 1) is None
