"""Make the tables of cosines and sines that com.microsoft.RotaryEmbedding reads, out of those the graph computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.model.weights import read_block
from compressor.passes.fusions.dimensions import ONE
from compressor.passes.fusions.feature_parts import pair, width
from compressor.passes.fusions.graph_edit import GraphEdit
from compressor.passes.fusions.match import int_attribute, ints_attribute, is_at_end, made_by, tensor_of
from compressor.passes.fusions.shape_facts import Facts
from compressor.passes.fusions.shapes_moved import slice_bounds
from compressor.passes.target import Target

MAX_STEPS = 24
"""Operators between the cosines and the angles that are looked through; the longest seen in an export is 9."""

ROWS_AT_ONCE = 1024
"""Rows of a constant table that are read together."""

_SAME_FOR_EACH_ENTRY = ("Cos", "Sin", "Cast", "Neg", "Identity", "Exp", "Reciprocal", "Sqrt")
_VIEWS = ("Unsqueeze", "Squeeze", "Reshape")


class RotaryTables:
    """The tables and positions made so far: all layers share them.

    Attributes:
        edit: the graph they are made in.
    """

    def __init__(self, edit: GraphEdit) -> None:
        self.edit = edit
        self._made: dict[object, ir.Value] = {}
        self._single: dict[tuple[ir.Value, bool], tuple[ir.Value, bool] | None] = {}  # a proof may read a constant

    def table(self, value: ir.Value, *, is_repeated: bool, is_interleaved: bool, before: ir.Node) -> ir.Value | None:
        """(rows, pairs) of `value`, whose last axis has an entry for each pair, or for each feature where repeated.

        None where the entries of the two features of a pair are not known to be equal.
        """
        value = _without_views(self.edit.facts, value)
        if is_repeated:
            known = (value, is_interleaved)
            if known not in self._single:
                self._single[known] = _single(self.edit.facts, value, is_interleaved)
            found = self._single[known]
            if found is None:
                return None
            value, is_repeated = found
        key = (before.graph, value, is_repeated, is_interleaved)
        return self._once(key, lambda: self._new_table(value, is_repeated, is_interleaved, before))

    def positions(self, source: ir.Value, length_axis: int, *, is_shared: bool, before: ir.Node) -> ir.Value:
        """The row of the table for each token: from 0 on in each row of the batch, or on and on through the batch."""
        if is_shared and self.edit.target is Target.ORT:
            return self.edit.integers([0])  # ONNX Runtime's operator counts on from a single number itself
        key = (before.graph, self.edit.facts.axis(source, 0), self.edit.facts.axis(source, length_axis), is_shared)
        return self._once(key, lambda: self._new_positions(source, length_axis, is_shared, before))

    def _once(self, key: object, make: Callable[[], ir.Value]) -> ir.Value:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _new_table(self, value: ir.Value, is_repeated: bool, is_interleaved: bool, before: ir.Node) -> ir.Value:
        pairs = width(self.edit.facts, value)
        assert pairs is not None
        if is_repeated:
            axis = (self.edit.facts[value].rank or 0) - 1
            bounds = ([0], [pairs], [axis], [2]) if is_interleaved else ([0], [pairs // 2], [axis], [1])
            inputs = [value, *map(self.edit.integers, bounds)]
            value, pairs = self.edit.insert(before, "Slice", inputs, name=f"{value.name}_once").outputs[0], pairs // 2
        if self.edit.facts[value].rank == 2:
            return value
        target = self.edit.integers([-1, pairs])
        return self.edit.insert(before, "Reshape", [value, target], name=f"{value.name}_table").outputs[0]

    def _new_positions(self, source: ir.Value, length_axis: int, is_shared: bool, before: ir.Node) -> ir.Value:
        insert, integer = self.edit.insert, ir.DataType.INT64
        shape = insert(before, "Shape", [source], name=f"{source.name}_shape").outputs[0]
        axes = self.edit.integers([0, length_axis])
        extent = insert(before, "Gather", [shape, axes], attributes={"axis": 0}, name="rotary_extent").outputs[0]
        if is_shared:
            at = self.edit.number(length_axis, integer)
            tokens = insert(before, "Gather", [shape, at], attributes={"axis": 0}, name="rotary_tokens").outputs[0]
        else:
            tokens = insert(before, "ReduceProd", [extent], attributes={"keepdims": 0}, name="rotary_tokens").outputs[0]
        bounds = [self.edit.number(0, integer), tokens, self.edit.number(1, integer)]
        rows = insert(before, "Range", bounds, name="rotary_rows").outputs[0]
        if is_shared:
            return insert(before, "Expand", [rows, extent], name="rotary_positions").outputs[0]
        # Without allowzero, a Reshape to a batch or length of 0 fails.
        attributes = {"allowzero": 1} if self.edit.opset >= 14 else {}
        return insert(before, "Reshape", [rows, extent], attributes=attributes, name="rotary_positions").outputs[0]


def _without_views(facts: Facts, value: ir.Value) -> ir.Value:
    """Go back through operators that only add or remove axes of size 1 before the last axis, or join them."""
    for _ in range(MAX_STEPS):
        node = made_by(value, *_VIEWS)
        source = node.inputs[0] if node is not None else None
        if source is None or width(facts, source) is None or width(facts, source) != width(facts, value):
            break
        value = source
    return value


def _single(facts: Facts, value: ir.Value, is_interleaved: bool) -> tuple[ir.Value, bool] | None:
    """What `value` was before its entries were repeated; itself (True) where they only are; None where unknown."""
    before = _repeated(facts, value, is_interleaved)
    if before is not None:
        return before, False
    return (value, True) if _Repetition(facts, is_interleaved).holds(value, MAX_STEPS) else None


def _repeated(facts: Facts, value: ir.Value, is_interleaved: bool) -> ir.Value | None:
    """What `value` holds twice along its last axis: entry by entry, or one whole behind the other."""
    joined = pair(facts, value)
    if joined is not None:
        return joined[0] if joined[0] is joined[1] and joined[2] == is_interleaved else None
    rows = made_by(value, "Reshape")
    copies = made_by(rows.inputs[0] if rows is not None else None, "Expand", "Tile")
    column = copies.inputs[0] if copies is not None else None
    before, after = facts.shape(column), facts.shape(rows.inputs[0] if rows is not None else None)
    axis = -1 if is_interleaved else -2
    if rows is None or column is None or before is None or after is None or not 2 <= len(before) == len(after):
        return None
    size = width(facts, value)
    if before[axis] != ONE or after[axis].number != 2 or size is None:
        return None
    same_elsewhere = before[: len(before) + axis] == after[: len(after) + axis] and (
        axis == -1 or before[-1] == after[-1]
    )
    return _as_row(facts, column, axis, size // 2) if same_elsewhere and size % 2 == 0 else None


def _as_row(facts: Facts, column: ir.Value, axis: int, pairs: int) -> ir.Value | None:
    """The tensor that an Unsqueeze of `axis` (and maybe of others) made `column` of."""
    node = made_by(column, *_VIEWS)
    source = node.inputs[0] if node is not None else None
    shape = facts.shape(column)
    if source is None or shape is None or width(facts, source) != pairs:
        return None
    return source if (shape[-2] if axis == -1 else shape[-1]).number == pairs else None


class _Repetition:
    """Whether both features of a pair have the same entry, in every run; each value is looked at once."""

    def __init__(self, facts: Facts, is_interleaved: bool) -> None:
        self._facts = facts
        self._is_interleaved = is_interleaved
        self._known: dict[ir.Value, bool] = {}

    def holds(self, value: ir.Value | None, depth: int) -> bool:
        """Say so of `value`, looking `depth` operators back."""
        if value is None or depth == 0:
            return False
        if value not in self._known:
            self._known[value] = self._follows(value, depth)
        return self._known[value]

    def _follows(self, value: ir.Value, depth: int) -> bool:
        facts = self._facts
        if width(facts, value) == 1 or _repeated(facts, value, self._is_interleaved) is not None:
            return True
        tensor = tensor_of(value)
        if tensor is not None:
            return _constant_repeats(tensor, self._is_interleaved)
        node = value.producer()
        if node is None:
            return False
        if made_by(value, *_SAME_FOR_EACH_ENTRY):
            return self.holds(node.inputs[0], depth - 1)
        if made_by(value, "Mul", "Add", "Div", "Sub", "Where"):
            return all(facts.shape(given) == () or self.holds(given, depth - 1) for given in node.inputs)
        source = _same_rows(facts, node)
        return source is not None and self.holds(source, depth - 1)


def _same_rows(facts: Facts, node: ir.Node) -> ir.Value | None:
    """The tensor whose rows (all entries along the last axis) make up the rows of the result of `node`."""
    value, source = node.outputs[0], node.inputs[0] if node.inputs else None
    rank = facts[source].rank
    if source is None or rank is None or rank < 1:
        return None
    size = width(facts, source)
    is_whole = size is not None and size == width(facts, value)
    if made_by(value, *_VIEWS, "Expand", "Slice"):
        return source if is_whole and _keeps_last_axis(facts, node) else None
    if made_by(value, "Transpose"):
        perm = ints_attribute(node, "perm")
        return source if perm is not None and perm[-1] == rank - 1 else None
    if made_by(value, "Gather"):
        return source if not is_at_end(int_attribute(node, "axis", 0), rank) and rank > 1 and is_whole else None
    return None


def _keeps_last_axis(facts: Facts, node: ir.Node) -> bool:
    """A view or cut leaves the last axis as it is; equal sizes do not say so of a cut that walks backwards."""
    if node.op_type != "Slice":
        return True
    bounds, rank = slice_bounds(facts, node), facts[node.inputs[0]].rank
    return bounds is not None and not any(is_at_end(axis, rank) for axis, _, _, _ in bounds)


def _constant_repeats(tensor: ir.TensorProtocol, is_interleaved: bool) -> bool:
    """Compare the entries of a table that the exporter worked out, some rows at a time."""
    shape = tuple(tensor.shape.numpy())
    if not shape or shape[-1] % 2 or tensor.dtype not in (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE):
        return False
    size, total = int(shape[-1]), tensor.size
    block = size * ROWS_AT_ONCE
    for start in range(0, total, block):
        rows: NDArray[Any] = read_block(tensor, start, min(total, start + block)).reshape(-1, size)
        halves = (rows[:, 0::2], rows[:, 1::2]) if is_interleaved else (rows[:, : size // 2], rows[:, size // 2 :])
        if not np.array_equal(*halves):
            return False
    return True
