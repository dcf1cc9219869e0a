"""Say which features of which tensor a value holds, however it was cut out."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from compressor.passes.fusions.match import int_attribute, is_at_end, is_operator, made_by, number_of
from compressor.passes.fusions.shape_facts import Facts
from compressor.passes.fusions.shapes_moved import slice_bounds


@dataclass(frozen=True, slots=True)
class Part:
    """Some features (entries of the last axis) of a tensor.

    Attributes:
        source: the tensor.
        features: which of its features, in this order.
        size: how many it has in all.
    """

    source: ir.Value
    features: range
    size: int

    @property
    def is_first_half(self) -> bool:
        """The first half of the features."""
        return self.size % 2 == 0 and self.features == range(self.size // 2)

    @property
    def is_second_half(self) -> bool:
        """The second half of the features."""
        return self.size % 2 == 0 and self.features == range(self.size // 2, self.size)

    @property
    def is_even(self) -> bool:
        """Features 0, 2, 4, ..."""
        return self.size % 2 == 0 and self.features == range(0, self.size, 2)

    @property
    def is_odd(self) -> bool:
        """Features 1, 3, 5, ..."""
        return self.size % 2 == 0 and self.features == range(1, self.size, 2)


def width(facts: Facts, value: ir.Value | None) -> int | None:
    """The number of features of `value`, where it is the same in every run."""
    shape = facts.shape(value)
    return shape[-1].number if shape else None


def part_of(facts: Facts, value: ir.Value | None) -> Part | None:
    """Read `value` as some features of another tensor: a Slice, an output of Split, or one column of pairs."""
    node = made_by(value, "Slice", "Split", "Gather")
    source = node.inputs[0] if node is not None and node.inputs else None
    if node is None or value is None or source is None:
        return None
    if node.op_type == "Gather":
        return _column(facts, node, source)
    size = width(facts, source)
    if size is None:
        return None
    features = _sliced(facts, node, size) if node.op_type == "Slice" else _split(facts, node, value)
    return None if features is None else Part(source, features, size)


def _sliced(facts: Facts, node: ir.Node, size: int) -> range | None:
    bounds = slice_bounds(facts, node)
    if bounds is None or len(bounds) != 1:
        return None
    axis, start, end, step = bounds[0]
    if start is None or end is None or start.number is None or end.number is None or step < 1:
        return None
    if not is_at_end(axis, facts[node.inputs[0]].rank):
        return None
    return range(size)[slice(start.number, end.number, step)]


def _split(facts: Facts, node: ir.Node, value: ir.Value) -> range | None:
    if not is_at_end(int_attribute(node, "axis", 0), facts[node.inputs[0]].rank):
        return None
    start = 0
    for output in node.outputs:
        size = width(facts, output)
        if size is None:
            return None
        if output is value:
            return range(start, start + size)
        start += size
    return None


def _column(facts: Facts, node: ir.Node, table: ir.Value) -> Part | None:
    """One entry along one of the last two axes of a tensor whose features were put into a table by Reshape."""
    view, index = made_by(table, "Reshape"), number_of(node.inputs[1])
    shape, entry = facts.shape(table), facts.shape(node.inputs[1])
    source = view.inputs[0] if view is not None else None
    before = facts.shape(source)
    if source is None or index is None or entry != () or shape is None or before is None or len(shape) < 2:
        return None
    rows, columns, size = shape[-2].number, shape[-1].number, before[-1].number
    if rows is None or columns is None or size is None or shape[:-2] != before[:-1] or rows * columns != size:
        return None
    axis, at = int_attribute(node, "axis", 0) % len(shape), int(index)
    if axis == len(shape) - 1 and -columns <= at < columns:
        return Part(source, range(at % columns, size, columns), size)
    if axis == len(shape) - 2 and -rows <= at < rows:
        return Part(source, range(at % rows * columns, (at % rows + 1) * columns), size)
    return None


def pair(facts: Facts, value: ir.Value | None) -> tuple[ir.Value, ir.Value, bool] | None:
    """Read `value` as two tensors put together along the features; say whether they take turns.

    One behind the other is a Concat; taking turns is a Concat of columns that Reshape lays out in rows.
    """
    if value is None:
        return None
    rows = made_by(value, "Reshape")
    joined = made_by(rows.inputs[0] if rows is not None else value, "Concat")
    if joined is None or len(joined.inputs) != 2:
        return None
    first, second = joined.inputs
    if first is None or second is None or not is_at_end(int_attribute(joined, "axis", 0), facts[first].rank):
        return None
    if rows is None:
        return first, second, False
    first, second = _as_column(facts, first), _as_column(facts, second)
    shape = facts.shape(first)
    if first is None or second is None or shape is None or facts.shape(second) != shape:
        return None
    after = facts.shape(value)
    doubled = (*shape[:-1], shape[-1] + shape[-1])
    return (first, second, True) if after == doubled else None


def _as_column(facts: Facts, value: ir.Value | None) -> ir.Value | None:
    """What an Unsqueeze (or a Reshape that does the same) made a column of."""
    node = made_by(value, "Unsqueeze", "Reshape")
    source = node.inputs[0] if node is not None else None
    shape, before = facts.shape(value), facts.shape(source)
    if source is None or shape is None or before is None:
        return None
    return source if shape[:-1] == before and shape[-1].number == 1 else None


def negated(value: ir.Value | None) -> ir.Value | None:
    """What `value` is the negative of."""
    node = made_by(value, "Neg", "Mul")
    if node is None or is_operator(node, "Neg"):
        return node.inputs[0] if node is not None else None
    for tensor, factor in (tuple(node.inputs), tuple(reversed(node.inputs))):
        if number_of(factor) == -1.0:
            return tensor
    return None
