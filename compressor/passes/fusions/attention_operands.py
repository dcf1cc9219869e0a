"""Trace query, key and value back to before their heads were split, and the result to after they were merged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from compressor.passes.fusions.attention_scores import NotAttention, constant_number
from compressor.passes.fusions.dimensions import Size, product
from compressor.passes.fusions.einsum import context_letters, score_letters
from compressor.passes.fusions.graph_edit import GraphEdit
from compressor.passes.fusions.layout import Group, Layout, Walk, back_through, forward_through, plain_layout
from compressor.passes.fusions.match import made_by, operands, sole_user


@dataclass(frozen=True, slots=True)
class Source:
    """Where a query, key or value comes from.

    Attributes:
        value: the tensor.
        order: its axes: b(atch), s(equence), n(umber of heads), d (features of a head), h (n and d in one).
        scale: the number it is multiplied with between here and the product.
        batch, length, size: sizes of the batch, of the sequence, and of one head.
        steps: operators between here and the product.
    """

    value: ir.Value
    order: str
    scale: float
    batch: Size
    length: Size
    size: Size
    steps: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """Where the result is read.

    Attributes:
        value: the tensor.
        order: its axes, as in :class:`Source`; two axes ``"(bs)h"`` or ``"(sb)h"`` have rows in one.
        size: features of one head.
        steps: operators between the product and here.
    """

    value: ir.Value
    order: str
    size: Size
    steps: int = 0


SOURCE_ORDERS = ("bsh", "bsnd", "sbh", "bhs", "bnsd", "bnds", "sbnd")
TARGET_ORDERS = ("bsh", "(bs)h", "sbh", "bhs", "(sb)h", "bsnd", "bnsd", "sbnd")
"""From the cheapest to bring into the form wanted to the dearest."""

MAX_STEPS = 16
"""Layout operators and scalings between a projection and its product; the longest seen in an export is 6."""


def scored(
    edit: GraphEdit, scores: ir.Node, *, is_swapped: bool = False
) -> tuple[dict[int, Source], dict[int, Source]]:
    """Sources of query and key of the product `scores`, by number of heads; `is_swapped` says the key comes first."""
    left, right = scores.inputs
    assert left is not None
    assert right is not None
    if scores.op_type == "MatMul":
        if is_swapped:
            return _sources(edit, _walk(edit, right, "nds")), _sources(edit, _walk(edit, left, "nsd"))
        return _sources(edit, _walk(edit, left, "nsd")), _sources(edit, _walk(edit, right, "nds"))
    letters = score_letters(scores)
    if letters is None or is_swapped:
        raise NotAttention
    query, key = (left, right) if letters.is_query_first else (right, left)
    return _sources(edit, _walk(edit, query, letters.query)), _sources(edit, _walk(edit, key, letters.key))


def weighed(edit: GraphEdit, context: ir.Node) -> tuple[dict[int, Source], dict[int, Target]]:
    """Sources of the values in the product `context`, and where its result is read, by number of heads."""
    values, result = context.inputs[1], context.outputs[0]
    assert values is not None
    if edit.facts[values].rank not in (3, 4) or edit.facts[result].rank != edit.facts[values].rank:
        raise NotAttention
    if context.op_type == "MatMul":
        return _sources(edit, _walk(edit, values, "nsd")), _targets(edit, _walk(edit, result, "nsd"))
    letters = context_letters(context)
    if letters is None:
        raise NotAttention
    return _sources(edit, _walk(edit, values, letters.values)), _targets(edit, _walk(edit, result, letters.result))


def _walk(edit: GraphEdit, value: ir.Value, order: str) -> Walk:
    """Start a walk at a tensor whose axes are in `order`; its start is written as batch, heads, sequence, features.

    Of three axes, batch and heads are in one.
    """
    shape = edit.facts.shape(value)
    if shape is None or len(shape) not in (3, 4):
        raise NotAttention
    if len(shape) == 4 and len(order) == 3:
        order = f"b{order}"
    layout = plain_layout(shape)
    wanted = "bnsd" if len(shape) == 4 else "nsd"
    return Walk(tuple(layout[order.index(axis)] for axis in wanted), value, layout)


def _sources(edit: GraphEdit, walk: Walk | None) -> dict[int, Source]:
    found: dict[int, Source] = {}
    scale, was_scaled = 1.0, False
    for _ in range(MAX_STEPS):
        if walk is None:
            break
        for heads, source in _readings(walk, scale):
            known = found.get(heads)
            rank = SOURCE_ORDERS.index(source.order)
            known_rank = len(SOURCE_ORDERS) if known is None else SOURCE_ORDERS.index(known.order)
            if rank < known_rank or (was_scaled and rank == known_rank):
                found[heads] = source
        factor = _factor_before(edit, walk.value)
        was_scaled = factor is not None
        if factor is not None:
            node = walk.value.producer()
            assert node is not None
            walk, scale = Walk(walk.start, factor[0], walk.layout, (*walk.nodes, node)), scale * factor[1]
        else:
            walk = back_through(edit.facts, walk)
    return found


def _readings(walk: Walk, scale: float) -> Iterator[tuple[int, Source]]:
    for batch, heads, length, features in _splits(walk.start):
        count, size = _size(heads).number, _size(features)
        if not count or size.number is None:
            continue
        for order in SOURCE_ORDERS:
            if walk.layout == _layout(order, batch, heads, length, features):
                yield count, Source(walk.value, order, scale, _size(batch), _size(length), size, len(walk.nodes))
                break


def _targets(edit: GraphEdit, walk: Walk | None) -> dict[int, Target]:
    found: dict[int, Target] = {}
    for _ in range(MAX_STEPS):
        if walk is None:
            break
        for batch, heads, length, features in _splits(walk.start):
            count, size = _size(heads).number, _size(features)
            for rank, order in enumerate(TARGET_ORDERS if count and size.number is not None else ()):
                if walk.layout == _layout(order, batch, heads, length, features):
                    known = found.get(count or 0)
                    if known is None or rank < TARGET_ORDERS.index(known.order):
                        found[count or 0] = Target(walk.value, order, size, len(walk.nodes))
                    break
        user = sole_user(walk.value)
        walk = forward_through(edit.facts, walk, user) if user is not None else None
    return found


def _layout(order: str, batch: Group, heads: Group, length: Group, features: Group) -> Layout:
    named = {"b": batch, "n": heads, "s": length, "d": features, "h": heads + features}
    if order.startswith("("):
        return named[order[1]] + named[order[2]], named[order[4]]
    return tuple(named[axis] for axis in order)


def _splits(start: Layout) -> Iterator[tuple[Group, Group, Group, Group]]:
    """Every way to read the axes as batch, heads, sequence, features."""
    if len(start) == 4:
        yield start[0], start[1], start[2], start[3]
        return
    for cut in range(len(start[0]) + 1):
        yield start[0][:cut], start[0][cut:], start[1], start[2]


def _factor_before(edit: GraphEdit, value: ir.Value) -> tuple[ir.Value, float] | None:
    """Split `value` into a tensor of the same shape and the constant number it was multiplied with."""
    node = made_by(value, "Mul", "Div")
    if node is None:
        return None
    pairs = [tuple(node.inputs)] if node.op_type == "Div" else list(operands(node))
    for tensor, factor in pairs:
        number = constant_number(edit.facts, factor)
        if tensor is not None and number and edit.facts.shape(tensor) == edit.facts.shape(value):
            return tensor, 1 / number if node.op_type == "Div" else number
    return None


def _size(group: Group) -> Size:
    return product(axis.size for axis in group)
