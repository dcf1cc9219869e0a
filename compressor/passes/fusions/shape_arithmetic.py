"""Follow integers that stand for sizes through Shape, Gather, Concat and the arithmetic between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.passes.fusions.dimensions import ONE, Size, limited, product
from compressor.passes.fusions.match import MAX_SMALL_ELEMENTS, int_attribute
from compressor.passes.fusions.shape_facts import Fact, Facts

Content = tuple[Size | None, ...]


def shape_of(facts: Facts, node: ir.Node) -> Content | None:
    """The content of Shape, with its optional range of axes; open sizes of a trimmed table leave gaps."""
    measured = node.inputs[0]
    shape = facts.shape(measured)
    if shape is None:
        return None
    start, end = int_attribute(node, "start", 0), int_attribute(node, "end", len(shape))
    is_trimmed = measured in facts.trimmed
    return tuple(None if is_trimmed and size.number is None else size for size in shape[slice(start, end)])


def combined(facts: Facts, node: ir.Node) -> Content | None:
    """The content of an element-by-element integer operator."""
    operator = _OPERATORS.get(node.op_type)
    contents = [facts[value].content for value in node.inputs]
    if operator is None or any(content is None for content in contents):
        return None
    known = [content for content in contents if content is not None]
    length = max(map(len, known))
    if any(len(content) not in (1, length) for content in known) or length > MAX_SMALL_ELEMENTS:
        return None
    columns = zip(*(content * length if len(content) == 1 else content for content in known), strict=True)
    return tuple(None if None in column else operator(*column) for column in columns)


def gathered(facts: Facts, node: ir.Node) -> Content | None:
    """The content of Gather along the only axis of its data."""
    data, indices = (facts[value] for value in node.inputs[:2])
    if data.content is None or data.rank != 1 or indices.content is None or indices.rank not in (0, 1):
        return None
    return tuple(_element(data.content, index) for index in indices.content)


def concatenated(facts: Facts, node: ir.Node) -> Content | None:
    """The content of Concat; a part of unknown content but known length leaves a gap."""
    parts: list[Size | None] = []
    for value in node.inputs:
        fact = facts[value]
        if fact.content is not None:
            parts += fact.content
            continue
        length = fact.shape[0].number if fact.shape is not None and fact.rank == 1 else None
        if length is None or length > MAX_SMALL_ELEMENTS:
            return None
        parts += [None] * length
    return tuple(parts) if len(parts) <= MAX_SMALL_ELEMENTS else None


def sliced(data: Fact, bounds: Sequence[tuple[int, Size | None, Size | None, int]]) -> Content | None:
    """The content of Slice: axis, start, end and step of every cut."""
    array = _as_array(data)
    if array is None:
        return None
    cuts = [slice(None)] * array.ndim
    for axis, first, last, step in bounds:
        start, end = first.number if first is not None else None, last.number if last is not None else None
        if start is None or end is None:
            return None
        cuts[axis] = cut(start, end, step, array.shape[axis])
    return tuple(array[tuple(cuts)].reshape(-1))


def cut(start: int, end: int, step: int, length: int) -> slice:
    """What Slice takes of an axis of `length`: "before the first" is None to Python, any end below to ONNX."""
    return slice(start, None if step < 0 and end < -length else end, step)


def transposed(data: Fact, perm: Sequence[int]) -> Content | None:
    """The content of Transpose."""
    array = _as_array(data)
    return None if array is None else tuple(array.transpose(perm).reshape(-1))


def _as_array(fact: Fact) -> NDArray[np.object_] | None:
    shape = None if fact.shape is None else [size.number for size in fact.shape]
    if fact.content is None or shape is None or None in shape:
        return None
    array = np.empty(len(fact.content), dtype=object)
    array[:] = fact.content
    return array.reshape([size for size in shape if size is not None])


def filled(facts: Facts, node: ir.Node) -> Content | None:
    """The content of ConstantOfShape, where it makes a short list of integers."""
    lengths = facts[node.inputs[0]].content
    length = lengths[0].number if lengths is not None and len(lengths) == 1 and lengths[0] is not None else None
    if length is None or not 0 <= length <= MAX_SMALL_ELEMENTS or "value" not in node.attributes:
        return None
    tensor = node.attributes["value"].as_tensor()
    if not tensor.dtype.is_integer() or tensor.size != 1:
        return None
    return (Size.of(int(tensor.numpy().reshape(-1)[0].item())),) * length


def _element(content: Content, index: Size | None) -> Size | None:
    number = index.number if index is not None else None
    return content[number] if number is not None and -len(content) <= number < len(content) else None


def _equal(left: Size, right: Size) -> Size | None:
    if left == right:
        return ONE
    for one, other in ((left, right), (right, left)):
        number = one.number
        if number is not None and (other.number is not None or (number < 0 and other.is_never_negative)):
            return Size.of(0)
    return None


def _chosen(condition: Size, chosen: Size, otherwise: Size) -> Size | None:
    if chosen == otherwise:
        return chosen
    return None if condition.number is None else chosen if condition.number else otherwise


def _divided(left: Size, right: Size) -> Size | None:
    if left.number is not None and right.number:
        return Size.of(left.number // right.number) if left.number >= 0 < right.number else None
    if right.number == 0 or not (right.is_never_negative and left.is_never_negative):
        return None
    return left // right


def _remainder(left: Size, right: Size) -> Size | None:
    if left.number is not None and right.number:
        return Size.of(left.number % right.number) if left.number >= 0 < right.number else None
    return Size.of(0) if right.number and right.number > 0 and left.divided_by(right) is not None else None


_OPERATORS: dict[str, Callable[..., Size | None]] = {
    "Add": Size.__add__,
    "Sub": Size.__sub__,
    "Mul": Size.__mul__,
    "Div": _divided,
    "Mod": _remainder,
    "Min": partial(limited, "min"),
    "Max": partial(limited, "max"),
    "Equal": _equal,
    "Where": _chosen,
    "Identity": lambda size: size,
    "Neg": lambda size: Size.of(0) - size,
}


def cast(facts: Facts, node: ir.Node) -> Content | None:
    """The content of Cast between integer types."""
    to = ir.DataType(int_attribute(node, "to", 0))
    return facts[node.inputs[0]].content if to in (ir.DataType.INT64, ir.DataType.INT32) else None


def scalar_fact(content: Content | None, fact: Fact) -> Fact:
    """`fact` with its content, if that fits its shape."""
    length = None if fact.shape is None else product(fact.shape).number
    return Fact(fact.shape, fact.dtype, content if content is not None and len(content) == length else None)
