"""Store a float32 weight as float16, turned back before use: half the bytes, float32 arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.model.weights import ComputedWeight, read_ranges
from compressor.passes.quantization.edit import FLOAT, Edit
from compressor.passes.quantization.storage import Rewriting, WeightPlan
from compressor.passes.quantization.weights import FloatWeight

LARGEST = 65504.0
"""The largest float16."""

_COARSE_BELOW = 2.0**-17
"""Under this a float16 is off by more than 1 in 256: its last digit is worth 2**-24."""

_PIECE_ELEMENTS = 1 << 18

_BYTES_ADDED = 300
"""What the Cast adds to a file, names included."""


@dataclass(frozen=True, slots=True, eq=False)
class HalfDraft:
    """A weight that float16 would make smaller, before a byte of it was read."""

    weight: FloatWeight


@dataclass(frozen=True, slots=True, eq=False)
class HalfPlan(WeightPlan):
    """A weight that will be stored as float16."""

    draft: HalfDraft

    @property
    def weight(self) -> FloatWeight:
        return self.draft.weight

    @property
    def edited_nodes(self) -> frozenset[ir.Node]:
        return frozenset()

    def store(self, edit: Edit) -> Sequence[Rewriting]:
        weight = self.weight
        tensor = ComputedWeight(
            _halves(weight.tensor), ir.DataType.FLOAT16, ir.Shape(weight.shape), name=edit.name(f"{weight.name}_fp16")
        )
        halves = edit.constant(weight.home, tensor)

        def turn_back() -> None:
            floats = edit.append_to_start(weight.home, "Cast", [halves], FLOAT.value)
            weight.value.replace_all_uses_with(floats)

        return [Rewriting(weight.uses[0].node, "stored_as_fp16", True, turn_back)]


def draft_half(weight: FloatWeight) -> HalfDraft | str:
    """Take any weight, whatever uses it: its users get the same type as before."""
    if weight.tensor.dtype is not FLOAT:
        return f"is {weight.tensor.dtype.name.lower()}, which float16 is not smaller than"
    return HalfDraft(weight) if weight.tensor.nbytes // 2 > _BYTES_ADDED else "would not become smaller in float16"


def plan_half(draft: HalfDraft) -> HalfPlan | str:
    """Read the weight once, or say why float16 would not represent it."""
    nonzero = coarse = 0
    with np.errstate(invalid="ignore"):
        for values in _pieces(draft.weight.tensor):
            magnitudes = np.abs(values)
            largest = float(magnitudes.max())
            if not np.isfinite(largest):
                return "holds NaN or infinity"
            if largest > LARGEST:
                return f"holds values up to {largest:.1e}, beyond float16's 65504"
            used = np.count_nonzero(magnitudes)
            nonzero += used
            coarse += np.count_nonzero(magnitudes < _COARSE_BELOW) - (magnitudes.size - used)
    if coarse > nonzero // 100:
        return f"{coarse} of its {nonzero} values are below 7.6e-06, where float16 has few digits"
    return HalfPlan(draft)


def _halves(tensor: ir.TensorProtocol) -> Callable[[], Iterator[NDArray[Any]]]:
    def pieces() -> Iterator[NDArray[Any]]:
        for values in _pieces(tensor):
            yield values.astype(np.float16)

    return pieces


def _pieces(tensor: ir.TensorProtocol) -> Iterator[NDArray[Any]]:
    starts = range(0, tensor.size, _PIECE_ELEMENTS)
    return read_ranges(tensor, ((start, min(tensor.size, start + _PIECE_ELEMENTS)) for start in starts))
