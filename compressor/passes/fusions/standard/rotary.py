"""Lower ONNX Runtime's RotaryEmbedding to the standard's, which takes the same operands in another order."""

from __future__ import annotations

import onnx_ir as ir

from compressor.passes.fusions.graph_edit import GraphEdit
from compressor.passes.fusions.match import float_attribute, int_attribute
from compressor.passes.fusions.standard.operands import NotLowerable, check_opset, inputs_of


def lower(edit: GraphEdit, node: ir.Node) -> None:
    """Lower a RotaryEmbedding that is told every position."""
    check_opset(edit, "RotaryEmbedding")
    source, positions, cosines, sines = inputs_of(node, 4)
    rank = edit.facts[source].rank
    if edit.facts[positions].rank != 2:
        raise NotLowerable("RotaryEmbedding is given the first position only, the standard's wants each")
    if float_attribute(node, "scale", 1.0) != 1.0 or int_attribute(node, "is_packed_batching", 0):
        raise NotLowerable("RotaryEmbedding scales or packs, which the standard's does not")
    attributes = {name: int_attribute(node, name, 0) for name in ("interleaved", "rotary_embedding_dim", "num_heads")}
    if rank not in (3, 4) or (rank == 3 and not attributes["num_heads"]):
        raise NotLowerable("RotaryEmbedding does not say how many heads there are")
    name = f"{node.outputs[0].name}_turned"
    inputs = [source, cosines, sines, positions]
    turned = edit.insert(node, "RotaryEmbedding", inputs, attributes=attributes, name=name)
    edit.replace(node.outputs[0], turned.outputs[0])
    edit.sweep([node])
