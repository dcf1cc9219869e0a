"""Draw attention, and what only looks like it: axes exchanged, masks in any order, scales spelled in many ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any  # attributes of nodes are of many kinds

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

SIDE = 4
"""Of batch, sequence, heads and features alike: any exchange of axes gives a graph that runs, and other numbers."""

WIDTH = SIDE * SIDE
FILLS = (-1e4, -1e9, -1e30, float(np.finfo(np.float32).min), -np.inf, -3.0)
SCORES = ("bnid,bnjd->bnij", "bnid,bnjd->bnji", "bndi,bnjd->bnij", "nbid,bnjd->bnij")
CONTEXTS = ("bnij,bnjd->bnid", "bnij,bnjd->bind", "bnij,bnid->bnjd", "bnij,bjnd->bnid")


class RandomAttention:
    """One layer, each choice of which is, now and then, not that of any exporter."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.opset = int(self.random.choice([11, 13, 17, 20, 23]))
        self.oddness = float(self.random.choice([0.0, 0.1, 0.3]))
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []
        self._attend()

    def proto(self) -> onnx.ModelProto:
        """The model, from ``x`` (4 x 4 x 16) and ``mask`` (4 x 4, truth values) to ``y``."""
        inputs = [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [SIDE, SIDE, WIDTH]),
            helper.make_tensor_value_info("mask", TensorProto.BOOL, [SIDE, SIDE]),
        ]
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [SIDE, SIDE, WIDTH])]
        graph = helper.make_graph(self.nodes, "g", inputs, outputs, self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def feeds(self) -> dict[str, NDArray[Any]]:
        """Rows padded left, padded right, with a hole, and with nothing to see."""
        mask = np.array([[0, 0, 1, 1], [1, 1, 1, 0], [1, 0, 1, 1], [0, 0, 0, 0]], bool)
        return {"x": self.random.standard_normal((SIDE, SIDE, WIDTH)).astype(np.float32), "mask": mask}

    def _attend(self) -> None:
        query, key, value = (self._heads() for _ in range(3))
        query = self._scaled(query) if self._is_so(0.2) else query
        scores = self._product(query, self._turned(key, (0, 1, 3, 2)), [query, key], SCORES)
        steps: list[Callable[[str], str]] = [self._scaled, self._masked, self._filled]
        chosen = [step for step in steps if self._is_so(0.6)]
        if self._is_odd():
            self.random.shuffle(chosen)
        for step in chosen:
            scores = step(scores)
        axis = int(self.random.integers(4)) if self._is_odd() else -1
        probabilities = self._add("Softmax", [scores], axis=axis)
        if self._is_so(0.1):
            zeroed = [self._seen(), probabilities, self._number(0.0)]
            probabilities = self._add("Where", zeroed)
        context = self._product(probabilities, value, [probabilities, value], CONTEXTS)
        merged = self._add("Reshape", [self._turned(context, (0, 2, 1, 3)), self._integers([0, 0, WIDTH])])
        self._add("MatMul", [merged, self._weight()], "y")

    def _heads(self) -> str:
        projected = self._add("MatMul", ["x", self._weight()])
        return self._turned(self._add("Reshape", [projected, self._integers([0, 0, SIDE, SIDE])]), (0, 2, 1, 3))

    def _product(self, left: str, right: str, operands: Sequence[str], equations: Sequence[str]) -> str:
        if self.opset < 12 or not self._is_so(0.25):
            return self._add("MatMul", [left, right])
        return self._add(
            "Einsum", operands, equation=str(self.random.choice(equations) if self._is_odd() else equations[0])
        )

    def _turned(self, value: str, perm: tuple[int, ...]) -> str:
        return self._add("Transpose", [value], perm=self.random.permutation(4).tolist() if self._is_odd() else perm)

    def _scaled(self, value: str) -> str:
        factor = self._number(float(self.random.choice([0.5, 0.3, 2.5, -0.4])))
        match self.random.integers(4):
            case 0:
                factor = self._add("Sqrt", [self._number(3.0)])
            case 1:
                factor = self._add("Cast", [self._add("Cast", [factor], to=TensorProto.INT64)], to=TensorProto.FLOAT)
            case 2 if self._is_odd():
                factor = self._constant(self.random.standard_normal((SIDE, 1, 1)).astype(np.float32))
        return self._add(str(self.random.choice(["Mul", "Mul", "Div"])), [value, factor])

    def _masked(self, scores: str) -> str:
        fill = self._number(float(self.random.choice(FILLS)))
        bias = self._add("Where", [self._seen(), self._number(0.0), fill])
        return self._add("Add", [scores, bias])

    def _filled(self, scores: str) -> str:
        return self._add("Where", [self._seen(), scores, self._number(float(self.random.choice(FILLS)))])

    def _seen(self) -> str:
        """Padding, or what lies ahead."""
        if self._is_so(0.3):
            return self._constant(np.tril(np.ones((SIDE, SIDE), bool)))
        axes = [1, 3] if self._is_odd() else [1, 2]
        if self.opset < 13:
            return self._add("Unsqueeze", ["mask"], axes=axes)
        return self._add("Unsqueeze", ["mask", self._integers(axes)])

    def _is_so(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def _is_odd(self) -> bool:
        return self._is_so(self.oddness)

    def _add(self, operator: str, inputs: Sequence[str], wish: str = "", **attributes: Any) -> str:
        output = wish or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def _constant(self, array: NDArray[Any]) -> str:
        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def _weight(self) -> str:
        return self._constant((self.random.standard_normal((WIDTH, WIDTH)) * 0.4).astype(np.float32))

    def _number(self, value: float) -> str:
        return self._constant(np.array(value, np.float32))

    def _integers(self, numbers: Sequence[int]) -> str:
        return self._constant(np.array(numbers, np.int64))
