"""Read off the graph what each input is: its type, its axes, and the kind of values it takes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import onnx_ir as ir

from compressor.evaluation.contract import Refusal
from compressor.evaluation.trace import Uses, trace_uses

# Settings whose meaning only their name tells; others take 1. What `max_length` may be depends on the run.
SETTINGS = {"num_beams": 2, "sample_rate": 16000, "sampling_rate": 16000, "max_length": 0}


class Kind(Enum):
    """What the values of an input mean."""

    INDEX = "indices into a table"
    POSITION = "positions, counted up"
    MASK = "1 where there is something to attend to, 0 elsewhere"
    SCORE_MASK = "0 where there is something to attend to, very negative elsewhere"
    LENGTH = "how many entries of each row are real"
    SETTING = "one number that steers the computation"
    SWITCH = "one truth value that steers the computation"
    IMAGE = "pixels"
    CACHE = "keys, values or states of earlier steps"
    NUMBERS = "numbers"
    TEXT = "strings"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """One input that must be fed.

    Attributes:
        name: the graph input.
        dtype: its element type.
        axes: a size where the graph fixes it, else the axis's name (a made-up one where the graph gives none).
        kind: what its values mean.
        limit: indices must stay below this; None where unknown.
        compared_to: constants that the graph compares the value with.
    """

    name: str
    dtype: ir.DataType
    axes: tuple[int | str, ...]
    kind: Kind
    limit: int | None = None
    compared_to: tuple[int, ...] = ()


def read_signature(model: ir.Model) -> tuple[InputSpec, ...] | Refusal:
    """Describe every input that has no default; refuse types that nobody can make up."""
    specs = []
    for value in model.graph.inputs:
        if value.name in model.graph.initializers:
            continue
        if not isinstance(value.type, ir.TensorType) or value.type.dtype == ir.DataType.UNDEFINED:
            kind = "no declared type" if value.type is None else f"type {value.type}"
            return Refusal(reason=f"input '{value.name}' has {kind}, which cannot be made up")
        specs.append(_read_input(value, value.type.dtype, trace_uses(model, value)))
    return tuple(specs)


def _read_input(value: ir.Value, dtype: ir.DataType, uses: Uses) -> InputSpec:
    name = value.name or ""
    axes = _read_axes(value, uses)
    return InputSpec(
        name=name,
        dtype=dtype,
        axes=axes,
        kind=_judge_kind(name.lower(), dtype, axes, uses),
        limit=uses.index_limit,
        compared_to=tuple(uses.compared_to),
    )


def _read_axes(value: ir.Value, uses: Uses) -> tuple[int | str, ...]:
    if value.shape is None:
        rank = uses.rank or (2 if uses.is_index or uses.sizes else 1)
        declared: list[int | str | None] = [None] * rank
    else:
        # Some exporters write -1 for "any size"; 0 is a size.
        declared = [dim if isinstance(dim, int) else dim.value for dim in value.shape]
    implied = {
        axis % len(declared): size for axis, size in uses.sizes.items() if -len(declared) <= axis < len(declared)
    }
    axes: list[int | str] = []
    for position, dim in enumerate(declared):
        is_free = dim is None or dim == "" or (isinstance(dim, int) and dim < 0)
        if isinstance(dim, int) and not is_free:
            axes.append(dim)
        elif position in implied:
            axes.append(implied[position])
        else:
            axes.append(f"{value.name}.{position}" if is_free else str(dim))
    return tuple(axes)


def _judge_kind(name: str, dtype: ir.DataType, axes: tuple[int | str, ...], uses: Uses) -> Kind:
    if dtype == ir.DataType.STRING:
        return Kind.TEXT
    is_single = all(axis == 1 for axis in axes)
    if dtype == ir.DataType.BOOL:
        return Kind.SWITCH if is_single else Kind.MASK
    if dtype.is_floating_point():
        return _judge_float(name, axes, uses)
    if "mask" in name and "position" not in name:
        return Kind.MASK
    if "position" in name and len(axes) > 1:
        return Kind.POSITION
    if is_single and (name in SETTINGS or not uses.is_index):
        return Kind.SETTING
    if uses.is_index:
        return Kind.INDEX
    if "len" in name and len(axes) == 1:
        return Kind.LENGTH
    return Kind.MASK if uses.is_switch and len(axes) > 1 else Kind.NUMBERS


def _judge_float(name: str, axes: tuple[int | str, ...], uses: Uses) -> Kind:
    if "mask" in name or ("bias" in name and uses.is_added_to_scores):
        is_added = uses.is_added_to_scores and not uses.is_switch
        return Kind.SCORE_MASK if is_added else Kind.MASK
    if ("past" in name or "cache" in name) and len(axes) > 2:
        return Kind.CACHE
    is_channels_first = len(axes) == 4 and axes[1] in (1, 3, 4)
    is_channels_last = len(axes) == 4 and axes[3] in (1, 3, 4)
    is_named = len(axes) == 4 and any(word in name for word in ("pixel", "image", "img"))
    if is_channels_first or is_channels_last or is_named:
        return Kind.IMAGE
    return Kind.SETTING if len(axes) < 2 and all(axis == 1 for axis in axes) else Kind.NUMBERS
