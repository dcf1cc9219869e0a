"""Store a matrix in blocks of 4 or 8 bit integers, each block with a scale of its own, read a piece at a time.

The layout is the one that ONNX Runtime's MatMulNBits and GatherBlockQuantized have in common: outputs first, each
followed by its blocks in order; two 4-bit integers share a byte, the first in its low half. Zero points are packed the
same way, a row of them for each output; without them every zero point is the middle of the range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.model.weights import read_ranges
from compressor.passes.quantization.channels import HUGE
from compressor.passes.quantization.noise import energy, ratio_db
from compressor.passes.quantization.views import View

_PIECE_ELEMENTS = 1 << 17
"""Elements worked on at once, as in `channels`: a piece and its temporaries stay in the processor's cache."""

_STRIP_ELEMENTS = 1 << 22
"""Elements of a matrix stored inputs first that are read at once (16.8 MB of float32): a row of its blocks lies across
all of its outputs, which may be a vocabulary."""

_TURNED_ELEMENTS = 1 << 27
"""Elements of such a matrix whose integers are held while they are turned over: 134 MB of 8 bits, and all of a float32
matrix of 537 MB. A larger one is read again for every so many of its outputs."""

_SHRUNK = (1.0, 0.93, 0.86)
"""Ranges tried for a block of 4 bits, as shares of what holds all its values: clipping the largest value a little makes
every step smaller. all-MiniLM-L6-v2, blocks of 64: 20.36 dB with the first alone and no fit, 20.67 dB with these three,
20.71 dB with five and neighbouring zero points, in three times the time."""

_TINY = {ir.DataType.FLOAT: float(np.finfo(np.float32).tiny), ir.DataType.FLOAT16: 2.0**-24}
"""Smallest scale of a type; under float16's normal range it has few digits, which the integers make up for."""

_LARGEST_LOSS = 1 / 2
"""Share of an output's values, zeros left out, that may round to zero. Normal random numbers lose 1 % at 8 bits and
14 % at 4; a value that drowns its block takes the rest of the block with it."""

Piece = tuple[slice, slice, NDArray[np.float32]]
"""Some outputs, some of their blocks, and the values: one row an output, one column a block, and the block."""


@dataclass(frozen=True, slots=True)
class BlockFormat:
    """How wide integers are and how many share a scale."""

    bits: int
    size: int

    @property
    def highest(self) -> int:
        """The largest integer; the smallest is 0."""
        return (1 << self.bits) - 1

    @property
    def middle(self) -> int:
        """The zero point where none is given."""
        return 1 << (self.bits - 1)

    @property
    def block_bytes(self) -> int:
        """Bytes of one block."""
        return self.size * self.bits // 8

    def packed(self, integers: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pack along the last axis, which is as long as whole bytes need."""
        if self.bits == 8:
            return integers
        return np.asarray(integers[..., 0::2] | (integers[..., 1::2] << 4), np.uint8)


@dataclass(frozen=True, slots=True)
class Matrix:
    """A stored weight as the right operand of a product: `outputs` sums over `inputs` elements each.

    Attributes:
        outputs_first: it is stored as ``[outputs, inputs]``, as a lookup table and a Gemm's transposed weight are.
    """

    outputs: int
    inputs: int
    outputs_first: bool

    def blocks(self, size: int) -> int:
        """Blocks of each output, the last one filled up with zeros."""
        return -(-self.inputs // size)


@dataclass(frozen=True, slots=True)
class Blocks:
    """What one reading of a matrix found.

    Attributes:
        scales: value of one step, ``[outputs, blocks]``, exact in the type they are stored in.
        zero_points: the integer that stands for zero, of the same shape; None where it is the middle for all.
        ruined: outputs too many values of which round to zero.
        sqnr_db: 10 log10(sum(w^2) / sum((w - w')^2)) over all of the matrix.
    """

    scales: NDArray[np.float32]
    zero_points: NDArray[np.uint8] | None
    ruined: int
    sqnr_db: float


def as_matrix(view: View, outputs_axis: int) -> Matrix | None:
    """Read a weight as a matrix with its outputs along one axis of `view`; None where it is not stored as one."""
    if len(view.shape) != 2:
        return None
    outputs, inputs = view.sources[outputs_axis], view.sources[1 - outputs_axis]
    if outputs is None or inputs is None:
        return None
    wide = tuple(axis for axis, size in enumerate(view.stored) if size != 1)
    first, second = (tuple(axis for axis in part if view.stored[axis] != 1) for part in (outputs, inputs))
    if wide not in (first + second, second + first):
        return None
    return Matrix(view.shape[outputs_axis], view.shape[1 - outputs_axis], wide == first + second)


def measure_blocks(
    tensor: ir.TensorProtocol, matrix: Matrix, form: BlockFormat, scale_type: ir.DataType
) -> Blocks | str:
    """Read `tensor` once and choose the scale of each block, or say why no blocks would represent it."""
    shape = (matrix.outputs, matrix.blocks(form.size))
    scales = np.empty(shape, np.float32)
    zero_points = np.full(shape, form.middle, np.uint8)
    used, lost, peak = np.zeros(matrix.outputs, np.int64), np.zeros(matrix.outputs, np.int64), 0.0
    signal = noise = 0.0
    choose = _fit_with_zero_point if form.bits == 4 else _fit_symmetric
    with np.errstate(over="ignore", invalid="ignore"):
        for outputs, blocks, values in _pieces(tensor, matrix, form.size):
            largest = float(np.abs(values).max())
            if not largest <= HUGE:
                return _unfit_reason(largest)
            peak = max(peak, largest)
            step, zero = choose(values, form)
            step = np.maximum(step.astype(scale_type.numpy()).astype(np.float32), np.float32(_TINY[scale_type]))
            scales[outputs, blocks], zero_points[outputs, blocks] = step, zero
            wide, bottom = step[..., None], -zero[..., None].astype(np.float32)
            steps = np.clip(np.rint(values / wide), bottom, bottom + form.highest)
            signal, noise = signal + energy(values), noise + energy(values - steps * wide)
            used[outputs] += np.count_nonzero(values, axis=(1, 2))
            lost[outputs] += np.count_nonzero((values != 0) & (np.abs(values) < wide / 2), axis=(1, 2))
    if peak < form.highest * _TINY[ir.DataType.FLOAT]:
        return "holds only zeros and denormal values"
    ruined = int(np.count_nonzero(lost > used * _LARGEST_LOSS))
    return Blocks(scales, zero_points if form.bits == 4 else None, ruined, ratio_db(signal, noise))


def _unfit_reason(largest: float) -> str:
    if not math.isfinite(largest):
        return "holds NaN or infinity"
    return f"holds values up to {largest:.1e}, whose products overflow"


def packed_blocks(
    tensor: ir.TensorProtocol, matrix: Matrix, form: BlockFormat, blocks: Blocks
) -> Callable[[], Iterator[NDArray[Any]]]:
    """Make what yields the packed integers of `tensor`, outputs first.

    A matrix stored inputs first has to be turned over, so the packed bytes of some outputs, those of all where they are
    few, are held until its last input is read; any other is passed on piece by piece.
    """

    def packed(piece: Piece) -> NDArray[np.uint8]:
        outputs, columns, values = piece
        zero = form.middle if blocks.zero_points is None else blocks.zero_points[outputs, columns, None]
        steps = np.rint(values / blocks.scales[outputs, columns, None]) + np.asarray(zero, np.float32)
        return form.packed(np.clip(steps, 0, form.highest).astype(np.uint8))

    def in_order() -> Iterator[NDArray[Any]]:
        if matrix.outputs_first:
            yield from map(packed, _pieces(tensor, matrix, form.size))
            return
        for band in _bands(matrix, form.size):
            turned = np.empty((band.stop - band.start, matrix.blocks(form.size), form.block_bytes), np.uint8)
            for piece in _columns(tensor, matrix, form.size, band):
                outputs, columns, _ = piece
                turned[outputs.start - band.start : outputs.stop - band.start, columns] = packed(piece)
            yield turned

    return in_order


def packed_zero_points(blocks: Blocks, form: BlockFormat) -> NDArray[np.uint8] | None:
    """Zero points as the operators take them, each output's filled up to whole bytes."""
    if blocks.zero_points is None:
        return None
    rest = blocks.zero_points.shape[1] * form.bits % 8
    return form.packed(np.pad(blocks.zero_points, ((0, 0), (0, rest // form.bits))))


def _fit_symmetric(values: NDArray[np.float32], form: BlockFormat) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Let the largest magnitude be the largest step; 8 bits leave nothing worth searching for (44 dB and more)."""
    largest = np.abs(values).max(axis=-1)
    step = np.where(largest == 0, np.float32(1), largest / np.float32(form.middle - 1))
    return np.asarray(step, np.float32), np.full(step.shape, form.middle, np.uint8)


def _fit_with_zero_point(
    values: NDArray[np.float32], form: BlockFormat
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Choose among a few ranges the one with the smallest squared error, its step fitted to the integers it gives.

    For fixed integers q the best step is sum(q w) / sum(q q), by least squares.
    """
    low, high = np.minimum(values.min(axis=-1), 0), np.maximum(values.max(axis=-1), 0)
    full = np.where(high > low, (high - low) / np.float32(form.highest), np.float32(1))
    zero = np.clip(np.rint(-low / full), 0, form.highest)
    bottom, top = -zero[..., None], form.highest - zero[..., None]
    best_step, least = full, np.full(full.shape, np.inf, np.float32)
    for share in _SHRUNK:
        step = full * np.float32(share)
        integers = np.clip(np.rint(values / step[..., None]), bottom, top)
        square = np.einsum("...i,...i", integers, integers)
        fitted = np.where(square > 0, np.einsum("...i,...i", integers, values) / np.maximum(square, 1), step)
        rest = values - integers * fitted[..., None]
        error = np.einsum("...i,...i", rest, rest)
        better = (error < least) & (fitted > 0)
        best_step, least = np.where(better, fitted, best_step), np.where(better, error, least)
    return best_step, zero.astype(np.uint8)


def _pieces(tensor: ir.TensorProtocol, matrix: Matrix, size: int) -> Iterator[Piece]:
    if matrix.outputs_first:
        yield from _rows(tensor, matrix, size)
        return
    for band in _bands(matrix, size):
        yield from _columns(tensor, matrix, size, band)


def _rows(tensor: ir.TensorProtocol, matrix: Matrix, size: int) -> Iterator[Piece]:
    count, length = matrix.blocks(size), matrix.inputs
    step = max(1, _PIECE_ELEMENTS // length)
    outputs = [slice(first, min(matrix.outputs, first + step)) for first in range(0, matrix.outputs, step)]
    values = read_ranges(tensor, ((part.start * length, part.stop * length) for part in outputs))
    for part, flat in zip(outputs, values, strict=True):
        rows = flat.astype(np.float32, copy=False).reshape(-1, length)
        if count * size != length:
            rows = np.pad(rows, ((0, 0), (0, count * size - length)))
        yield part, slice(0, count), rows.reshape(-1, count, size)


def _bands(matrix: Matrix, size: int) -> Iterator[slice]:
    """Split the outputs of a matrix stored inputs first into runs that are read, and turned over, one after another."""
    width = max(1, min(_TURNED_ELEMENTS // max(1, matrix.inputs), _STRIP_ELEMENTS // size))
    for first in range(0, matrix.outputs, width):
        yield slice(first, min(matrix.outputs, first + width))


def _columns(tensor: ir.TensorProtocol, matrix: Matrix, size: int, band: slice) -> Iterator[Piece]:
    """Read the inputs of some outputs strip by strip, each of one or more blocks, and cut these into pieces."""
    count, width = matrix.blocks(size), band.stop - band.start
    step = max(1, _PIECE_ELEMENTS // (size * width))
    strips = [slice(first, min(count, first + step)) for first in range(0, count, step)]
    ranges = [_ranges(matrix, band, strip.start * size, min(matrix.inputs, strip.stop * size)) for strip in strips]
    values = read_ranges(tensor, chain.from_iterable(ranges))
    tile = max(1, _PIECE_ELEMENTS // (size * step))
    for strip, parts in zip(strips, ranges, strict=True):
        rows = np.concatenate(list(islice(values, len(parts)))).astype(np.float32, copy=False).reshape(-1, width)
        missing = (strip.stop - strip.start) * size - len(rows)
        if missing:
            rows = np.pad(rows, ((0, missing), (0, 0)))
        blocks = rows.reshape(-1, size, width)
        for first in range(0, width, tile):
            last = min(width, first + tile)
            piece = np.ascontiguousarray(blocks[:, :, first:last].transpose(2, 0, 1))
            yield slice(band.start + first, band.start + last), strip, piece


def _ranges(matrix: Matrix, band: slice, start: int, stop: int) -> list[tuple[int, int]]:
    """Where inputs `start` to `stop` of the outputs in `band` lie."""
    if band == slice(0, matrix.outputs):
        return [(start * matrix.outputs, stop * matrix.outputs)]
    rows = (row * matrix.outputs for row in range(start, stop))
    return [(row + band.start, row + band.stop) for row in rows]
