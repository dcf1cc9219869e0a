"""Find numbers in a graph that may be the sizes its exporter saw, where its signature leaves them open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import onnx_ir as ir

MOST = 12
"""Sizes that are worth trying: a model with more has none that stands out."""

_LARGEST = 4096
_FEW = 16
_TAKE_SHAPES = {"Reshape", "Expand", "Tile", "ConstantOfShape"}
_MAKE_SHAPES = {"Concat", "Unsqueeze", "Squeeze", "Cast", "Identity", "Mul", "Where"}
_BROADCAST = {"Add", "Mul", "Where"}


def baked_sizes(model: ir.Model) -> tuple[int, ...]:
    """Sizes above 1, the most frequent first: parts of shapes, and all axes but the last of what is added to values.

    Tracing PyTorch's ``nn.MultiheadAttention`` writes the number of keys into a shape, for example.
    """
    found: Counter[int] = Counter()
    for node in model.graph.all_nodes():
        if node.op_type in _TAKE_SHAPES and node.inputs:
            found.update(_parts_of_shape(node.inputs[-1]))
        if node.op_type in _BROADCAST:
            found.update(size for value in node.inputs for size in _outer_sizes(value))
    return tuple(size for size, _ in found.most_common() if 1 < size <= _LARGEST)[:MOST]


def _parts_of_shape(shape: ir.Value | None) -> Iterator[int]:
    waiting, seen = [shape], set[int]()
    while waiting:
        value = waiting.pop()
        if value is None or id(value) in seen:
            continue
        seen.add(id(value))
        tensor = ir.convenience.get_const_tensor(value)
        if tensor is not None:
            if tensor.dtype == ir.DataType.INT64 and tensor.size <= _FEW:
                yield from (int(size) for size in tensor.numpy().reshape(-1))
            continue
        producer = value.producer()
        if producer is not None and producer.op_type in _MAKE_SHAPES:
            waiting.extend(producer.inputs)


def _outer_sizes(value: ir.Value | None) -> tuple[int, ...]:
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    return tuple(tensor.shape.numpy()[:-1]) if tensor is not None else ()
