"""Exchange operators that only ONNX Runtime has for those of the standard that compute the same."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from compressor.passes.fusions.graph_edit import CONTRIB, GraphEdit, place_of
from compressor.passes.fusions.match import is_operator
from compressor.passes.fusions.shape_facts import nodes_of
from compressor.passes.fusions.standard import activations, attention, normalization, rotary
from compressor.passes.fusions.standard.operands import NotLowerable
from compressor.report import Skip

_LOWERINGS: dict[str, Callable[[GraphEdit, ir.Node], None]] = {
    "BiasGelu": activations.lower_gelu,
    "FastGelu": activations.lower_gelu,
    "Gelu": activations.lower_gelu,
    "MultiHeadAttention": attention.lower,
    "QuickGelu": activations.lower_quick_gelu,
    "RotaryEmbedding": rotary.lower,
    "SimplifiedLayerNormalization": normalization.lower,
    "SkipLayerNormalization": normalization.lower_skip,
    "SkipSimplifiedLayerNormalization": normalization.lower_skip,
}


def has_runtime_operators(graph: ir.Graph) -> bool:
    """There is something to lower."""
    return any(map(_is_runtime_operator, nodes_of(graph)))


def lower(edit: GraphEdit) -> tuple[int, list[Skip]]:
    """Lower what can be; give the number of operators lowered, and those of ONNX Runtime that stay, with the reason."""
    lowered, stay = 0, []
    for node in list(filter(_is_runtime_operator, nodes_of(edit.graph))):
        try:
            if node.op_type not in _LOWERINGS:
                raise NotLowerable(f"no standard form of {node.op_type}, an operator of ONNX Runtime, is known here")
            _LOWERINGS[node.op_type](edit, node)
            lowered += 1
        except NotLowerable as refusal:
            stay.append(Skip(candidate=place_of(node), reason=str(refusal)))
    edit.drop_unread()
    return lowered, stay


def _is_runtime_operator(node: ir.Node) -> bool:
    """`node` is one of ONNX Runtime's own operators; one of them stands in the standard's name space."""
    return node.domain == CONTRIB or is_operator(node, "SimplifiedLayerNormalization")
