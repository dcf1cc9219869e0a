"""Find activations that come straight from a normalization, and where its weight and bias are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from compressor.passes.fusions.graph_edit import GraphEdit
from compressor.passes.fusions.match import int_attribute, is_at_end, is_operator
from compressor.passes.fusions.normalization import in_pieces

_PARTS = {
    "LayerNormalization": (1, 2),
    "RMSNormalization": (1,),
    "SimplifiedLayerNormalization": (1,),
    "SkipLayerNormalization": (2, 3),
    "SkipSimplifiedLayerNormalization": (2,),
}
"""Operators that normalize in one step, with their inputs that hold one number for each feature."""

Place = tuple[ir.Node, int]
"""A node, and which of its inputs."""


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """Where a normalized activation comes from.

    Attributes:
        parts: the places where the weight and the bias are read, if there are any such; a factor put into both scales
            the result. None where a value that is read elsewhere, too, cannot be told apart.
        passed: values between the normalization and the activation, its result first, the activation itself last.
    """

    parts: tuple[Place, ...] | None
    passed: tuple[ir.Value, ...]


class Normalizations:
    """The normalizations of a model's main graph, by their results."""

    def __init__(self, model: ir.Model) -> None:
        edit = GraphEdit(model)
        self._parts: dict[ir.Value, tuple[Place, ...] | None] = {**dict(_in_pieces(edit)), **dict(_whole(edit))}

    def origin(self, activation: ir.Value) -> Origin | None:
        """The normalization that `activation` comes from, perhaps reshaped; None where there is none.

        Features stay the last axis: a product takes as many as the normalization has, and the order is kept.
        """
        passed = [activation]
        while passed[0] not in self._parts:
            node = passed[0].producer()
            if node is None or not is_operator(node, "Reshape", "Identity") or node.inputs[0] is None:
                return None
            passed.insert(0, node.inputs[0])
        return Origin(self._parts[passed[0]], tuple(passed))


def _whole(edit: GraphEdit) -> Iterator[tuple[ir.Value, tuple[Place, ...]]]:
    for node in edit.nodes(*_PARTS):
        source = node.inputs[0]
        if source is None or not is_at_end(int_attribute(node, "axis", -1), edit.facts[source].rank):
            continue
        parts = (index for index in _PARTS[node.op_type] if index < len(node.inputs) and node.inputs[index] is not None)
        yield node.outputs[0], tuple((node, index) for index in parts)


def _in_pieces(edit: GraphEdit) -> Iterator[tuple[ir.Value, tuple[Place, ...] | None]]:
    for node in edit.nodes("ReduceMean"):
        found = in_pieces(edit, node)
        if found is None:
            continue
        values = [value for value in (found.weight, found.bias) if value is not None]
        places = [tuple((use.node, use.idx) for use in value.uses()) for value in values]
        yield found.result, tuple(place[0] for place in places) if all(len(place) == 1 for place in places) else None
