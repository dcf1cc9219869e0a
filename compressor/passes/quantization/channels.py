"""Measure a weight channel by channel, and make its integers, a block at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.model.weights import read_ranges

LEVELS = 127
"""Largest integer magnitude used: -128 is left out, so that the range is symmetric and the zero point 0 or 128."""

UINT8_ZERO_POINT = 128

_BLOCK_ELEMENTS = 1 << 17
"""Elements worked on at once: 512 kB of float32, so that a block and its temporaries stay in the processor's cache
(BERT-base, 110 M weights: 0.15 s to make the integers; 0.35 s with blocks of 1 MB)."""

_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)
HUGE = 2.0**100
"""Largest magnitude taken for a weight: beyond, products overflow."""

Region = tuple[tuple[slice, ...], int, int]
"""A block: its slice along each axis, and its first and last-plus-one element in row-major order."""


@dataclass(frozen=True, slots=True)
class Channels:
    """What one reading of a weight says about its channels.

    Attributes:
        peak: largest magnitude of each channel, of the weight's rank with size 1 along the axes measured over.
        reach: what 127 steps must reach: the peak, or the largest sum of two neighbours where products saturate.
        total: sum of magnitudes of each channel, in the same shape.
        per_channel: elements in each channel.
    """

    peak: NDArray[np.float32]
    reach: NDArray[np.float32]
    total: NDArray[np.float64]
    per_channel: int


def measure_channels(
    tensor: ir.TensorProtocol,
    axes: frozenset[int],
    *,
    paired: Collection[int | None] = (),
    without: Collection[int] = (),
) -> Channels:
    """Read `tensor` once, in blocks; a channel is one index along every one of `axes`.

    Args:
        tensor: the weight.
        axes: the axes of channels.
        paired: axes that int8 products sum over; None for one that cannot be traced back. x86 processors without VNNI
            add the products of elements 2k and 2k + 1 (uint8 x int8) in 16 bits, which hold 255 x 128: where the
            magnitudes of no two such neighbours exceed 128 steps, nothing saturates, on any processor.
        without: indices along the first axis read as zeros.
    """
    shape = tuple(tensor.shape.numpy())
    small = tuple(size if axis in axes else 1 for axis, size in enumerate(shape))
    over = tuple(axis for axis in range(len(shape)) if axis not in axes)
    lost = not axes.isdisjoint(axis for axis in paired if axis is not None) or None in paired
    traced = [axis for axis in paired if axis is not None and axis not in axes]
    peak, reach, total = np.zeros(small, np.float32), np.zeros(small, np.float32), np.zeros(small, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        for region, block in _magnitudes(tensor, without):
            at = along(region, axes)
            largest = block.max(axis=over, keepdims=True)
            np.maximum(peak[at], largest, out=peak[at])
            np.maximum(reach[at], 2 * largest if lost else largest, out=reach[at])
            for axis in traced:
                sums = _neighbour_sums(block, axis, region[axis], shape[axis])
                np.maximum(reach[at], sums.max(axis=over, keepdims=True), out=reach[at])
            total[at] += block.sum(axis=over, keepdims=True)
    return Channels(peak, reach, total, math.prod(shape) // max(1, math.prod(small)))


def unfit_reason(
    tensor: ir.TensorProtocol,
    channels: Channels,
    axes: frozenset[int],
    *,
    scaled: frozenset[int],
    without: Collection[int] = (),
) -> str:
    """Say why int8 would not represent a weight; empty if it does.

    Args:
        axes: what `channels` was measured along.
        scaled: the axes, among them, that get a scale of their own.
        without: indices along the first axis read as zeros.
    """
    largest = float(channels.peak.max())
    if not math.isfinite(largest):
        return "holds NaN or infinity"
    if largest > HUGE:
        return f"holds values up to {largest:.1e}, whose products overflow"
    if largest < LEVELS * _SMALLEST_NORMAL:
        return "holds only zeros and denormal values" if largest else ""
    drowned = ruined_channels(tensor, channels, axes, scaled=scaled, without=without)
    if not drowned.any():
        return ""
    spread = f"{int(drowned.sum())} of its {drowned.size} channels"
    if scaled != axes:
        return f"its uses leave it one scale, under which most of {spread} would round to zero"
    return f"a few large values in {spread} would round most of the others there to zero"


def ruined_channels(
    tensor: ir.TensorProtocol,
    channels: Channels,
    axes: frozenset[int],
    *,
    scaled: frozenset[int],
    without: Collection[int] = (),
) -> NDArray[np.bool_]:
    """Find the channels most of whose values would round to zero; the arguments are those of `unfit_reason`."""
    step = scales_for(channels, scaled)
    drowned = _drowned(channels.total, channels.peak, channels.per_channel, step)
    if drowned.any():
        # Read a second time only now: zeros are exact in int8, so only the others can be lost.
        nonzero = _count_nonzero(tensor, axes, without)
        drowned &= (nonzero > 1) & _drowned(channels.total, channels.peak, nonzero, step)
    return drowned


def largest_rows(tensor: ir.TensorProtocol, columns: NDArray[np.bool_], without: Collection[int]) -> set[int]:
    """Find the row of a matrix in which each of the `columns` has its largest magnitude, but those `without`."""
    wanted = np.flatnonzero(columns)
    peak, row = np.full(wanted.size, -1, np.float32), np.zeros(wanted.size, np.int64)
    for (rows, part), block in _magnitudes(tensor, without):
        here = np.flatnonzero((part.start <= wanted) & (wanted < part.stop))
        seen = block[:, wanted[here] - part.start]
        at, largest = seen.argmax(axis=0), seen.max(axis=0)
        larger = largest > peak[here]
        peak[here[larger]], row[here[larger]] = largest[larger], at[larger] + rows.start
    return {int(index) for index in row}


def scales_for(channels: Channels, scaled: frozenset[int]) -> NDArray[np.float32]:
    """Value of one integer step, for each index along the `scaled` axes."""
    shared = tuple(axis for axis in range(channels.peak.ndim) if axis not in scaled)
    reach = channels.reach.max(axis=shared, keepdims=True)
    # A channel of zeros gets any scale; one of denormal values becomes zeros, as on processors that flush them.
    step = np.maximum(reach / np.float32(LEVELS), np.float32(_SMALLEST_NORMAL))
    return np.asarray(np.where(reach == 0, np.float32(1), step), np.float32)


def integer_blocks(
    tensor: ir.TensorProtocol, scales: NDArray[np.float32], zero_point: int, without: Collection[int] = ()
) -> Callable[[], Iterator[NDArray[Any]]]:
    """Make what yields the integers of `tensor`: round(w / scale), plus the zero point of an unsigned type."""
    axes = frozenset(axis for axis, size in enumerate(scales.shape) if size > 1)
    inverse = np.float32(1) / scales
    dtype = np.uint8 if zero_point else np.int8

    def blocks() -> Iterator[NDArray[Any]]:
        for region, block in read_blocks(tensor, without):
            scaled = np.multiply(block, inverse[along(region, axes)])
            np.rint(scaled, out=scaled)
            if zero_point:
                scaled += np.float32(zero_point)
            yield scaled.astype(dtype)

    return blocks


def _drowned(
    total: NDArray[np.float64], peak: NDArray[np.float32], count: int | NDArray[Any], step: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Channels whose values, the largest left out, are on average under half a step.

    The usual signal to noise ratio cannot see this: n values of which one is large keep a ratio of at least
    12 * 127^2 / n (24 dB for n = 768) although all others become zero.
    """
    others = (total - peak) / np.maximum(np.asarray(count) - 1, 1)
    return np.asarray((others < step / 2) & (total > peak))


def _neighbour_sums(magnitudes: NDArray[Any], axis: int, part: slice, size: int) -> NDArray[Any]:
    """Add the magnitudes of elements 2k and 2k + 1 along `axis`; twice each where the block may lack one of two."""
    if part.start % 2 or (part.stop % 2 and part.stop < size):
        return np.asarray(2 * magnitudes)
    first, second = (magnitudes[(slice(None),) * axis + (slice(start, None, 2),)] for start in (0, 1))
    sums: NDArray[Any] = first.copy()
    sums[(slice(None),) * axis + (slice(0, second.shape[axis]),)] += second
    return sums


def _count_nonzero(tensor: ir.TensorProtocol, axes: frozenset[int], without: Collection[int]) -> NDArray[np.int64]:
    shape = tuple(tensor.shape.numpy())
    count = np.zeros(tuple(size if axis in axes else 1 for axis, size in enumerate(shape)), np.int64)
    over = tuple(axis for axis in range(len(shape)) if axis not in axes)
    for region, block in read_blocks(tensor, without):
        count[along(region, axes)] += np.count_nonzero(block, axis=over, keepdims=True)
    return count


def _magnitudes(
    tensor: ir.TensorProtocol, without: Collection[int]
) -> Iterator[tuple[tuple[slice, ...], NDArray[Any]]]:
    for region, block in read_blocks(tensor, without):
        yield region, np.abs(block)


def read_blocks(
    tensor: ir.TensorProtocol, without: Collection[int] = (), *, every: int = 1
) -> Iterator[tuple[tuple[slice, ...], NDArray[Any]]]:
    """Yield blocks of `tensor` as float32, the first of every `every`, each with its slices.

    Args:
        tensor: the weight.
        without: indices along the first axis read as zeros.
        every: 1 reads all of it.
    """
    regions = list(islice(_regions(tuple(tensor.shape.numpy()), _BLOCK_ELEMENTS), 0, None, every))
    values = read_ranges(tensor, ((start, stop) for _, start, stop in regions))
    for (region, _, _), flat in zip(regions, values, strict=True):
        sizes = tuple(part.stop - part.start for part in region)
        block = flat.astype(np.float32, copy=False).reshape(sizes)
        zeroed = [index - region[0].start for index in without if region[0].start <= index < region[0].stop]
        if zeroed:
            block = block.copy()
            block[zeroed] = 0
        yield region, block


def _regions(shape: tuple[int, ...], limit: int, start: int = 0) -> Iterator[Region]:
    """Cut `shape` into blocks of at most `limit` elements that are contiguous in row-major order."""
    count = math.prod(shape)
    if count <= limit or not shape:
        yield tuple(slice(0, size) for size in shape), start, start + count
        return
    row = math.prod(shape[1:])
    if row <= limit:
        rest = tuple(slice(0, size) for size in shape[1:])
        step = limit // row
        step -= step % 2 if step > 1 else 0  # neighbours stay together
        for first in range(0, shape[0], step):
            last = min(shape[0], first + step)
            yield (slice(first, last), *rest), start + first * row, start + last * row
        return
    for index in range(shape[0]):
        for region, first, last in _regions(shape[1:], limit, start + index * row):
            yield (slice(index, index + 1), *region), first, last


def along(region: tuple[slice, ...], axes: frozenset[int]) -> tuple[slice, ...]:
    """Where in an array with size 1 along all but `axes` a block lies."""
    return tuple(part if axis in axes else slice(0, 1) for axis, part in enumerate(region))
