"""Measure how near the integers of a weight stay to its floats, reading no large weight a second time."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.model.weights import DetachedWeight, read_block
from compressor.passes.quantization.channels import along, read_blocks

HELD_ELEMENTS = 1 << 22
"""Elements of the largest weight that is read at once and held while it is measured and scaled (16.8 MB of float32; the
widest matrix of BERT-large). Of a larger one about as many are read again for its noise, in evenly spread blocks."""


def held(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """Read a weight into memory if it is small enough to be held; a larger one stays where it is."""
    if tensor.size > HELD_ELEMENTS or not isinstance(tensor, DetachedWeight):
        return tensor
    values = read_block(tensor, 0, tensor.size).reshape(tuple(tensor.shape.numpy()))
    return ir.Tensor(values, dtype=tensor.dtype, name=tensor.name)


def signal_to_noise_db(tensor: ir.TensorProtocol, scales: NDArray[np.float32], without: Collection[int] = ()) -> float:
    """Compare a weight with its integers times their scales: 10 log10(sum(w^2) / sum((w - q s)^2)).

    Args:
        tensor: the weight; of one that is larger than `HELD_ELEMENTS`, evenly spread blocks stand for the whole.
        scales: of the weight's rank, with size 1 along axes that share a scale.
        without: indices along the first axis that stay float.
    """
    axes = frozenset(axis for axis, size in enumerate(scales.shape) if size > 1)
    # In units of the largest step, so that no square overflows.
    inverse, units, signal, noise = np.float32(1) / scales, scales / scales.max(), 0.0, 0.0
    for region, block in read_blocks(tensor, without, every=max(1, tensor.size // HELD_ELEMENTS)):
        at = along(region, axes)
        steps = np.multiply(block, inverse[at])
        lost = steps - np.rint(steps)
        signal, noise = signal + energy(steps * units[at]), noise + energy(lost * units[at])
    return ratio_db(signal, noise)


def lost_channels(
    tensor: ir.TensorProtocol, scales: NDArray[np.float32], axes: frozenset[int], without: Collection[int] = ()
) -> NDArray[np.bool_]:
    """Find channels, along `axes` that need not be those of the scales, of which more than half rounds to zero.

    Args:
        tensor: the weight, all of which is read.
        scales: as for `signal_to_noise_db`.
        axes: a channel is one index along every one of these.
        without: indices along the first axis that stay float.
    """
    shape = tuple(tensor.shape.numpy())
    varies = frozenset(axis for axis, size in enumerate(scales.shape) if size > 1)
    over = tuple(axis for axis in range(len(shape)) if axis not in axes)
    used = np.zeros(tuple(size if axis in axes else 1 for axis, size in enumerate(shape)), np.int64)
    lost = used.copy()
    for region, block in read_blocks(tensor, without):
        at = along(region, axes)
        is_lost = (block != 0) & (np.abs(block) < scales[along(region, varies)] / 2)
        used[at] += np.count_nonzero(block, axis=over, keepdims=True)
        lost[at] += np.count_nonzero(is_lost, axis=over, keepdims=True)
    return np.asarray(2 * lost > used)


def energy(values: NDArray[Any]) -> float:
    """Sum of squares."""
    flat = np.asarray(values, np.float32).reshape(-1)
    return float(np.dot(flat, flat))


def ratio_db(signal: float, noise: float) -> float:
    """10 log10 of a ratio; infinity without noise, and not a number where squares overflowed."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if 0 < signal < math.inf and noise < math.inf else math.nan
