"""Read a matrix by features, a block of rows at a time, and scale them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.model.weights import ComputedWeight, read_ranges

_BLOCK_ELEMENTS = 1 << 18
"""Elements worked on at once: 1 MB of float32."""

Floats = NDArray[np.float32]


def measure_features(tensor: ir.TensorProtocol, axis: int) -> tuple[Floats, NDArray[np.float64]]:
    """Largest magnitude and sum of squares of each feature; `axis` is that of the features."""
    peak, energy = np.zeros(tensor.shape.numpy()[axis], np.float32), np.zeros(tensor.shape.numpy()[axis], np.float64)
    for rows, block in _blocks(tensor):
        at = rows if axis == 0 else slice(None)
        np.maximum(peak[at], np.abs(block).max(axis=1 - axis), out=peak[at])
        energy[at] += np.square(block, dtype=np.float64).sum(axis=1 - axis)
    return peak, energy


def channel_reach(tensor: ir.TensorProtocol, axis: int, factors: Sequence[Floats]) -> list[Floats]:
    """What the integers of each output channel must reach, for each of several factors on the features.

    As the quantizer has it: the largest magnitude, or sum of those of two neighbouring features 2k and 2k + 1.
    """
    channels = tensor.shape.numpy()[1 - axis]
    reaches = [np.zeros(channels, np.float32) for _ in factors]
    for rows, block in _blocks(tensor):
        magnitudes = np.abs(block)
        for reach, factor in zip(reaches, factors, strict=True):
            scaled = magnitudes * _along(factor, rows, axis)
            turned = scaled if axis == 0 else scaled.T
            pairs = turned[0::2].copy()
            pairs[: len(turned) // 2] += turned[1::2]
            at = slice(None) if axis == 0 else rows
            np.maximum(reach[at], pairs.max(axis=0), out=reach[at])
    return reaches


def scaled_features(tensor: ir.TensorProtocol, axis: int, factor: Floats) -> ComputedWeight:
    """Make the matrix whose features are multiplied by `factor`, when somebody asks for its values."""
    return ComputedWeight(
        _scaled_blocks(tensor, axis, factor), tensor.dtype, ir.Shape(tensor.shape.numpy()), name=tensor.name or ""
    )


def _scaled_blocks(tensor: ir.TensorProtocol, axis: int, factor: Floats) -> Callable[[], Iterator[NDArray[Any]]]:
    def blocks() -> Iterator[NDArray[Any]]:
        for rows, block in _blocks(tensor):
            yield block * _along(factor, rows, axis)

    return blocks


def _along(factor: Floats, rows: slice, axis: int) -> Floats:
    return factor[rows, None] if axis == 0 else factor[None, :]


def _blocks(tensor: ir.TensorProtocol) -> Iterator[tuple[slice, Floats]]:
    """Yield blocks of rows; an even number each, so that neighbouring rows stay together."""
    count, width = tensor.shape.numpy()
    step = max(2, _BLOCK_ELEMENTS // width // 2 * 2)
    rows = [slice(start, min(count, start + step)) for start in range(0, count, step)]
    values = read_ranges(tensor, [(part.start * width, part.stop * width) for part in rows])
    for part, block in zip(rows, values, strict=True):
        yield part, block.reshape(-1, width)
