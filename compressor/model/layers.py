"""Account for the weights of a model by layer, as the names in it tell the layers."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

import onnx_ir as ir

from compressor.model.consumers import consumers_of
from compressor.model.garbage import collection_paused
from compressor.model.packed import type_of_values
from compressor.model.size import tensor_bytes
from compressor.model.tensors import Held, all_tensors
from compressor.report import Layer

_DEEPEST = 24
"""Parts of a path that make layers of their own; deeper ones stay together. Real exports have 12 at most."""

_SEPARATOR = re.compile(r"[./]+")
_FARTHEST = 6
"""Nodes behind a consumer that are asked for a path: an integer product is four nodes, of which the last has one."""


@collection_paused()
def layers_of(model: ir.Model) -> Layer:
    """Sort every weight of `model` into the layer that its name, or else the name of what uses it, puts it in.

    PyTorch names parameters ``encoder.layer.0.weight``, and nodes ``/encoder/layer.0/MatMul``. A weight without such a
    name (``onnx::MatMul_605``) goes where its first consumer is; without any, it belongs to the model as a whole.
    """
    root, names = _Branch(), _Names()
    for held in all_tensors(model):
        branch, type_name, count = root, type_of_values(held), tensor_bytes(held.tensor)
        branch.add(type_name, count)
        for part in names.path_of(held):
            branch = branch.parts.setdefault(part, _Branch())
            branch.add(type_name, count)
    return _layer("", root)


@dataclass(slots=True)
class _Branch:
    """A layer while its weights are being counted."""

    bytes_by_type: Counter[str] = field(default_factory=Counter)
    weights: int = 0
    parts: dict[str, _Branch] = field(default_factory=dict)

    def add(self, type_name: str, count: int) -> None:
        self.bytes_by_type[type_name] += count
        self.weights += 1


def _layer(name: str, branch: _Branch) -> Layer:
    parts = [_layer(part, inner) for part, inner in branch.parts.items()]
    return Layer(
        name=name,
        weight_bytes=dict(branch.bytes_by_type.most_common()),
        weights=branch.weights,
        parts=tuple(sorted(parts, key=lambda part: -part.all_weight_bytes)),
    )


class _Names:
    """What names tell of layers; the node behind each node is looked up once, as a value may have 100,000 users."""

    def __init__(self) -> None:
        self._behind: dict[ir.Node, ir.Node | None] = {}

    def path_of(self, held: Held) -> tuple[str, ...]:
        """The layers around a weight, outermost first; empty where no name tells."""
        own = held.value.name if held.value is not None else held.node.name if held.node is not None else None
        found = _path_in(own)
        if found:
            return found
        nodes = (consumer for consumer in consumers_of(held) if isinstance(consumer, ir.Node))
        return next(filter(None, map(self._path_from, nodes)), ())

    def _path_from(self, consumer: ir.Node) -> tuple[str, ...]:
        """The path of a node, or of the nearest one behind it: passes name what they put in by type and number."""
        node: ir.Node | None = consumer
        for _ in range(_FARTHEST):
            if node is None:
                break
            for name in (node.name, *(output.name for output in node.outputs)):
                if found := _path_in(name):
                    return found
            if node not in self._behind:
                self._behind[node] = next((user for output in node.outputs for user, _ in output.uses()), None)
            node = self._behind[node]
        return ()


def _path_in(name: str | None) -> tuple[str, ...]:
    """Split a name at dots and slashes, and leave out its last part, which is the weight's or the operator's own."""
    if not name:
        return ()
    parts = [part for part in _SEPARATOR.split(name) if part]
    outer = parts[:-1]
    if len(outer) > _DEEPEST:
        outer = [*outer[: _DEEPEST - 1], ".".join(outer[_DEEPEST - 1 :])]
    return tuple(outer)
