"""Say which shape comes out of operators that move, repeat, cut or join what they are given."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from compressor.passes.fusions import shape_arithmetic as arithmetic
from compressor.passes.fusions.dimensions import ONE, Size, broadcast, product
from compressor.passes.fusions.match import axes_of, int_attribute, ints_attribute
from compressor.passes.fusions.shape_facts import MAX_AXES, Fact, Facts, Shape, fresh_size, named_size

ZERO = Size.of(0)


def expand(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, target = facts[node.inputs[0]], listed(facts, node.inputs[1])
    if data.shape is None or target is None:
        return [Fact(None, data.dtype)]
    rank, shape = max(len(data.shape), len(target)), []
    own, wanted = (ONE,) * (rank - len(data.shape)) + data.shape, (ONE,) * (rank - len(target)) + target
    for axis, (size, to) in enumerate(zip(own, wanted, strict=True)):
        if to is not None and to.is_size:
            shape.append(broadcast(size, to))
        else:  # more than one stays what it is, whatever it is asked to become
            shape.append(size if size.number not in (None, 1) else fresh_size(node, axis))
    return [Fact(tuple(shape), data.dtype)]


def tile(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, repeats = facts[node.inputs[0]], listed(facts, node.inputs[1])
    if data.shape is None:
        return [Fact(None, data.dtype)]
    if repeats is None or len(repeats) != len(data.shape):
        repeats = (None,) * len(data.shape)
    pairs = enumerate(zip(data.shape, repeats, strict=True))
    return [
        Fact(tuple(fresh_size(node, a) if times is None else size * times for a, (size, times) in pairs), data.dtype)
    ]


def reshape(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, target = facts[node.inputs[0]], listed(facts, node.inputs[1])
    if target is None:
        return [Fact(None, data.dtype)]
    keeps_zero = bool(int_attribute(node, "allowzero", 0))
    known = [_asked_for(data.shape, target, axis, keeps_zero) for axis in range(len(target))]
    if data.shape is not None:
        known = _balanced(data.shape, known)
    shape = tuple(size or fresh_size(node, axis) for axis, size in enumerate(known))
    return [arithmetic.scalar_fact(data.content, Fact(shape, data.dtype))]


def _balanced(shape: Shape, known: list[Size | None]) -> list[Size | None]:
    """Replace the one size that is missing, or is said in other words than those of `shape`, by what is left for it.

    A run succeeds only where both shapes have as many elements; so min(64, length) is the length if it takes its place.
    """
    gaps = known.count(None)
    if gaps > 1 or (gaps == 0 and product(shape) == product(size for size in known if size is not None)):
        return known
    for axis, size in enumerate(known):
        if size is None if gaps else size is not None and size.number is None:
            rest = _quotient(list(shape), [other for other in known[:axis] + known[axis + 1 :] if other is not None])
            if rest is not None:
                return [*known[:axis], rest, *known[axis + 1 :]]
    return known


def _asked_for(shape: Shape | None, target: arithmetic.Content, axis: int, keeps_zero: bool) -> Size | None:
    """The size a Reshape is asked for; None where it is to follow from the others, or is not known."""
    size = target[axis]
    if size is not None and size.number == 0 and not keeps_zero:
        return shape[axis] if shape is not None and axis < len(shape) else None
    return size if size is not None and size.is_size else None


def _quotient(whole: list[Size], parts: list[Size]) -> Size | None:
    for part in list(parts):  # cancel first: a sum such as past + sequence divides nothing but itself
        if part in whole:
            whole.remove(part)
            parts.remove(part)
    return product(whole).divided_by(product(parts))


def transpose(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data = facts[node.inputs[0]]
    if data.shape is None:
        return [Fact(None, data.dtype)]
    perm = ints_attribute(node, "perm") or tuple(reversed(range(len(data.shape))))
    content = arithmetic.transposed(data, perm)
    return [Fact(tuple(data.shape[axis] for axis in perm), data.dtype, content)]


def gather(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, indices = facts[node.inputs[0]], facts[node.inputs[1]]
    if data.shape is None or indices.shape is None:
        return [Fact(None, data.dtype)]
    axis = int_attribute(node, "axis", 0) % len(data.shape)
    shape = (*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :])
    return [arithmetic.scalar_fact(arithmetic.gathered(facts, node), Fact(shape, data.dtype))]


def gather_nd(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, indices = facts[node.inputs[0]], facts[node.inputs[1]]
    picked = None if not indices.shape else indices.shape[-1].number
    if data.shape is None or indices.shape is None or picked is None:
        return [Fact(None, data.dtype)]
    rest = data.shape[int_attribute(node, "batch_dims", 0) + picked :]
    return [Fact((*indices.shape[:-1], *rest), data.dtype)]


def concat(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    parts = [facts[value] for value in node.inputs]
    dtype, first = parts[0].dtype, parts[0].shape
    if first is None or any(part.rank != len(first) for part in parts):
        return [Fact(None, dtype)]
    axis = int_attribute(node, "axis", 0) % len(first)
    total = Size.of(0)
    for part in parts:
        assert part.shape is not None
        total = total + part.shape[axis]
    content = arithmetic.concatenated(facts, node) if len(first) == 1 else None
    return [Fact((*first[:axis], total, *first[axis + 1 :]), dtype, content)]


def split(facts: Facts, node: ir.Node, opset: int) -> Sequence[Fact]:
    data, count = facts[node.inputs[0]], len(node.outputs)
    if data.shape is None:
        return [Fact(None, data.dtype)] * count
    axis = int_attribute(node, "axis", 0) % len(data.shape)
    sizes: Sequence[Size | None] | None = None
    if given := ints_attribute(node, "split"):
        sizes = [Size.of(size) for size in given]
    elif len(node.inputs) > 1 and node.inputs[1] is not None:
        sizes = facts[node.inputs[1]].content
    elif (each := data.shape[axis].divided_by(Size.of(count))) is not None:
        sizes = [each] * count
    if sizes is None or len(sizes) != count:
        return [Fact(None, data.dtype)] * count
    return [
        Fact(None if size is None else (*data.shape[:axis], size, *data.shape[axis + 1 :]), data.dtype)
        for size in sizes
    ]


def unsqueeze(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, axes = facts[node.inputs[0]], axes_of(node)
    if data.shape is None or axes is None:
        return [Fact(None, data.dtype)]
    rank = len(data.shape) + len(axes)
    added, sizes = {axis % rank for axis in axes}, iter(data.shape)
    shape = tuple(ONE if axis in added else next(sizes) for axis in range(rank))
    return [arithmetic.scalar_fact(data.content, Fact(shape, data.dtype))]


def squeeze(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, axes = facts[node.inputs[0]], axes_of(node)
    if data.shape is not None and len(node.inputs) < 2 and axes is None:  # all axes of size 1, where each size is known
        is_known = all(size.number is not None for size in data.shape)
        axes = tuple(axis for axis, size in enumerate(data.shape) if size == ONE) if is_known else None
    if data.shape is None or axes is None:
        return [Fact(None, data.dtype)]
    removed = {axis % len(data.shape) for axis in axes}
    shape = tuple(size for axis, size in enumerate(data.shape) if axis not in removed)
    return [arithmetic.scalar_fact(data.content, Fact(shape, data.dtype))]


def sliced(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data = facts[node.inputs[0]]
    bounds = slice_bounds(facts, node)
    if data.shape is None:
        return [Fact(None, data.dtype)]
    if bounds is None:
        return [Fact(tuple(fresh_size(node, axis) for axis in range(len(data.shape))), data.dtype)]
    shape = list(data.shape)
    for axis, start, end, step in bounds:
        axis %= len(shape)
        size = _sliced_size(shape[axis], start, end, step)
        if size is not None and size.number is None and shape[axis].number is not None:
            facts.trimmed.add(node.outputs[0])
        shape[axis] = size or fresh_size(node, axis)
    return [arithmetic.scalar_fact(arithmetic.sliced(data, bounds), Fact(tuple(shape), data.dtype))]


def slice_bounds(facts: Facts, node: ir.Node) -> list[tuple[int, Size | None, Size | None, int]] | None:
    """Axis, start, end and step of each cut of a Slice; None where their number or an axis is not known."""
    if "starts" in node.attributes:  # opset < 10
        starts = [Size.of(n) for n in ints_attribute(node, "starts") or ()]
        ends = [Size.of(n) for n in ints_attribute(node, "ends") or ()]
        axes = ints_attribute(node, "axes") or tuple(range(len(starts)))
        return [(a, s, e, 1) for a, s, e in zip(axes, starts, ends, strict=True)]
    contents = [facts[value].content if value is not None else None for value in node.inputs[1:]]
    lengths = [facts.shape(value) for value in node.inputs[1:3]]
    count = next((len(c) for c in contents if c is not None), None)
    if count is None:
        count = next((length[0].number for length in lengths if length), None)
    if count is None or len(contents) < 2:
        return None
    unknown = (None,) * count
    given_axes = contents[2] if len(contents) > 2 and node.inputs[3] is not None else None
    given_steps = contents[3] if len(contents) > 3 and node.inputs[4] is not None else None
    axes = [a.number for a in given_axes if a is not None] if given_axes else list(range(count))  # type: ignore[assignment]  # ints, checked below
    steps = [s.number for s in given_steps if s is not None] if given_steps else [1] * count
    if len(axes) != count or len(steps) != count or None in axes or None in steps:
        return None
    return list(zip(axes, contents[0] or unknown, contents[1] or unknown, steps, strict=True))  # type: ignore[arg-type]  # no None left


def _sliced_size(size: Size, start: Size | None, end: Size | None, step: int) -> Size | None:
    if start is None or end is None:
        return None
    if size.number is not None and start.number is not None and end.number is not None:
        return Size.of(len(range(*arithmetic.cut(start.number, end.number, step, size.number).indices(size.number))))
    if step != 1:
        return None
    # A table of positions is cut at an open place, too; a run beyond its end fails where the slice meets the tokens,
    # so its length is that of the slice in every run there is.
    is_table = size.number is not None and size.number > 1
    if is_table:
        start, end = _within(start, size), _within(end, size)
    if end == size or (end.number is not None and end.number >= 2**31 - 1):
        if (ZERO - start).is_never_negative:  # counted from the end
            return size if start.number == 0 or size == ZERO - start else None
        is_inside = start.is_never_negative or (is_table and start.number is None)
        return size - start if is_inside and (size - start).is_size else None
    if end.number is not None and end.number < 0:
        end = size + end
    if not (start.is_never_negative and end.is_size and (end - start).is_size):
        return None
    # An end beyond the axis would be cut to it.
    return end - start if (is_table and end.number is None) or (size - end).is_never_negative else None


def _within(place: Size, size: Size) -> Size:
    """Where an axis of `size` is cut, without the exporter's care that the place may lie outside."""
    text = str(place)
    for limit in (f"min({size}, ", "max(0, "):
        if text.startswith(limit) and len(place.terms) == 1 and text.endswith(")"):
            return named_size(text[len(limit) : -1])
    return place


def flatten(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, axis = facts[node.inputs[0]], int_attribute(node, "axis", 1)
    if data.shape is None:
        return [Fact(None, data.dtype)]
    axis = axis if axis >= 0 else axis + len(data.shape)
    return [Fact((product(data.shape[:axis]), product(data.shape[axis:])), data.dtype)]


def listed(facts: Facts, value: ir.Value | None) -> arithmetic.Content | None:
    """The elements of a list of integers, with gaps where they are not known; None where even its length is not."""
    fact = facts[value]
    if fact.content is not None:
        return fact.content
    length = fact.shape[0].number if fact.shape is not None and fact.rank == 1 else None
    return None if length is None or length > MAX_AXES else (None,) * length
