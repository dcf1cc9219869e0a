"""Lower ONNX Runtime's normalizations to the standard's, with the additions they take in as nodes before them."""

from __future__ import annotations

import onnx_ir as ir

from compressor.passes.fusions.graph_edit import GraphEdit
from compressor.passes.fusions.match import float_attribute, int_attribute
from compressor.passes.fusions.standard.operands import check_opset, check_unread, inputs_of, is_read

SKIP_EPSILON = 1e-12
"""What SkipLayerNormalization and its sibling add to the variance where nothing is said (ONNX Runtime's schema)."""


def lower(edit: GraphEdit, node: ir.Node) -> None:
    """Lower SimplifiedLayerNormalization to RMSNormalization."""
    check_opset(edit, "RMSNormalization")
    check_unread(node, 1)
    attributes = {"axis": int_attribute(node, "axis", -1), "epsilon": float_attribute(node, "epsilon", 1e-5)}
    attributes["stash_type"] = int_attribute(node, "stash_type", 1)
    name = f"{node.outputs[0].name}_normalized"
    result = edit.insert(node, "RMSNormalization", inputs_of(node, 2), attributes=attributes, name=name)
    edit.replace(node.outputs[0], result.outputs[0])
    edit.sweep([node])


def lower_skip(edit: GraphEdit, node: ir.Node) -> None:
    """Lower SkipLayerNormalization, or its sibling without a mean, to additions and a normalization."""
    is_centered = node.op_type == "SkipLayerNormalization"
    op_type = "LayerNormalization" if is_centered else "RMSNormalization"
    check_opset(edit, op_type)
    check_unread(node, 1, 2)
    data, skip, weight, *rest = inputs_of(node, 5 if is_centered else 4)
    shift, bias = rest if is_centered else (None, *rest)
    name = node.outputs[0].name or "normalization"
    total = edit.insert(node, "Add", [data, skip], name=f"{name}_sum").outputs[0]
    if bias is not None:
        total = edit.insert(node, "Add", [total, bias], name=f"{name}_biased").outputs[0]
    attributes = {"axis": -1, "epsilon": float_attribute(node, "epsilon", SKIP_EPSILON)}
    inputs = [total, weight] if shift is None else [total, weight, shift]
    result = edit.insert(node, op_type, inputs, attributes=attributes, name=f"{name}_normalized")
    edit.replace(node.outputs[0], result.outputs[0])
    if is_read(node, 3):
        edit.replace(node.outputs[3], total)
    edit.sweep([node])
