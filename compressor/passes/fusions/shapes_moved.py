"""Say which shape comes out of operators that move, repeat, cut or join what they are given."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from compressor.passes.fusions import shape_arithmetic as arithmetic
from compressor.passes.fusions.dimensions import ONE, Size, broadcast_shapes, product
from compressor.passes.fusions.match import axes_of, int_attribute, ints_attribute
from compressor.passes.fusions.shape_facts import Fact, Facts, Shape


def expand(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data = facts[node.inputs[0]]
    return [Fact(broadcast_shapes([data.shape, sizes(facts, node.inputs[1])]), data.dtype)]


def tile(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, repeats = facts[node.inputs[0]], sizes(facts, node.inputs[1])
    if data.shape is None or repeats is None or len(repeats) != len(data.shape):
        return [Fact(None, data.dtype)]
    return [Fact(tuple(size * times for size, times in zip(data.shape, repeats, strict=True)), data.dtype)]


def pad(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data = facts[node.inputs[0]]
    pads = facts[node.inputs[1]].content if len(node.inputs) == 2 else None
    if data.shape is None or pads is None or None in pads or len(pads) != 2 * len(data.shape):
        return [Fact(None, data.dtype)]
    rank = len(data.shape)
    added = [(pads[axis] or ONE) + (pads[axis + rank] or ONE) for axis in range(rank)]  # none of them is None
    return [Fact(tuple(size + more for size, more in zip(data.shape, added, strict=True)), data.dtype)]


def reshape(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, target = facts[node.inputs[0]], facts[node.inputs[1]]
    if target.content is None:
        return [Fact(None, data.dtype)]
    keeps_zero = bool(int_attribute(node, "allowzero", 0))
    return [Fact(reshaped(data.shape, target.content, keeps_zero), data.dtype, data.content)]


def reshaped(shape: Shape | None, target: arithmetic.Content, keeps_zero: bool) -> Shape | None:
    """The shape a Reshape gives; `keeps_zero` is the attribute `allowzero`."""
    sizes: list[Size | None] = []
    for axis, size in enumerate(target):
        if size is not None and size.number == 0 and not keeps_zero:
            size = shape[axis] if shape is not None and axis < len(shape) else None
            if size is None:
                return None
        if size is None or (not size.is_never_negative and size.number != -1):
            return None
        sizes.append(None if size.number == -1 else size)
    if None not in sizes:
        return tuple(size for size in sizes if size is not None)
    if shape is None or sizes.count(None) > 1:
        return None
    rest = _quotient(list(shape), [size for size in sizes if size is not None])
    return None if rest is None else tuple(rest if size is None else size for size in sizes)


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
    return [Fact(tuple(data.shape[axis] for axis in perm), data.dtype)]


def gather(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, indices = facts[node.inputs[0]], facts[node.inputs[1]]
    if data.shape is None or indices.shape is None:
        return [Fact(None, data.dtype)]
    axis = int_attribute(node, "axis", 0) % len(data.shape)
    shape = (*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :])
    return [arithmetic.scalar_fact(arithmetic.gathered(facts, node), Fact(shape, data.dtype))]


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
    bounds = _slice_bounds(facts, node)
    if data.shape is None or bounds is None:
        return [Fact(None, data.dtype)]
    shape = list(data.shape)
    for axis, start, end, step in bounds:
        axis %= len(shape)
        name = f"{node.outputs[0].name}[{axis}]"
        shape[axis] = _sliced_size(shape[axis], start, end, step) or Size.of(name)
    content = data.content
    if content is not None:
        _, first, last, by = bounds[0]
        known = first is not None and last is not None and None not in (first.number, last.number)
        content = arithmetic.sliced(content, first.number or 0, last.number or 0, by) if known else None  # type: ignore[union-attr]  # both are known here
    return [arithmetic.scalar_fact(content, Fact(tuple(shape), data.dtype))]


def _slice_bounds(facts: Facts, node: ir.Node) -> list[tuple[int, Size | None, Size | None, int]] | None:
    if "starts" in node.attributes:  # opset < 10
        starts = [Size.of(n) for n in ints_attribute(node, "starts") or ()]
        ends = [Size.of(n) for n in ints_attribute(node, "ends") or ()]
        axes = ints_attribute(node, "axes") or tuple(range(len(starts)))
        return [(a, s, e, 1) for a, s, e in zip(axes, starts, ends, strict=True)]
    contents = [facts[value].content if value is not None else None for value in node.inputs[1:]]
    lengths = [facts.shape(value) for value in node.inputs[1:3]]
    count = next((len(c) for c in contents if c is not None), None)
    if count is None or len(contents) < 2 or None in lengths:
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
    if start is None or end is None or step < 1:
        return None
    if size.number is not None and start.number is not None and end.number is not None:
        return Size.of(len(range(*slice(start.number, end.number, step).indices(size.number))))
    if step != 1:
        return None
    is_open = end == size or (end.number is not None and end.number >= 2**31 - 1)
    if is_open and start.number is not None:
        return size if start.number == 0 else None
    if not (start.is_never_negative and end.is_never_negative):
        return None
    # An end beyond the axis would be cut to it. A table of positions is cut at an open length, too; a run beyond its
    # end fails where the slice meets the tokens, so its length is that of the slice in every run there is.
    is_table = size.number is not None and size.number > 1 and end.number is None
    return end - start if is_table or (size - end).is_never_negative else None


def flatten(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, axis = facts[node.inputs[0]], int_attribute(node, "axis", 1)
    if data.shape is None:
        return [Fact(None, data.dtype)]
    axis = axis if axis >= 0 else axis + len(data.shape)
    return [Fact((product(data.shape[:axis]), product(data.shape[axis:])), data.dtype)]


def sizes(facts: Facts, value: ir.Value | None) -> Shape | None:
    content = facts[value].content
    if content is None or any(size is None or not size.is_never_negative for size in content):
        return None
    return tuple(size for size in content if size is not None)
