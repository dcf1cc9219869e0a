"""Find every tensor of a model, wherever it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir


@dataclass(frozen=True, slots=True)
class Held:
    """A tensor and the one place that holds it: an initializer's value, or an attribute of a node.

    Attributes:
        tensor: the tensor.
        value: the initializer, or None.
        node: the node whose attribute it is, or None.
        attribute: that attribute's name; empty for an initializer.
        position: its index where the attribute holds several.
        graph: the graph or function that holds the initializer or the node.
    """

    tensor: ir.TensorProtocol
    value: ir.Value | None
    node: ir.Node | None
    attribute: str
    position: int
    graph: ir.Graph | ir.Function

    @property
    def label(self) -> str:
        """A name that a user finds in the model."""
        if self.value is not None:
            return self.value.name or ""
        assert self.node is not None
        return label_of(self.node)

    @property
    def read_as(self) -> ir.Value | None:
        """The value through which any node can read the tensor; None where it is its own node's alone."""
        if self.value is not None:
            return self.value
        assert self.node is not None
        is_constant = self.node.op_type == "Constant" and self.node.domain == "" and self.attribute == "value"
        return self.node.outputs[0] if is_constant else None

    def replace(self, tensor: ir.TensorProtocol) -> None:
        """Hold another tensor of the same type and shape instead."""
        if self.value is not None:
            self.value.const_value = tensor
            return
        assert self.node is not None
        old = self.node.attributes[self.attribute]
        if old.type is ir.AttributeType.TENSOR:
            new = ir.AttrTensor(self.attribute, tensor, doc_string=old.doc_string)
        else:
            several = list(old.as_tensors())
            several[self.position] = tensor
            new = ir.AttrTensors(self.attribute, several, doc_string=old.doc_string)
        self.node.attributes[self.attribute] = new


def label_of(node: ir.Node) -> str:
    """Operator, and name or else first output; a node of a foreign domain may have no output at all."""
    output = node.outputs[0].name if node.outputs else None
    return f"{node.op_type} {node.name or output or 'without a name'}"


def all_graphs(model: ir.Model) -> Iterator[ir.Graph | ir.Function]:
    """Yield the main graph, the function bodies, and every graph inside them, each before those inside it."""
    for root in roots(model):
        yield root
        yield from root.subgraphs()


def all_tensors(model: ir.Model) -> Iterator[Held]:
    """Yield every tensor of `model`: initializers and tensor attributes of main graph, subgraphs and functions."""
    for root in roots(model):
        yield from tensors_below(root)


def roots(model: ir.Model) -> tuple[ir.Graph | ir.Function, ...]:
    """The bodies that see nothing outside themselves: the main graph and the functions."""
    return (model.graph, *model.functions.values())


def tensors_below(root: ir.Graph | ir.Function) -> Iterator[Held]:
    """Yield every tensor of `root` and of the graphs inside it."""
    waiting: list[ir.Graph | ir.Function] = [root]
    for graph in waiting:  # grows while it is walked; looking for subgraphs first would visit every node twice
        if isinstance(graph, ir.Graph):
            for value in graph.initializers.values():
                if value.const_value is not None:
                    yield Held(value.const_value, value, None, "", 0, graph)
        for node in graph:
            if node.attributes:
                yield from _attribute_tensors(node, graph)
                waiting.extend(_graphs_of(node))


def _graphs_of(node: ir.Node) -> Iterator[ir.Graph]:
    for attribute in node.attributes.values():
        if attribute.type is ir.AttributeType.GRAPH and not attribute.is_ref():
            yield attribute.value
        elif attribute.type is ir.AttributeType.GRAPHS and not attribute.is_ref():
            yield from attribute.value


def _attribute_tensors(node: ir.Node, graph: ir.Graph | ir.Function) -> Iterator[Held]:
    for attribute in node.attributes.values():
        if attribute.is_ref():
            continue
        if attribute.type is ir.AttributeType.TENSOR:
            # Not as_tensor(): its check of the protocol at run time is most of the time a large graph takes.
            yield Held(attribute.value, None, node, attribute.name, 0, graph)
        elif attribute.type is ir.AttributeType.TENSORS:
            for position, tensor in enumerate(attribute.value):
                yield Held(tensor, None, node, attribute.name, position, graph)
