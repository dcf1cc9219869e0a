"""Make the inputs every result is judged on, from the original model's own signature."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

Feeds = dict[str, NDArray[Any]]


class Padding(Enum):
    """Where the padded positions of a row are."""

    NONE = "none"
    RIGHT = "right"
    ANY = "left, or holes"


SIZES = ((4, 16), (2, 64))
"""Rows and positions of the batches a result is judged on."""

_TRANSPARENT = {"Cast", "Reshape", "Identity", "Unsqueeze", "Squeeze"}
_NUMPY_TYPES = {
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.FLOAT16: np.float16,
    onnx.TensorProto.BOOL: np.bool_,
    onnx.TensorProto.INT32: np.int32,
    onnx.TensorProto.INT64: np.int64,
}


def make_feeds(model: onnx.ModelProto, *, rows: int, positions: int, padding: Padding) -> Feeds:
    """Fill every input: token ids over the whole embedding table, masks as `padding` says, other numbers normal."""
    random = np.random.default_rng([rows, positions])
    mask = _mask(rows, positions, padding)
    feeds: Feeds = {}
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    for value in model.graph.input:
        if value.name in initializers:
            continue
        tensor = value.type.tensor_type
        shape = [dim.dim_value or (positions if axis else rows) for axis, dim in enumerate(tensor.shape.dim)]
        kind = _NUMPY_TYPES[tensor.elem_type]
        if "mask" in value.name and shape == list(mask.shape):
            feeds[value.name] = mask.astype(kind)
        elif np.issubdtype(kind, np.integer):
            highest = min(_table_rows(model.graph, value.name, initializers), default=100)
            feeds[value.name] = random.integers(0, highest, shape).astype(kind)
        else:
            feeds[value.name] = random.standard_normal(shape).astype(kind)
    return feeds


def _mask(rows: int, positions: int, padding: Padding) -> NDArray[np.int64]:
    random = np.random.default_rng(positions)
    mask = np.ones((rows, positions), dtype=np.int64)
    if padding is Padding.NONE:
        return mask
    for row in range(1, rows):  # the first row stays full
        if padding is Padding.RIGHT:
            mask[row, random.integers(positions // 2, positions) :] = 0
        elif row % 2:
            mask[row, : random.integers(1, positions // 2)] = 0
        else:
            mask[row, random.choice(positions, positions // 4, replace=False)] = 0
    return mask


def _table_rows(graph: onnx.GraphProto, name: str, initializers: dict[str, onnx.TensorProto]) -> Iterator[int]:
    """Rows of each embedding table that the integers of `name` index."""
    for node in graph.node:
        if node.op_type == "Gather" and node.input[1] == name and node.input[0] in initializers:
            yield initializers[node.input[0]].dims[0]
        elif node.op_type in _TRANSPARENT and node.input[0] == name:
            yield from _table_rows(graph, node.output[0], initializers)
