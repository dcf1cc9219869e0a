"""Say which shape comes out of operators that slide a window over a tensor, pad it or resample it."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from compressor.passes.fusions.dimensions import ONE, Size
from compressor.passes.fusions.match import int_attribute, ints_attribute, numbers_of
from compressor.passes.fusions.shape_facts import Fact, Facts, fresh_size


def conv(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, weight = facts[node.inputs[0]], facts[node.inputs[1]]
    if data.shape is None or weight.shape is None:
        return [Fact(None, data.dtype)]
    window = [size.number for size in weight.shape[2:]]
    return [Fact((data.shape[0], weight.shape[0], *_slid(node, data.shape[2:], window)), data.dtype)]


def conv_integer(facts: Facts, node: ir.Node, opset: int) -> Sequence[Fact]:
    return [Fact(fact.shape, ir.DataType.INT32) for fact in conv(facts, node, opset)]


def pool(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, window = facts[node.inputs[0]], ints_attribute(node, "kernel_shape")
    if data.shape is None or window is None:
        return [Fact(None, data.dtype)]
    shape = (*data.shape[:2], *_slid(node, data.shape[2:], window))
    return [Fact(shape, data.dtype), Fact(shape, ir.DataType.INT64)]


def global_pool(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data = facts[node.inputs[0]]
    shape = None if data.shape is None else (*data.shape[:2], *(ONE for _ in data.shape[2:]))
    return [Fact(shape, data.dtype)]


def _slid(node: ir.Node, sizes: Sequence[Size], window: Sequence[int | None]) -> list[Size]:
    """Positions of a window along every axis; the formula is that of the operators Conv and MaxPool."""
    spatial = len(sizes)
    strides = ints_attribute(node, "strides") or (1,) * spatial
    dilations = ints_attribute(node, "dilations") or (1,) * spatial
    pads = ints_attribute(node, "pads") or (0,) * (2 * spatial)
    is_plain = "auto_pad" not in node.attributes or node.attributes["auto_pad"].as_string() == "NOTSET"
    result = []
    for axis, size in enumerate(sizes):
        width = window[axis]
        if width is None or not is_plain or int_attribute(node, "ceil_mode", 0):
            result.append(fresh_size(node, axis + 2))
            continue
        room = size + Size.of(pads[axis] + pads[axis + spatial] - dilations[axis] * (width - 1) - 1)
        count = room // Size.of(strides[axis]) + ONE
        result.append(count if count.is_size else Size.of(f"({count})"))
    return result


def pad(facts: Facts, node: ir.Node, opset: int) -> Sequence[Fact]:
    data = facts[node.inputs[0]]
    if data.shape is None:
        return [Fact(None, data.dtype)]
    rank = len(data.shape)
    stated = tuple(Size.of(number) for number in ints_attribute(node, "pads") or ())
    pads = stated if opset < 11 else facts[node.inputs[1]].content
    if pads is None or len(pads) != 2 * rank or len(node.inputs) > 3:  # a fourth input picks axes
        return [Fact(tuple(fresh_size(node, axis) for axis in range(rank)), data.dtype)]
    sizes = []
    for axis, size in enumerate(data.shape):
        before, after = pads[axis], pads[axis + rank]
        sizes.append(fresh_size(node, axis) if before is None or after is None else size + before + after)
    return [Fact(tuple(sizes), data.dtype)]


def resize(facts: Facts, node: ir.Node, opset: int) -> Sequence[Fact]:
    data = facts[node.inputs[0]]
    if data.shape is None:
        return [Fact(None, data.dtype)]
    rank = len(data.shape)
    fresh = [fresh_size(node, axis) for axis in range(rank)]
    given = facts[node.inputs[3]].content if opset >= 11 and len(node.inputs) > 3 else None
    if given is not None and len(given) == rank and "axes" not in node.attributes:
        return [Fact(tuple(size or new for size, new in zip(given, fresh, strict=True)), data.dtype)]
    scales = numbers_of(node.inputs[2 if opset >= 11 else 1]) if given is None and len(node.inputs) < 4 else None
    if scales is None or len(scales) != rank:
        return [Fact(tuple(fresh), data.dtype)]
    return [Fact(tuple(s if f == 1 else n for s, f, n in zip(data.shape, scales, fresh, strict=True)), data.dtype)]
