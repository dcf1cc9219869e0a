"""Change a graph step by step: insert, replace, sweep up, with names unique and facts up to date."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from compressor.passes.fusions.match import STANDARD_DOMAINS, is_operator
from compressor.passes.fusions.shape_facts import Facts, infer, learn_node, nodes_of
from compressor.passes.names import FreshNames
from compressor.passes.target import Target, lack_of
from compressor.report import Skip

CONTRIB = "com.microsoft"

SMALL_CONSTANT = 64
"""Bytes of the largest constant that rules add: a shape, a scalar."""


class GraphEdit:
    """A model's graph under edit.

    Attributes:
        graph: the main graph.
        opset: the version of the standard operators.
        target: whose operators may be put in.
        facts: shapes, types and contents of all values, those of inserted nodes included.
        counts: what was done, by name.
        skipped: what was not, and why.
    """

    def __init__(self, model: ir.Model, target: Target = Target.ORT) -> None:
        self.graph = model.graph
        self.target = target
        imports = model.graph.opset_imports
        self.opset = next((imports[domain] for domain in STANDARD_DOMAINS if domain in imports), 0)
        self.facts: Facts = infer(model.graph, self.opset)
        self.counts: Counter[str] = Counter()
        self.skipped: list[Skip] = []
        self._less_read: dict[ir.Value, None] = {}
        self._integers: dict[tuple[int, ...], ir.Value] = {}
        self._constants = {
            _content(tensor): value
            for tensor, value in _small_constants(self.graph)
            if tensor.dtype is not ir.DataType.STRING and tensor.nbytes <= SMALL_CONSTANT
        }
        self._names = FreshNames(model.graph)

    def nodes(self, *op_types: str) -> list[ir.Node]:
        """The standard and contributed nodes of these types, in order, the inner graphs' included."""
        wanted, domains = set(op_types), (*STANDARD_DOMAINS, CONTRIB)
        return [node for node in nodes_of(self.graph) if node.op_type in wanted and node.domain in domains]

    def insert(
        self,
        before: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        *,
        attributes: Mapping[str, ir.AttributeType | int | float | str | Sequence[int]] | None = None,
        domain: str = "",
        name: str = "",
        num_outputs: int = 1,
    ) -> ir.Node:
        """Put a new node in front of `before`; its outputs are named after `name`."""
        outputs = [
            ir.Value(name=self._names.make(name if index == 0 else f"{name}_{index}")) for index in range(num_outputs)
        ]
        node = ir.node(
            op_type, inputs, attributes or {}, domain=domain, outputs=outputs, name=f"{outputs[0].name}/{op_type}"
        )
        assert before.graph is not None
        before.graph.insert_before(before, node)
        learn_node(self.facts, node, self.opset)
        return node

    def integers(self, numbers: Sequence[int]) -> ir.Value:
        """A list of integers as an initializer of the main graph, made once."""
        key = tuple(numbers)
        known = self._integers.get(key)
        if known is None or known.name not in self.graph.initializers:
            known = self._register(np.asarray(key, dtype=np.int64), f"ints_{'_'.join(map(str, key))}".replace("-", "m"))
            self._integers[key] = known
        return known

    def number(self, value: float, dtype: ir.DataType) -> ir.Value:
        """A scalar of a float type as an initializer of the main graph."""
        return self._register(np.asarray(value, dtype=dtype.numpy()), "scalar")

    def replace(self, old: ir.Value, new: ir.Value) -> None:
        """Let everybody read `new` instead of `old`; it takes over the name, so graph outputs keep theirs."""
        new.type = old.type if old.type is not None else new.type
        new.shape = old.shape if old.shape is not None else new.shape
        name, old.name = old.name, None
        self._names.release(new.name)
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        new.name = name
        self.facts.learn(new, self.facts[old])

    def redirect(self, old: ir.Value, existing: ir.Value) -> None:
        """Let everybody read `existing`, which keeps its name, instead of `old`; graph outputs are left as they are."""
        ir.convenience.replace_all_uses_with(old, existing)

    def sweep(self, nodes: Iterable[ir.Node | None]) -> None:
        """Remove those of `nodes` that nobody needs, then what only they needed; constants go in `drop_unread`."""
        pending = [node for node in nodes if node is not None]
        while pending:
            node = pending.pop()
            if node.graph is None or any(output.uses() or output.is_graph_output() for output in node.outputs):
                continue
            read = [value for value in _values_read(node) if value is not None]
            assert isinstance(node.graph, ir.Graph | ir.Function)
            node.graph.remove(node, safe=True)
            for value in read:
                producer = value.producer()
                if value.is_initializer() or (producer is not None and is_operator(producer, "Constant")):
                    self._less_read[value] = None
                elif producer is not None:
                    pending.append(producer)

    def drop_unread(self) -> None:
        """Remove the constants that only swept nodes read.

        Once for all: a constant that every layer reads has so many readers that listing them at each sweep takes most
        of the time on a large graph.
        """
        for value in self._less_read:
            if value.uses() or value.is_graph_input() or value.is_graph_output():
                continue
            node, graph = value.producer(), value.graph
            if node is not None and node.graph is not None:
                node.graph.remove(node, safe=True)
            elif node is None and graph is not None and value.name is not None:
                graph.initializers.pop(value.name, None)
        self._less_read.clear()

    def skip(self, candidate: str, reason: str) -> None:
        """Note a candidate that was left alone."""
        self.skipped.append(Skip(candidate=candidate, reason=reason))

    def lack_of(self, op_type: str) -> str:
        """Why a fused operator has to stay out that only the standard offers this target; empty where it can go in."""
        return lack_of(op_type, self.opset) if self.target is Target.STANDARD else ""

    def _register(self, array: np.ndarray, wanted: str) -> ir.Value:
        known = self._known_constant(array)
        if known is not None:
            return known
        name = self._names.make(wanted)
        tensor = ir.tensor(array, name=name)
        value = ir.Value(name=name, const_value=tensor, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape))
        self.graph.register_initializer(value)
        self._constants[_content(tensor)] = value
        return value

    def _known_constant(self, array: np.ndarray) -> ir.Value | None:
        """An equal constant that the main graph has already, where every node can read it."""
        known = self._constants.get(_content(ir.tensor(array)))
        if known is None:
            return None
        node = known.producer()
        if node is None:
            return known if known.name in self.graph.initializers else None
        if node.graph is not self.graph:
            return None  # swept up since
        if self.graph[0] is not node:
            self.graph.remove(node)
            self.graph.insert_before(self.graph[0], node)
        return known


def _content(tensor: ir.TensorProtocol) -> tuple[ir.DataType, tuple[int, ...], bytes]:
    return tensor.dtype, tuple(tensor.shape.numpy()), tensor.tobytes()


def _small_constants(graph: ir.Graph) -> Iterable[tuple[ir.TensorProtocol, ir.Value]]:
    """The small constants of `graph` that nobody outside can set."""
    for value in graph.initializers.values():
        if value.const_value is not None and not value.is_graph_input():
            yield value.const_value, value
    for node in graph:
        attribute = node.attributes.get("value") if node.op_type == "Constant" else None
        if attribute is not None and attribute.type is ir.AttributeType.TENSOR and not attribute.is_ref():
            yield attribute.as_tensor(), node.outputs[0]


def place_of(node: ir.Node) -> str:
    """The name a user finds a node by: its own, or that of what it makes."""
    return node.name or next((output.name for output in node.outputs if output.name), None) or node.op_type


def _graphs_in(node: ir.Node) -> Iterable[ir.Graph]:
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def _values_read(node: ir.Node) -> list[ir.Value | None]:
    read = list(node.inputs)
    for graph in _graphs_in(node):
        for inner in graph:
            read += _values_read(inner)
    return read
