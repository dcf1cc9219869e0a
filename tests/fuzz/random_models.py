"""Draw random models in which a few weights are shared in many ways."""

from __future__ import annotations

from typing import Any  # attributes of nodes are of many kinds

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

WIDTH = 64
"""Enough for a weight to be worth quantizing several times over."""


class RandomModel:
    """A model being drawn: every step reads the last value and a weight in one of several ways."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.opset = int(self.random.choice([11, 13, 17, 20, 22]))
        self.nodes: list[NodeProto] = []
        self.weights: list[str] = []
        self.tensors = [numpy_helper.from_array(np.array([WIDTH, WIDTH]), "square")]
        value = "x"
        for _ in range(self.random.integers(2, 8)):
            value = self._step(value)
        self._add("Identity", [value], "y")

    def proto(self) -> onnx.ModelProto:
        """The model, from ``x`` (batch x 3 x 64) and ``ids`` (batch x 3) to ``y``."""
        sizes: list[str | int | None] = ["batch", 3, WIDTH]
        inputs = [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes),
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", 3]),
        ]
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, sizes)]
        graph = helper.make_graph(self.nodes, "g", inputs, outputs, self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def feeds(self, batch: int) -> dict[str, NDArray[np.generic]]:
        """Inputs of `batch` rows."""
        x = self.random.standard_normal((batch, 3, WIDTH)).astype(np.float32)
        return {"x": x, "ids": self.random.integers(0, WIDTH, (batch, 3))}

    def _add(self, operator: str, inputs: list[str], wish: str = "", **attributes: Any) -> str:
        output = wish or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def _stored(self) -> str:
        sizes = self.random.choice([0.05, 0.5], WIDTH)  # of rows: a scale on the wrong axis is ten times wrong
        values = (self.random.standard_normal((WIDTH, WIDTH)) * sizes[:, None]).astype(np.float32)
        name = f"w{len(self.nodes)}_{len(self.tensors)}"
        if self.random.integers(4) == 0:
            return self._add("Constant", [], value=numpy_helper.from_array(values))
        shape = [(WIDTH, WIDTH), (WIDTH * WIDTH,)][self.random.integers(2)]
        self.tensors.append(numpy_helper.from_array(values.reshape(shape), name))
        return name if len(shape) == 2 else self._add("Reshape", [name, "square"])

    def _weight(self) -> str:
        if not self.weights or self.random.integers(3) == 0:
            self.weights.append(self._stored())
        elif self.random.integers(3) == 0:
            seen = self.weights[self.random.integers(len(self.weights))]
            operator = ["Transpose", "Identity"][self.random.integers(2)]
            self.weights.append(self._add(operator, [seen]))
        return str(self.random.choice(self.weights))

    def _step(self, value: str) -> str:
        weight = self._weight()
        match self.random.integers(6):
            case 0:
                return self._add("MatMul", [value, weight])
            case 1:
                turned = self._add("Transpose", [value], perm=[0, 2, 1])
                return self._add("Transpose", [self._add("MatMul", [weight, turned])], perm=[0, 2, 1])
            case 2:
                rows = self._add("Flatten", [value], axis=2)
                product = self._add("Gemm", [rows, weight], transB=int(self.random.integers(2)), alpha=0.5)
                return self._add("Reshape", [product, self._add("Shape", [value])])
            case 3:
                return self._add("Add", [value, self._add("Gather", [weight, "ids"], axis=0)])
            case 4:
                columns = self._add("Gather", [weight, "ids"], axis=1)
                return self._add("Mul", [value, self._add("Transpose", [columns], perm=[1, 2, 0])])
            case _:
                return self._add("Neg", [value])
