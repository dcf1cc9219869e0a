"""Make up values for an input of a known kind and shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from compressor.evaluation.contract import Array
from compressor.evaluation.signature import SETTINGS, InputSpec, Kind
from compressor.evaluation.sizes import Plan

# Keeps a masked position out of a Softmax in float16 too, whose largest number is 65504.
_VERY_NEGATIVE = -10000.0
_WORDS = ("river", "stone", "seven", "quietly", "a", "Zürich", "walks", "2026", "of", "light", "?", "payment")
_MASK_PATTERNS = 5


def make_values(spec: InputSpec, shape: tuple[int, ...], plan: Plan, draw: int, random: np.random.Generator) -> Array:
    """Make one array.

    Args:
        spec: what the input is.
        shape: its sizes.
        plan: the sizes of the run, for values that depend on them.
        draw: counts the runs, so that masks and switches differ from run to run.
        random: where chance comes from.
    """
    return _to_type(_make(spec, shape, plan, draw, random), spec.dtype)


def make_mask(shape: tuple[int, ...], draw: int, random: np.random.Generator) -> Array:
    """Make rows that are full, padded on the right, padded on the left, with holes, and nearly empty, in turn.

    Rows run along the first axis; the pattern lies along the last one. No row is without a 1.
    """
    rows, length = (shape[0], shape[-1]) if len(shape) > 1 else (1, shape[-1] if shape else 1)
    patterns = [_mask_row((draw + row) % _MASK_PATTERNS, length, random) for row in range(rows)]
    table = np.array(patterns, dtype=np.int64).reshape(rows, length)
    middle = (1,) * max(0, len(shape) - 2)
    return np.broadcast_to(table.reshape(rows, *middle, length), shape) if len(shape) > 1 else table.reshape(shape)


def _mask_row(pattern: int, length: int, random: np.random.Generator) -> Array:
    row = np.ones(length, dtype=np.int64)
    padding = max(1, length // 3)
    if length < 2 or pattern == 0:
        return row
    if pattern == 1:
        row[-padding:] = 0
    elif pattern == 2:
        row[:padding] = 0
    elif pattern == 3:
        row[random.permutation(length)[:padding]] = 0
    else:
        row[1:] = 0
    return row


def _see_the_past(mask: Array, shape: tuple[int, ...], plan: Plan) -> Array:
    """Show the last cached step, so that every new step has something to attend to."""
    if not shape or plan.past == 0 or shape[-1] != plan.past + plan.length:
        return mask
    seen: Array = mask.copy()
    seen[..., plan.past - 1] = 1
    return seen


def _make(spec: InputSpec, shape: tuple[int, ...], plan: Plan, draw: int, random: np.random.Generator) -> Array:
    match spec.kind:
        case Kind.TEXT:
            return random.choice(np.array(_WORDS, dtype=object), size=shape)
        case Kind.MASK:
            mask = _see_the_past(make_mask(shape, draw, random), shape, plan)
            # PyTorch's key_padding_mask is true where there is nothing; a row of it that is all true gives NaN.
            return 1 - mask if spec.dtype == ir.DataType.BOOL and "padding" in spec.name.lower() else mask
        case Kind.SCORE_MASK:
            return (1 - _see_the_past(make_mask(shape, draw, random), shape, plan)) * _VERY_NEGATIVE
        case Kind.POSITION:
            steps = np.arange(shape[-1]) + plan.past
            return np.broadcast_to(np.minimum(steps, (spec.limit or steps.size + plan.past) - 1), shape)
        case Kind.LENGTH:
            lengths = random.integers(1, max(1, plan.length) + 1, size=shape)
            return np.where(np.arange(shape[0]) == 0, plan.length, lengths)
        case Kind.SWITCH:
            return np.full(shape, plan.past > 0 if "cache" in spec.name or "past" in spec.name else draw % 2 == 0)
        case Kind.SETTING:
            return np.full(shape, _setting(spec, plan))
    if spec.dtype.is_floating_point() or spec.dtype in {ir.DataType.COMPLEX64, ir.DataType.COMPLEX128}:
        return random.standard_normal(shape)
    return random.integers(*_integer_range(spec, plan), size=shape)


def _setting(spec: InputSpec, plan: Plan) -> int:
    if spec.compared_to:
        return spec.compared_to[0]
    if spec.name == "max_length":
        return plan.length + 8
    return SETTINGS.get(spec.name, 1)


def _integer_range(spec: InputSpec, plan: Plan) -> tuple[int, int]:
    """Lowest value and the first one too large."""
    if spec.limit is not None:
        return 0, spec.limit
    if plan.timid or spec.kind is Kind.INDEX:
        return 0, 1 if plan.timid else 2
    if spec.dtype == ir.DataType.UINT8:
        return 0, 256
    if spec.dtype == ir.DataType.INT8:
        return -128, 128
    return 0, 2 if spec.dtype.bitwidth < 8 else 10


def _to_type(array: Array, dtype: ir.DataType) -> Array:
    if dtype == ir.DataType.STRING:
        return array
    # The element type is only known at run time.
    target: np.dtype[Any] = np.dtype(dtype.numpy())
    return np.ascontiguousarray(array.astype(target)).reshape(array.shape)
