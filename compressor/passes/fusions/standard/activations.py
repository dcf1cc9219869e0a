"""Lower ONNX Runtime's forms of GELU to the standard's Gelu, and QuickGelu to the steps it stands for."""

from __future__ import annotations

import onnx_ir as ir

from compressor.passes.fusions.graph_edit import GraphEdit
from compressor.passes.fusions.match import float_attribute
from compressor.passes.fusions.standard.operands import NotLowerable, check_opset, inputs_of


def lower_gelu(edit: GraphEdit, node: ir.Node) -> None:
    """Lower Gelu, BiasGelu or FastGelu; the bias is added before."""
    check_opset(edit, "Gelu")
    source, bias = inputs_of(node, 2)
    name = node.outputs[0].name or "gelu"
    if bias is not None:
        source = edit.insert(node, "Add", [source, bias], name=f"{name}_biased").outputs[0]
    attributes = {"approximate": "tanh" if node.op_type == "FastGelu" else "none"}
    gelu = edit.insert(node, "Gelu", [source], attributes=attributes, name=f"{name}_gelu")
    edit.replace(node.outputs[0], gelu.outputs[0])
    edit.sweep([node])


def lower_quick_gelu(edit: GraphEdit, node: ir.Node) -> None:
    """Lower QuickGelu to x * Sigmoid(alpha * x)."""
    source, alpha = node.inputs[0], float_attribute(node, "alpha", 1.702)
    dtype = edit.facts.dtype(source)
    if dtype is None:
        raise NotLowerable(f"the type of what {node.op_type} reads is not known")
    name = node.outputs[0].name or "gelu"
    scaled = source
    if alpha != 1.0:
        scaled = edit.insert(node, "Mul", [source, edit.number(alpha, dtype)], name=f"{name}_scaled").outputs[0]
    gate = edit.insert(node, "Sigmoid", [scaled], name=f"{name}_gate").outputs[0]
    product = edit.insert(node, "Mul", [source, gate], name=f"{name}_gated")
    edit.replace(node.outputs[0], product.outputs[0])
    edit.sweep([node])
