"""Find the nodes that a weight is for, through whatever only hands it on."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from compressor.model.tensors import Held

_CARRIERS = frozenset({"Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Cast", "DequantizeLinear"})
"""Operators that hand a weight on; what consumes their output is what the weight is for."""


def consumers_of(held: Held) -> Iterator[ir.Node | ir.Value]:
    """Yield what a tensor ends up in: nodes, and each graph output it reaches as the value itself; nearest first."""
    waiting = _first_values(held)
    if not waiting and held.node is not None:
        yield held.node
    seen: set[int] = set()
    for value in waiting:  # it grows as carriers are met
        if id(value) in seen:
            continue
        seen.add(id(value))
        if value.is_graph_output():
            yield value
        for node, position in value.uses():
            if position == 0 and node.op_type in _CARRIERS and node.domain in ("", "ai.onnx"):
                waiting.extend(node.outputs)
            else:
                yield node


def _first_values(held: Held) -> list[ir.Value]:
    """The values that hold the tensor; none where it is an attribute of the node that uses it."""
    if held.value is not None:
        return [held.value]
    if held.node is not None and held.node.op_type == "Constant":
        return list(held.node.outputs)
    return []
