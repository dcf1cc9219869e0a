"""Take the few rows of a matrix that ruin its channels out of the integers, and multiply by them in float.

The split is that of LLM.int8() (Dettmers et al. 2022, arXiv 2208.07339), with the rows chosen by the weight, not by
watching activations: ``x @ w = (x without features) @ (w without rows) + x[..., features] @ w[rows]``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.model.weights import read_ranges
from compressor.passes.quantization.channels import (
    HUGE,
    Channels,
    largest_rows,
    measure_channels,
    ruined_channels,
)

COLUMNS = frozenset({1})
"""The channels of a matrix on the right of a product."""

LEAST_ROWS_PER_OUTLIER = 64
"""At most one row in 64 stays float: 1/16 of the bytes of the integers, or 1/32 for float16."""

_ROUNDS = 8
"""Readings of a weight before it is given up: each finds the largest row of every channel still ruined."""


def find_outlier_rows(tensor: ir.TensorProtocol, channels: Channels, paired: Collection[int | None]) -> tuple[int, ...]:
    """Find few rows of a matrix without which no column is ruined; none where there are no such.

    Args:
        tensor: the matrix, of shape ``[rows, columns]``.
        channels: what its columns measure.
        paired: as for `measure_channels`.
    """
    limit = tensor.shape.numpy()[0] // LEAST_ROWS_PER_OUTLIER
    if not channels.peak.max() <= HUGE:
        return ()
    rows: set[int] = set()
    for _ in range(_ROUNDS):
        ruined = ruined_channels(tensor, channels, COLUMNS, scaled=COLUMNS, without=rows)
        if not ruined.any():
            return tuple(sorted(rows))
        rows |= largest_rows(tensor, ruined, rows)
        if len(rows) > limit:
            return ()
        channels = measure_channels(tensor, COLUMNS, paired=paired, without=rows)
    return ()


def read_rows(tensor: ir.TensorProtocol, rows: Sequence[int]) -> NDArray[Any]:
    """Read some rows of a matrix, given in order, in its own type."""
    width = tensor.shape.numpy()[1]
    return np.stack(list(read_ranges(tensor, [(row * width, (row + 1) * width) for row in rows])))
