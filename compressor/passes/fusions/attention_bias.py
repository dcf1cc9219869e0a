"""Make one additive bias, in the shape the fused operator takes, of all masks and biases of an attention layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_ir as ir

from compressor.passes.fusions.attention_fill import added_for
from compressor.passes.fusions.attention_scores import Bias, NotFusable
from compressor.passes.fusions.dimensions import ONE, Size
from compressor.passes.fusions.graph_edit import GraphEdit
from compressor.passes.fusions.match import int_attribute, is_operator, made_by, number_of
from compressor.passes.fusions.shape_facts import Shape

Axis = tuple[ir.Value, int]
"""One axis of a tensor."""

_COPIES = ("Reshape", "Expand", "Tile", "Unsqueeze", "Transpose", "Identity")
"""Operators that leave the number of keys as it is, where their result has an axis of that size still."""

Extent = tuple[Size, Size, Size, Size]
"""Batch, heads, queries and keys of the scores."""

LONGEST_SIZE = 40
"""Characters of a size that a reason spells out."""


class AttentionBiases:
    """The biases made so far, so that layers with equal masks share one.

    Attributes:
        edit: the graph they are made in.
    """

    def __init__(self, edit: GraphEdit) -> None:
        self.edit = edit
        self._made: dict[object, ir.Value] = {}

    def make(self, terms: Sequence[Bias], extent: Extent, query: Axis, key: Axis, before: ir.Node) -> ir.Value | None:
        """Sum up `terms` and spread the sum over queries and keys, in new nodes in front of `before`.

        ONNX Runtime's MultiHeadAttention wants (1 or batch, 1 or heads, queries, keys): the last two do not broadcast.
        Where their sizes are open, they are read from `query` and `key`.
        """
        if not terms:
            return None
        total: ir.Value | None = None
        for term in terms:
            value = self._placed(term, extent, query[0], before)
            made = (before.graph, total, value, term.fill, term.fills_where, term.factor)
            total = self._once(made, lambda a=total, b=value, t=term: self._with(a, t, b, before))
        assert total is not None
        return self._once((before.graph, total, extent[2:]), lambda: self._spread(total, extent, query, key, before))

    def _once(self, key: object, make: object) -> ir.Value:
        if key not in self._made:
            self._made[key] = make()  # type: ignore[operator]  # a function without arguments
        return self._made[key]

    def _placed(self, term: Bias, extent: Extent, query: ir.Value, before: ir.Node) -> ir.Value:
        """The tensor of a term with the axes that the fused operator has."""
        value = term.value
        if _has_batch_and_heads_in_one(self.edit, term):
            key = (before.graph, "apart", value, extent[1])
            value = self._once(key, lambda: self._apart(value, extent[1], before))
        if term.apart is not None:
            key = (before.graph, "rows", value, extent[0])
            value = self._once(key, lambda: self._for_every_group(value, query, before))
        return value

    def _with(self, total: ir.Value | None, term: Bias, value: ir.Value, before: ir.Node) -> ir.Value:
        """`total` with a term after it, in the order of the graph: what comes before a fill is replaced as well."""
        if term.fill is not None:
            dtype = self.edit.facts.dtype(before.inputs[0]) or ir.DataType.FLOAT
            masked = self._number(added_for(term.fill, dtype), dtype)
            free = self._number(0.0, dtype) if total is None else total
            chosen = (masked, free) if term.fills_where else (free, masked)
            return self._new("Where", [value, *chosen], before, f"{value.name}_bias")
        if term.factor != 1.0:
            dtype = self.edit.facts.dtype(value) or ir.DataType.FLOAT
            value = self._new("Mul", [value, self._number(term.factor, dtype)], before, f"{value.name}_scaled")
        return value if total is None else self._new("Add", [total, value], before, f"{value.name}_sum")

    def _apart(self, value: ir.Value, heads: Size, before: ir.Node) -> ir.Value:
        """Give batch and heads, the first of three axes, an axis each."""
        assert heads.number is not None
        name = f"{value.name}_apart"
        if self.edit.opset >= 13:
            four = self._new("Unsqueeze", [value, self.edit.integers([0])], before, name)
        else:
            four = self._new("Unsqueeze", [value], before, name, axes=[0])
        return self._new("Reshape", [four, self.edit.integers([-1, heads.number, 0, 0])], before, name)

    def _for_every_group(self, value: ir.Value, query: ir.Value, before: ir.Node) -> ir.Value:
        """Repeat a bias for the rows of one group, as of the windows of one image, for all groups of the batch."""
        shape = [size.number for size in self.edit.facts.shape(value) or ()]
        rows, *others = [number for number in shape[1:] if number is not None]
        batch = self._length((query, 0), before)
        groups = self._new("Div", [batch, self.edit.integers([rows])], before, f"{value.name}_groups")
        target = self._new("Concat", [groups, self.edit.integers([1] * 4)], before, f"{value.name}_all", axis=0)
        wide = self._new("Expand", [value, target], before, f"{value.name}_rows")
        return self._new("Reshape", [wide, self.edit.integers([-1, *others])], before, f"{value.name}_rows")

    def _number(self, number: float, dtype: ir.DataType) -> ir.Value:
        return self._once(("number", number, dtype), lambda: self.edit.number(number, dtype))

    def _spread(self, bias: ir.Value, extent: Extent, query: Axis, key: Axis, before: ir.Node) -> ir.Value:
        shape = self.edit.facts.shape(bias)
        if shape is not None and len(shape) == 4 and shape[2:] == extent[2:]:
            return bias
        shape = shape or ()
        padded = (*(ONE,) * (4 - len(shape)), *shape)
        parts: list[int | ir.Value] = [1, 1]
        for size, wanted, source in ((padded[2], extent[2], query), (padded[3], extent[3], key)):
            if size == wanted or wanted.number is not None:
                parts.append(1 if size == wanted else wanted.number or 0)
            else:
                parts.append(self._length(source, before) if source is query else self._keys(key, query, before))
        target = self._target(parts, before)
        return self._new("Expand", [bias, target], before, f"{bias.name}_spread")

    def _target(self, parts: Sequence[int | ir.Value], before: ir.Node) -> ir.Value:
        if all(isinstance(part, int) for part in parts):
            return self.edit.integers([part for part in parts if isinstance(part, int)])
        values = [self.edit.integers([part]) if isinstance(part, int) else part for part in parts]
        return self._new("Concat", values, before, "attention_bias_shape", axis=0)

    def _keys(self, key: Axis, query: Axis, before: ir.Node) -> ir.Value:
        """The number of keys; where they are a cache and new ones, added up.

        So neither the longer cache nor its copies for grouped queries are read for it, and may be fused.
        """
        facts = self.edit.facts
        size, joined = facts.axis(*key), key[0].producer()
        while joined is not None and is_operator(joined, *_COPIES) and size in (facts.shape(joined.inputs[0]) or ()):
            joined = joined.inputs[0].producer() if joined.inputs[0] is not None else None
        if joined is None or not is_operator(joined, "Concat") or len(joined.inputs) != 2:
            return self._length(key, before)
        past, new = joined.inputs
        axis = int_attribute(joined, "axis", 0) % (facts[past].rank or 1)
        if past is None or new is None or facts.axis(past, axis) + facts.axis(*query) != size:
            return self._length(key, before)
        lengths = self._length((past, axis), before), self._length(query, before)
        return self._new("Add", lengths, before, f"{past.name}_and_new")

    def _length(self, source: Axis, before: ir.Node) -> ir.Value:
        """The size of an axis, as a list of one."""
        value, axis = source
        if self.edit.opset >= 15:
            return self._new("Shape", [value], before, f"{value.name}_length", start=axis, end=axis + 1)
        shape = self._new("Shape", [value], before, f"{value.name}_shape")
        return self._new("Gather", [shape, self.edit.integers([axis])], before, f"{value.name}_length", axis=0)

    def _new(
        self, op_type: str, inputs: Sequence[ir.Value], before: ir.Node, name: str, **attributes: int | list[int]
    ) -> ir.Value:
        return self.edit.insert(before, op_type, inputs, attributes=attributes, name=name).outputs[0]


def check_fits(edit: GraphEdit, term: Bias, extent: Extent) -> None:
    """Make sure that a term broadcasts to the scores without making them larger.

    Raises:
        NotFusable: it does not, or nothing proves that it does.
    """
    shape = edit.facts.shape(term.value)
    if shape is None or len(shape) > term.rank:
        raise NotFusable(f"the shape of '{term.value.name}', which is added to the scores, is not known")
    if term.rank > 5:
        raise NotFusable(_misfit(term, shape, extent))
    if term.apart is not None:
        if not _fits_every_group(shape, term.apart, extent):
            raise NotFusable(_misfit(term, shape, term.apart))
        return
    wanted = extent if term.rank == 4 else (ONE, extent[0] * extent[1], *extent[2:])
    padded = (*(ONE,) * (4 - len(shape)), *shape)
    # Along the keys, any size that is open is 1 or theirs: in another run the product with the values fails.
    is_open = None in (padded[3].number, wanted[3].number)
    if any(size not in (ONE, fit) for size, fit in zip(padded[: 3 if is_open else 4], wanted, strict=False)):
        raise NotFusable(_misfit(term, shape, extent))


def _misfit(term: Bias, shape: Shape, scores: Shape) -> str:
    return f"'{term.value.name}' ({_written(shape)}) does not fit scores of {_written(scores)}"


def _written(shape: Shape) -> str:
    """A shape for a reader; sizes worked out from many others (Funnel's take 600 characters) are a gap."""
    return " x ".join(text if len(text := str(size)) <= LONGEST_SIZE else "…" for size in shape)


def _fits_every_group(shape: Shape, scores: Shape, extent: Extent) -> bool:
    """A bias of five axes is one for every row of a group, and the rows of all groups are the batch."""
    groups, rows, *others = scores
    is_split_batch = groups * rows == extent[0] and tuple(others) == extent[1:]
    is_known = len(shape) == 5 and shape[0] == ONE and all(size.number is not None for size in shape)
    return (
        is_split_batch
        and is_known
        and shape[1] == rows
        and all(size in (ONE, wanted) for size, wanted in zip(shape[2:], others, strict=True))
    )


def _has_batch_and_heads_in_one(edit: GraphEdit, term: Bias) -> bool:
    shape = edit.facts.shape(term.value)
    return term.rank == 3 and shape is not None and len(shape) == 3 and shape[0] != ONE


def can_mask_whole_rows(terms: Sequence[Bias]) -> bool:
    """A row of scores may come out minus infinity all along, for which Softmax gives no number."""
    return bool(terms) and not (len(terms) == 1 and _is_finite(terms[0]))


def _is_finite(term: Bias) -> bool:
    if term.fill is not None:
        return math.isfinite(term.fill)
    node = made_by(term.value, "Where")
    if node is None or abs(term.factor) > 1:
        return False
    return all((number := number_of(value)) is not None and math.isfinite(number) for value in node.inputs[1:])
