"""Store a weight in blocks of 4 or 8 bit integers, one storage for all its uses, where all of them can read it so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import onnx_ir as ir

from compressor.model.weights import ComputedWeight
from compressor.passes.quantization.block_uses import BlockUse, StoredBlocks, match_block_use, scale_type
from compressor.passes.quantization.blocks import (
    BlockFormat,
    Blocks,
    Matrix,
    measure_blocks,
    packed_blocks,
    packed_zero_points,
)
from compressor.passes.quantization.edit import Edit
from compressor.passes.quantization.storage import Rewriting, WeightPlan
from compressor.passes.quantization.weights import FloatWeight

SMALLEST_BLOCK = 16
"""The smallest block the operators take; they take powers of two only."""

DEFAULT_BLOCK_SIZE = 32

_BYTES_PER_USE = 400
"""What the operators around one use add to a file, names included."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockDraft:
    """A weight whose uses can all read blocks, before a byte of it was read."""

    weight: FloatWeight
    uses: tuple[BlockUse, ...]
    matrix: Matrix
    form: BlockFormat

    @property
    def scale_type(self) -> ir.DataType:
        """Type of its scales."""
        return scale_type(self.weight.dtype, self.uses)


@dataclass(frozen=True, slots=True, eq=False)
class BlockPlan(WeightPlan):
    """A weight that will be stored in blocks.

    Attributes:
        asked: the form of blocks asked for, where it would have ruined the weight; None where it is the form taken.
    """

    draft: BlockDraft
    blocks: Blocks
    asked: BlockFormat | None = None

    @property
    def weight(self) -> FloatWeight:
        return self.draft.weight

    @property
    def edited_nodes(self) -> frozenset[ir.Node]:
        return frozenset(use.use.node for use in self.draft.uses)

    def store(self, edit: Edit) -> Sequence[Rewriting]:
        stored = _put(self, edit)
        return [Rewriting(use.use.node, use.counted_as, False, partial(use.rewrite, stored, edit))
                for use in self.draft.uses]  # fmt: skip


def draft_blocks(weight: FloatWeight, form: BlockFormat) -> BlockDraft | str:
    """Read every use of `weight` as one that takes blocks, or say why it is not stored in blocks."""
    found = [(use, match_block_use(use, form)) for use in weight.uses]
    without = sorted({use.label for use, block_use in found if block_use is None})
    if without:
        shown = ", ".join(without[:3]) + (f" and {len(without) - 3} more" if len(without) > 3 else "")
        return f"used by {shown}, without a form that reads blocks"
    uses = tuple(block_use for _, block_use in found if block_use is not None)
    matrix = uses[0].matrix
    if any(use.matrix != matrix for use in uses):
        return "its uses want blocks along different axes"
    draft = _fitting(BlockDraft(weight, uses, matrix, form))
    return draft if _saved_bytes(draft) > 0 else "would not become smaller in blocks"


def is_block_size(size: int) -> bool:
    """The operators take blocks of `size`."""
    return size >= SMALLEST_BLOCK and size & (size - 1) == 0


def plan_blocks(draft: BlockDraft) -> BlockPlan | str:
    """Read the weight and choose its scales, or say why blocks would not represent it.

    Where blocks of the form asked for ruin an output, smaller ones are tried, then wider integers.
    """
    reason = ""
    for form in _forms(draft.form):
        tried = replace(draft, form=form)
        if _saved_bytes(tried) <= 0:
            break
        blocks = measure_blocks(draft.weight.tensor, draft.matrix, form, draft.scale_type)
        if isinstance(blocks, str):
            return blocks
        if not blocks.ruined:
            return BlockPlan(tried, blocks, draft.form if form != draft.form else None)
        reason = f"most values in {blocks.ruined} of its {draft.matrix.outputs} outputs would round to zero"
    return reason


def _forms(asked: BlockFormat) -> Iterator[BlockFormat]:
    """What was asked for, then what keeps more of a weight with outliers, the smallest first."""
    size = asked.size
    while size >= SMALLEST_BLOCK:
        yield BlockFormat(asked.bits, size)
        size //= 2
    if asked.bits < 8:
        yield from _forms(BlockFormat(8, asked.size))


def _fitting(draft: BlockDraft) -> BlockDraft:
    """Take smaller blocks than asked for where more scales are fewer bytes than filling up the last block of each row.

    192 inputs in blocks of 128 would take as many bytes as 256.
    """
    sizes = [1 << power for power in range(SMALLEST_BLOCK.bit_length() - 1, draft.form.size.bit_length())]
    return max((replace(draft, form=BlockFormat(draft.form.bits, size)) for size in sizes), key=_saved_bytes)


def _saved_bytes(draft: BlockDraft) -> int:
    matrix, form, weight = draft.matrix, draft.form, draft.weight
    blocks = matrix.outputs * matrix.blocks(form.size)
    per_block = form.block_bytes + draft.scale_type.itemsize + (form.bits / 8 if form.bits == 4 else 0)
    return int(weight.tensor.nbytes - blocks * per_block - _BYTES_PER_USE * len(draft.uses))


def _put(plan: BlockPlan, edit: Edit) -> StoredBlocks:
    """Store the integers once: as a table if anything looks them up, which products then read reshaped.

    ONNX Runtime reshapes a constant when it loads the model, and then packs it for the product anyway. The other way
    round, the table would be copied, and stay copied.
    """
    draft, weight = plan.draft, plan.weight
    matrix, form = draft.matrix, draft.form
    shape = (matrix.outputs, matrix.blocks(form.size), form.block_bytes)
    is_table, is_factor = any(use.is_lookup for use in draft.uses), any(not use.is_lookup for use in draft.uses)
    tensor = ComputedWeight(
        packed_blocks(weight.tensor, matrix, form, plan.blocks),
        ir.DataType.UINT8,
        ir.Shape((shape[0], shape[1] * shape[2]) if is_table else shape),
        name=edit.name(f"{weight.name}_int{form.bits}_blocks"),
    )
    integers = edit.constant(weight.home, tensor)
    factor = integers if is_factor else None
    if is_table and is_factor:
        target = edit.small_constant(weight.home, np.array(shape, np.int64), f"{weight.name}_blocks_shape")
        factor = edit.append_to_start(weight.home, "Reshape", [integers, target])
    scales = plan.blocks.scales.astype(draft.scale_type.numpy())
    zero_points = packed_zero_points(plan.blocks, form)
    return StoredBlocks(
        weight,
        matrix,
        form,
        integers if is_table else None,
        factor,
        edit.constant(weight.home, ir.tensor(scales, name=edit.name(f"{weight.name}_scale"))),
        None
        if zero_points is None
        else edit.constant(weight.home, ir.tensor(zero_points, name=edit.name(f"{weight.name}_zero_points"))),
    )
