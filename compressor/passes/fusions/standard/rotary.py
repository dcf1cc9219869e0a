"""Lower ONNX Runtime's RotaryEmbedding to the standard's, which wants the position of each token."""

from __future__ import annotations

import onnx_ir as ir

from compressor.passes.fusions.graph_edit import GraphEdit
from compressor.passes.fusions.match import float_attribute, int_attribute, numbers_of
from compressor.passes.fusions.standard.operands import NotLowerable, check_opset, inputs_of


def lower(edit: GraphEdit, node: ir.Node) -> None:
    """Lower a RotaryEmbedding."""
    check_opset(edit, "RotaryEmbedding")
    source, positions, cosines, sines = inputs_of(node, 4)
    if source is None or positions is None:
        raise NotLowerable("RotaryEmbedding is not told where to begin")
    if float_attribute(node, "scale", 1.0) != 1.0 or int_attribute(node, "is_packed_batching", 0):
        raise NotLowerable("RotaryEmbedding scales or packs, which the standard's does not")
    attributes = {name: int_attribute(node, name, 0) for name in ("interleaved", "rotary_embedding_dim", "num_heads")}
    rank = edit.facts[source].rank
    if rank not in (3, 4) or (rank == 3 and not attributes["num_heads"]):
        raise NotLowerable("RotaryEmbedding does not say how many heads there are")
    if edit.facts[positions].rank != 2:
        positions = _counted(edit, node, source, positions)
    name = f"{node.outputs[0].name}_turned"
    inputs = [source, cosines, sines, positions]
    turned = edit.insert(node, "RotaryEmbedding", inputs, attributes=attributes, name=name)
    edit.replace(node.outputs[0], turned.outputs[0])
    edit.sweep([node])


def _counted(edit: GraphEdit, node: ir.Node, source: ir.Value, first: ir.Value) -> ir.Value:
    """A position for each token of each row, counted on from `first`, which is the same for all rows."""
    axes = edit.integers([0, 1 if edit.facts[source].rank == 3 else 2])
    zero, one = edit.number(0, ir.DataType.INT64), edit.number(1, ir.DataType.INT64)
    name = source.name or "tokens"
    shape = edit.insert(node, "Shape", [source], name=f"{name}_shape").outputs[0]
    extent = edit.insert(node, "Gather", [shape, axes], name=f"{name}_extent").outputs[0]
    length = edit.insert(node, "Gather", [extent, one], name=f"{name}_length").outputs[0]
    counted = edit.insert(node, "Range", [zero, length, one], name=f"{name}_counted").outputs[0]
    if numbers_of(first) != [0]:
        counted = edit.insert(node, "Add", [counted, first], name=f"{name}_counted_on").outputs[0]
    return edit.insert(node, "Expand", [counted, extent], name=f"{name}_positions").outputs[0]
