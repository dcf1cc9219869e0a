"""Store equal weights once: every use of a bit-identical copy is redirected to one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from compressor.model.equality import equal_groups
from compressor.model.size import tensor_bytes
from compressor.model.tensors import Held, roots, tensors_below
from compressor.passes.contract import Claim, Pass, PassResult
from compressor.report import Skip

_ANNOTATION = "quant_parameter_tensor_names"
"""Where onnx_ir keeps a value's quantization_annotation: names of the tensors that hold its scale and zero point."""

_FREE_INITIALIZERS = 4
"""First IR version in which an initializer need not be a graph input as well."""


@dataclass(frozen=True)
class DeduplicateInitializers(Pass):
    """Merge initializers and constants that have the same data type, shape and bytes.

    There is no tolerance: 0.0 and -0.0 differ, equal NaN payloads are equal. Copies are found in the main graph, in
    If, Loop and Scan bodies and in Constant nodes, and kept once, in the main graph, where all can see them; function
    bodies see nothing outside themselves, so copies are merged within each. Initializers that callers may override
    (graph inputs) and names of graph outputs are never touched.
    """

    name: ClassVar[str] = "deduplicate"
    claim: ClassVar[Claim] = Claim.EXACT

    def run(self, model: ir.Model) -> PassResult:
        """Merge equal weights of `model`; a weight is read only as far as another could still be equal to it."""
        counts, skipped = merge_equal(model)
        return PassResult(model=model, counts=dict(counts), skipped=tuple(skipped))


def merge_equal(model: ir.Model, *, at_most: int | None = None) -> tuple[Counter[str], list[Skip]]:
    """Merge equal weights in place; other passes use it to tidy up small constants of `at_most` bytes."""
    counts: Counter[str] = Counter()
    skipped: list[Skip] = []
    for root in roots(model):
        scope = _Scope(root, root is model.graph and model.ir_version >= _FREE_INITIALIZERS)
        scope.merge(at_most)
        counts.update(scope.counts)
        skipped += scope.skipped
    return counts, skipped


@dataclass(frozen=True, slots=True)
class _Copy:
    """A weight that may equal another: where it is held, and the value its consumers read."""

    held: Held
    value: ir.Value

    @property
    def is_initializer(self) -> bool:
        return self.held.value is not None


class _Scope:
    """The main graph or a function, with all graphs inside: whatever its root defines, each of them can read."""

    def __init__(self, root: ir.Graph | ir.Function, may_add_initializers: bool) -> None:
        self.root = root
        self.may_add_initializers = may_add_initializers
        self.counts: Counter[str] = Counter()
        self.skipped: list[Skip] = []
        self.renamed: dict[str, str] = {}
        self.inner_names = {value.name for graph in root.subgraphs() for value in _values(graph)}

    def merge(self, at_most: int | None) -> None:
        copies = [_Copy(held, value) for held in tensors_below(self.root) if (value := held.read_as) is not None]
        if at_most is not None:
            copies = [copy for copy in copies if tensor_bytes(copy.held.tensor) <= at_most]
        for group in equal_groups(copies, lambda copy: copy.held.tensor):
            self._merge_group([copy for copy in group if self._is_free(copy)])
        if self.renamed:
            self._rename_annotations()

    def _merge_group(self, group: list[_Copy]) -> None:
        if len(group) < 2:
            return
        kept = min(group, key=self._rank)
        if kept.held.graph is not self.root:
            kept = self._hoist(kept)
        elif not kept.is_initializer:
            _move_to_front(kept)
        for copy in group:
            if copy.value is not kept.value:
                self._redirect(copy, kept)

    def _is_free(self, copy: _Copy) -> bool:
        """Nobody outside can set this weight."""
        if copy.is_initializer and copy.value.is_graph_input():
            self._skip(copy, "callers may override it: it is a graph input with a default value")
            return False
        return True

    def _rank(self, copy: _Copy) -> tuple[bool, bool, bool, bool]:
        """Smaller is better to keep: in the root, an output that must keep its name, hidden nowhere, an initializer."""
        hidden = copy.value.name in self.inner_names
        return (copy.held.graph is not self.root, not copy.value.is_graph_output(), hidden, not copy.is_initializer)

    def _redirect(self, copy: _Copy, kept: _Copy) -> None:
        reason = self._obstacle(copy, kept)
        if reason:
            self._skip(copy, reason)
            return
        self.renamed[copy.value.name or ""] = kept.value.name or ""
        copy.value.replace_all_uses_with(kept.value)
        if copy.is_initializer:
            assert isinstance(copy.held.graph, ir.Graph)
            del copy.held.graph.initializers[copy.value.name or ""]
            self.counts["initializers_merged"] += 1
            return
        assert copy.held.node is not None
        copy.held.graph.remove(copy.held.node, safe=True)
        self.counts["constants_merged"] += 1

    def _obstacle(self, copy: _Copy, kept: _Copy) -> str:
        if copy.value.is_graph_output():
            return "it is itself an output of its graph"
        if copy.value.meta.get(_ANNOTATION) != kept.value.meta.get(_ANNOTATION):
            return f"its quantization annotation differs from that of {kept.value.name!r}"
        if kept.value.name in self.inner_names and any(node.graph is not self.root for node, _ in copy.value.uses()):
            return f"inside the branch that reads it, the name {kept.value.name!r} means something else"
        return ""

    def _hoist(self, copy: _Copy) -> _Copy:
        """Keep a weight of an inner graph in the root instead, under a name that means nothing else."""
        tensor = copy.held.tensor
        name = self._free_name(copy.value.name or "weight")
        if self.may_add_initializers and isinstance(self.root, ir.Graph):
            raised = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=copy.value.shape, const_value=tensor)
            self.root.register_initializer(raised)
            held = Held(tensor, raised, None, "", 0, self.root)
        else:
            node = ir.node("Constant", [], attributes={"value": tensor}, outputs=[ir.Value(name=name)])
            self.root.insert_before(self.root[0], node)
            raised = node.outputs[0]
            held = Held(tensor, None, node, "value", 0, self.root)
        if _ANNOTATION in copy.value.meta:
            raised.meta[_ANNOTATION] = copy.value.meta[_ANNOTATION]
        return _Copy(held, raised)

    def _free_name(self, wanted: str) -> str:
        taken = {value.name for value in _values(self.root)} | self.inner_names
        name, number = wanted, 0
        while name in taken:
            number += 1
            name = f"{wanted}_{number}"
        return name

    def _skip(self, copy: _Copy, reason: str) -> None:
        self.skipped.append(
            Skip(candidate=copy.value.name or "", reason=reason, weight_bytes=tensor_bytes(copy.held.tensor))
        )

    def _rename_annotations(self) -> None:
        """Let quantization annotations name the weights that are kept."""
        for graph in (self.root, *self.root.subgraphs()):
            for value in _values(graph):
                names = value.meta.get(_ANNOTATION)
                if names:
                    value.meta[_ANNOTATION] = {key: self.renamed.get(name, name) for key, name in names.items()}


def _move_to_front(copy: _Copy) -> None:
    """Let a Constant come before everything, so that any node may read it."""
    node, graph = copy.held.node, copy.held.graph
    assert node is not None
    if graph[0] is not node:
        graph.remove(node)
        graph.insert_before(graph[0], node)


def _values(graph: ir.Graph | ir.Function) -> Iterator[ir.Value]:
    """Every value that `graph` itself defines."""
    yield from graph.inputs
    if isinstance(graph, ir.Graph):
        yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs
