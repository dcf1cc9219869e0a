"""Let the body of a Loop read weights where they are, instead of being handed them round by round.

Converters of TensorFlow carry everything that a ``while_loop`` reads through it, and the body hands on unchanged what
it does not update, such as the weights of Keras' recurrent layers. There, no other pass sees that they are weights.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from compressor.passes.fusions.graph_edit import GraphEdit
from compressor.passes.fusions.match import tensor_of
from compressor.passes.fusions.shape_facts import nodes_of

_FIRST_CARRIED = 2
"""Inputs of a Loop and of its body before the carried ones: the number of rounds, and whether to go on."""

_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16)


def read_outside(edit: GraphEdit) -> None:
    """Hand a zero round in place of each weight that a body hands on unchanged, and that nobody takes at the end."""
    for node in edit.nodes("Loop"):
        body = node.attributes["body"].as_graph()
        own = _names_in(body)
        for position in range(_FIRST_CARRIED, min(len(node.inputs), len(body.inputs))):
            weight, inner = node.inputs[position], body.inputs[position]
            tensor = None if weight is None else tensor_of(weight)
            if weight is None or tensor is None or tensor.size <= 1 or tensor.dtype not in _FLOATS:
                continue
            carried = node.outputs[position - _FIRST_CARRIED]
            steps = _steps_on(body, position - 1, inner)
            if steps is None or carried.uses() or carried.is_graph_output() or weight.name in own:
                continue
            for user, index in [use for use in inner.uses() if use.node not in steps]:
                user.replace_input_with(index, weight)
            node.replace_input_with(position, edit.number(0.0, tensor.dtype))
            for value in (inner, carried, *(output for step in steps for output in step.outputs)):
                value.shape = None if value.type is None else ir.Shape(())
            edit.counts["loop_weights_read_outside"] += 1


def _steps_on(body: ir.Graph, position: int, inner: ir.Value) -> list[ir.Node] | None:
    """Nodes, if any, through which `inner` becomes this output of `body`, and nothing else; None if it does not."""
    steps: list[ir.Node] = []
    value: ir.Value | None = body.outputs[position]
    while value is not None:
        is_given_twice = sum(output is value for output in body.outputs) > (0 if steps else 1)
        if is_given_twice or (value is not inner and len(value.uses()) > len(steps[:1])):
            return None
        node = value.producer()
        if value is inner:
            return steps
        if node is None or node.domain != "" or node.op_type != "Identity":
            return None
        steps.append(node)
        value = node.inputs[0]
    return None


def _names_in(body: ir.Graph) -> set[str | None]:
    """Names that mean something else inside: a body reads what is outside by its name."""

    def of(graph: ir.Graph) -> Iterator[str | None]:
        yield from (value.name for value in (*graph.inputs, *graph.initializers.values()))

    names = set(of(body))
    for node in nodes_of(body):
        names.update(output.name for output in node.outputs)
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                names.update(of(attribute.as_graph()))
    return names
