"""Read the operands of ONNX Runtime's operators, those left out included."""

from __future__ import annotations

import onnx_ir as ir

from compressor.passes.fusions.graph_edit import GraphEdit
from compressor.passes.target import lack_of


class NotLowerable(Exception):
    """An operator of ONNX Runtime has no form in the standard that is known here; the text says why."""


def inputs_of(node: ir.Node, count: int) -> list[ir.Value | None]:
    """The first `count` inputs, with None for each that is left out."""
    given = list(node.inputs)[:count]
    return given + [None] * (count - len(given))


def is_read(node: ir.Node, index: int) -> bool:
    """Somebody reads the output at `index`."""
    if index >= len(node.outputs):
        return False
    output = node.outputs[index]
    return bool(output.uses()) or output.is_graph_output()


def check_opset(edit: GraphEdit, op_type: str) -> None:
    """Make sure that the model's opset has an operator.

    Raises:
        NotLowerable: it has not.
    """
    lack = lack_of(op_type, edit.opset)
    if lack:
        raise NotLowerable(lack)


def check_unread(node: ir.Node, *outputs: int) -> None:
    """Make sure that nobody reads these outputs.

    Raises:
        NotLowerable: somebody does.
    """
    for index in outputs:
        if is_read(node, index):
            raise NotLowerable(f"output '{node.outputs[index].name}' is read, which the standard's operator has not")
