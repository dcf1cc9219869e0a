"""Edit the weights of a graph and of all graphs inside it: what the outermost defines, each of them can read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import onnx_ir as ir

from compressor.model.size import tensor_bytes
from compressor.model.tensors import Held, roots, tensors_below
from compressor.passes.names import FreshNames
from compressor.report import Skip

_ANNOTATION = "quant_parameter_tensor_names"
"""Where onnx_ir keeps a value's quantization_annotation: names of the tensors that hold its scale and zero point."""

_FREE_INITIALIZERS = 4
"""First IR version in which an initializer need not be a graph input as well."""


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight that other nodes can read: where it is held, and the value they read it as."""

    held: Held
    value: ir.Value

    @property
    def is_initializer(self) -> bool:
        """It is an initializer, not the output of a Constant."""
        return self.held.value is not None

    @property
    def tensor(self) -> ir.TensorProtocol:
        """What it holds."""
        return self.held.tensor


def scopes(model: ir.Model) -> Iterator[Scope]:
    """Yield the main graph's scope, and that of each function: function bodies see nothing outside themselves."""
    for root in roots(model):
        yield Scope(root, root is model.graph and model.ir_version >= _FREE_INITIALIZERS)


class Scope:
    """The main graph or a function, with all graphs inside.

    Attributes:
        root: the outermost graph.
        counts: what was done, by name.
        skipped: what was not, and why.
    """

    def __init__(self, root: ir.Graph | ir.Function, may_add_initializers: bool) -> None:
        self.root = root
        self.counts: Counter[str] = Counter()
        self.skipped: list[Skip] = []
        self._may_add_initializers = may_add_initializers
        self._renamed: dict[str, str] = {}

    def weights(self) -> list[Weight]:
        """Every weight that nodes of this scope can read, in graph order."""
        return [Weight(held, value) for held in tensors_below(self.root) if (value := held.read_as) is not None]

    @property
    def opset(self) -> int:
        """Version of the standard operators here; 0 where none is imported."""
        imports = self.root.opset_imports
        return imports.get("", imports.get("ai.onnx", 0))

    @cached_property
    def inner_names(self) -> frozenset[str | None]:
        """Names that mean something inside a branch or loop."""
        return frozenset(value.name for graph in self.root.subgraphs() for value in _values(graph))

    @cached_property
    def _names(self) -> FreshNames:
        return FreshNames(self.root)

    def rank(self, weight: Weight) -> tuple[bool, bool, bool, bool, int]:
        """Smaller is better to keep: in the root, an output with its name, hidden nowhere, plain, of short name."""
        hidden = weight.value.name in self.inner_names
        is_output = weight.value.is_graph_output()
        name_length = len(weight.value.name or "")
        return (weight.held.graph is not self.root, not is_output, hidden, not weight.is_initializer, name_length)

    def is_free(self, weight: Weight) -> bool:
        """Nobody outside can set this weight."""
        if weight.is_initializer and weight.value.is_graph_input():
            self.skip(weight, "callers may override it: it is a graph input with a default value")
            return False
        return True

    def obstacle(self, weight: Weight, kept: Weight) -> str:
        """Why readers of `weight` cannot be sent to `kept`; empty where they can."""
        if weight.value.is_graph_output():
            return "it is itself an output of its graph"
        if weight.value.meta.get(_ANNOTATION) != kept.value.meta.get(_ANNOTATION):
            return f"its quantization annotation differs from that of {kept.value.name!r}"
        if kept.value.name in self.inner_names and self._is_read_inside(weight):
            return f"inside the branch that reads it, the name {kept.value.name!r} means something else"
        return ""

    def make_visible(self, weight: Weight) -> Weight:
        """Have a weight where every node of the scope can read it: in the root, before all nodes."""
        if weight.held.graph is not self.root:
            return self._hoist(weight)
        if not weight.is_initializer:
            node = weight.held.node
            assert node is not None
            if self.root[0] is not node:
                self.root.remove(node)
                self.root.insert_before(self.root[0], node)
        return weight

    def redirect(self, weight: Weight, kept: ir.Value) -> None:
        """Send every reader of `weight` to `kept`, and remove it."""
        self._renamed[weight.value.name or ""] = kept.name or ""
        weight.value.replace_all_uses_with(kept)
        if weight.is_initializer:
            assert isinstance(weight.held.graph, ir.Graph)
            del weight.held.graph.initializers[weight.value.name or ""]
            return
        assert weight.held.node is not None
        weight.held.graph.remove(weight.held.node, safe=True)

    def free_name(self, wanted: str) -> str:
        """A name that means nothing yet, in the root or inside."""
        return self._names.make(wanted)

    def skip(self, weight: Weight, reason: str) -> None:
        """Note a candidate that was left alone."""
        name = weight.value.name or ""
        self.skipped.append(Skip(candidate=name, reason=reason, weight_bytes=tensor_bytes(weight.tensor)))

    def finish(self) -> None:
        """Let quantization annotations name the weights that are kept."""
        if not self._renamed:
            return
        for graph in (self.root, *self.root.subgraphs()):
            for value in _values(graph):
                names = value.meta.get(_ANNOTATION)
                if names:
                    value.meta[_ANNOTATION] = {key: self._renamed.get(name, name) for key, name in names.items()}

    def add_constant(self, tensor: ir.TensorProtocol, wanted: str) -> Weight:
        """Hold a new tensor in the root, as an initializer where the IR version lets it be no input as well."""
        name = self.free_name(wanted)
        if self._may_add_initializers and isinstance(self.root, ir.Graph):
            shape = ir.Shape(tensor.shape.numpy())
            value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=shape, const_value=tensor)
            self.root.register_initializer(value)
            return Weight(Held(tensor, value, None, "", 0, self.root), value)
        node = ir.node("Constant", [], attributes={"value": tensor}, outputs=[ir.Value(name=name)])
        self.root.insert_before(self.root[0], node)
        return Weight(Held(tensor, None, node, "value", 0, self.root), node.outputs[0])

    def _hoist(self, weight: Weight) -> Weight:
        raised = self.add_constant(weight.tensor, weight.value.name or "weight")
        if _ANNOTATION in weight.value.meta:
            raised.value.meta[_ANNOTATION] = weight.value.meta[_ANNOTATION]
        return raised

    def _is_read_inside(self, weight: Weight) -> bool:
        return any(node.graph is not self.root for node, _ in weight.value.uses())


def _values(graph: ir.Graph | ir.Function) -> Iterator[ir.Value]:
    """Every value that `graph` itself defines."""
    yield from graph.inputs
    if isinstance(graph, ir.Graph):
        yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs
