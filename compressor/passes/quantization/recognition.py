"""Recognise a model that is quantized already, by this package or by another."""

from __future__ import annotations

from collections import Counter

import onnx_ir as ir

from compressor.model.tensors import all_graphs
from compressor.passes.quantization.constants import constant_tensor

_OPERATORS = {
    "": {
        "ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul",
        "QuantizeLinear",
    },
    "com.microsoft": {
        "DequantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "GatherBlockQuantized", "MatMulBnb4",
        "MatMulIntegerToFloat", "MatMulNBits", "QAttention", "QEmbedLayerNormalization", "QGemm", "QuantizeLinear",
    },
}  # fmt: skip
"""Operators that only a quantized model has."""

_BYTES = (ir.DataType.INT8, ir.DataType.UINT8)
_PASSED_ON_BY = {"Gather", "Identity", "Reshape", "Transpose"}


def describe_quantization(model: ir.Model) -> str:
    """List what shows that `model` is quantized, such as ``12 MatMulInteger``; empty if nothing does."""
    found: Counter[str] = Counter()
    for graph in all_graphs(model):
        for node in graph:
            if node.op_type in _OPERATORS.get(node.domain, ()):
                found[node.op_type] += 1
            elif _decodes_a_weight(node):
                found["weights decoded from 8 bits"] += 1
    return ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))


def _decodes_a_weight(node: ir.Node) -> bool:
    """A Cast of a constant of 8-bit integers, or of rows looked up in one, whose result is scaled."""
    if node.op_type != "Cast" or node.domain != "" or not any(_is_scaled(user) for user, _ in node.outputs[0].uses()):
        return False
    value = node.inputs[0]
    while value is not None and (producer := value.producer()) is not None and producer.op_type in _PASSED_ON_BY:
        value = producer.inputs[0]
    tensor = constant_tensor(value)
    return tensor is not None and tensor.dtype in _BYTES


def _is_scaled(user: ir.Node) -> bool:
    return user.domain == "" and user.op_type in ("Mul", "Sub")
