"""Write models of very many nodes: a chain, transformer layers as an exporter writes them, a fan.

Each has half as many initializers as nodes, one in four of them a copy of another.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

WIDTH = 64
HEADS = 4
_VECTOR = 256
"""Elements of the longer vectors: 1 kB, from which on a weight is a reference."""

_FAN_IN = 100


class _Graph:
    """Nodes and initializers as they are added; a value is its name."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._random = np.random.default_rng(0)

    def add(self, op_type: str, *inputs: str, **attributes: int | float | list[int]) -> str:
        name = f"value_{len(self.nodes)}"
        node = NodeProto(op_type=op_type, name=f"node_{len(self.nodes)}", input=inputs, output=[name])
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
        return name

    def hold(self, array: NDArray[np.generic]) -> str:
        name = f"weight_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def number(self, value: float) -> str:
        return self.hold(np.asarray(value, np.float32))

    def integers(self, *values: int) -> str:
        return self.hold(np.asarray(values, np.int64))

    def random(self, *shape: int) -> str:
        return self.hold((self._random.standard_normal(shape, np.float32) * shape[0] ** -0.5).astype(np.float32))

    def model(self, shape: list[int | str], y: str) -> onnx.ModelProto:
        ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", y)]
        graph = helper.make_graph(self.nodes, "scale", ports[:1], ports[1:], self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_graph(kind: str, nodes: int, path: str) -> None:
    """Write a model of about `nodes` nodes; `kind` is one of `KINDS`."""
    onnx.save(KINDS[kind](nodes), path)


def chain(nodes: int) -> onnx.ModelProto:
    """Every node reads the one before: products with vectors and numbers in turns, and a bounded function."""
    graph, value = _Graph(), "x"
    rescaled = partial(np.random.default_rng(1).uniform, 0.9, 1.1)
    for number in range(nodes // 4):
        vector = np.full(_VECTOR, 1, np.float32) if number % 2 else np.asarray(rescaled(size=_VECTOR), np.float32)
        value = graph.add("Mul", value, graph.hold(vector))
        value = graph.add("Add", value, graph.number(float(rescaled())))
        value = graph.add("Tanh", value)
        value = graph.add("Neg", value)
    return graph.model(["batch", _VECTOR], value)


def fan(nodes: int) -> onnx.ModelProto:
    """Very many nodes read one input and one constant; their results are added up a hundred at a time."""
    graph = _Graph()
    half = graph.number(0.5)
    random = np.random.default_rng(1).standard_normal((nodes // 4, 8)).astype(np.float32)
    level = []
    for number in range(nodes // 4):
        scaled = graph.add("Mul", "x", graph.hold(random[number - number % 2]))
        moved = graph.add("Add", scaled, graph.hold(random[number]))
        level.append(graph.add("Tanh", graph.add("Mul", moved, half)))
    while len(level) > 1:
        level = [graph.add("Sum", *level[start : start + _FAN_IN]) for start in range(0, len(level), _FAN_IN)]
    return graph.model(["batch", 8], level[0])


def layers(nodes: int) -> onnx.ModelProto:
    """A transformer encoder whose attention, normalizations and GELUs are written out; every other layer is a copy."""
    graph, value = _Graph(), "x"
    while len(graph.nodes) < nodes:
        weights = _layer_weights(graph)
        for _ in range(2):
            value = _layer(graph, value, iter(weights))
    return graph.model(["batch", "sequence", WIDTH], value)


def _layer_weights(graph: _Graph) -> list[NDArray[np.float32]]:
    random = graph._random
    draw = partial(random.standard_normal, dtype=np.float32)
    matrices = [draw((WIDTH, WIDTH)) * np.float32(WIDTH**-0.5) for _ in range(6)]
    return [part for matrix in matrices for part in (matrix, draw(WIDTH) * np.float32(0.1))]


def _layer(graph: _Graph, x: str, weights: Iterator[NDArray[np.float32]]) -> str:
    def linear(value: str) -> str:
        return graph.add("Add", graph.add("MatMul", value, graph.hold(next(weights))), graph.hold(next(weights)))

    def split(value: str, perm: list[int]) -> str:
        shaped = graph.add("Reshape", value, graph.integers(0, 0, HEADS, WIDTH // HEADS))
        return graph.add("Transpose", shaped, perm=perm)

    queries = split(linear(x), [0, 2, 1, 3])
    keys = split(linear(x), [0, 2, 3, 1])
    values = split(linear(x), [0, 2, 1, 3])
    scores = graph.add("Div", graph.add("MatMul", queries, keys), graph.number((WIDTH // HEADS) ** 0.5))
    mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), values)
    merged = graph.add("Reshape", graph.add("Transpose", mixed, perm=[0, 2, 1, 3]), graph.integers(0, 0, WIDTH))
    x = _normalized(graph, graph.add("Add", x, linear(merged)))
    return _normalized(graph, graph.add("Add", x, linear(_gelu(graph, linear(x)))))


def _gelu(graph: _Graph, x: str) -> str:
    erf = graph.add("Erf", graph.add("Div", x, graph.number(2**0.5)))
    return graph.add("Mul", graph.add("Mul", x, graph.add("Add", erf, graph.number(1))), graph.number(0.5))


def _normalized(graph: _Graph, x: str) -> str:
    centered = graph.add("Sub", x, graph.add("ReduceMean", x, axes=[-1]))
    square = graph.add("Pow", centered, graph.number(2))
    variance = graph.add("Add", graph.add("ReduceMean", square, axes=[-1]), graph.number(1e-12))
    scaled = graph.add("Div", centered, graph.add("Sqrt", variance))
    weight = graph.hold(np.full(WIDTH, 1, np.float32))
    return graph.add("Add", graph.add("Mul", scaled, weight), graph.hold(np.zeros(WIDTH, np.float32)))


KINDS = {"chain": chain, "fan": fan, "layers": layers}
