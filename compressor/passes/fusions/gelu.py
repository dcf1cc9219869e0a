"""Fuse the Gaussian error linear unit in its exact (erf), tanh and sigmoid forms, with a bias added before.

x * 0.5 * (1 + erf(x / sqrt 2)) is Gelu; x * 0.5 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) is its approximation
(Hendrycks and Gimpel, arXiv:1606.08415); x * sigmoid(a * x) is QuickGelu, with a = 1 the sigmoid linear unit.
"""

from __future__ import annotations

import math

import onnx_ir as ir

from compressor.passes.fusions.dimensions import ONE
from compressor.passes.fusions.gate import Gated, read_gate
from compressor.passes.fusions.graph_edit import CONTRIB, GraphEdit, place_of
from compressor.passes.fusions.match import (
    is_contrib,
    is_operator,
    made_by,
    operands,
    sole_user,
)
from compressor.passes.fusions.polynomial import Polynomial, are_close, polynomial_of
from compressor.passes.target import Target

SUPPORTED_TYPES = (ir.DataType.FLOAT, ir.DataType.FLOAT16)
"""Element types for which ONNX Runtime's CPU provider has all of these operators."""

_INNER: dict[str, Polynomial] = {
    "Erf": {1: math.sqrt(0.5)},
    "Tanh": {1: math.sqrt(2 / math.pi), 3: math.sqrt(2 / math.pi) * 0.044715},
}


def fuse(edit: GraphEdit) -> None:
    """Fuse every GELU there is."""
    for node in edit.nodes("Erf", "Tanh"):
        if is_operator(node, "Erf", "Tanh"):
            _fuse_gelu(edit, node)
    for node in edit.nodes("Sigmoid"):
        if is_operator(node, "Sigmoid"):
            _fuse_sigmoid(edit, node)


def fuse_bias(edit: GraphEdit) -> None:
    """Take biases into the GELU behind them.

    ONNX Runtime does so itself at load where the bias is not better off in the product before it: in int8 that is one
    operator with its bias, and BiasGelu takes 1.7 times as long as Gelu.
    """
    for node in edit.nodes("Gelu", "FastGelu"):
        _fuse_bias(edit, node)


def _fuse_gelu(edit: GraphEdit, node: ir.Node) -> None:
    for found in read_gate(node.outputs[0]):
        sign = math.copysign(1.0, found.slope)
        if not found.is_line(0.5 * sign, 0.5) or not _is_supported(edit, found):
            continue
        expected = {power: sign * factor for power, factor in _INNER[node.op_type].items()}  # both gates are odd
        if are_close(polynomial_of(node.inputs[0], found.source), expected):
            if lack := edit.lack_of("Gelu"):
                edit.skip(place_of(node), lack)
                return
            _replace(edit, found, _gelu(edit, node.op_type))
            edit.counts["gelu_fused"] += 1
            return


def _gelu(edit: GraphEdit, op_type: str) -> tuple[str, str, dict[str, str]]:
    """Operator, domain and attributes: the standard's own from opset 20 on, ONNX Runtime's before."""
    if edit.opset >= 20:
        return "Gelu", "", {"approximate": "none" if op_type == "Erf" else "tanh"}
    return ("Gelu" if op_type == "Erf" else "FastGelu"), CONTRIB, {}


def _fuse_sigmoid(edit: GraphEdit, node: ir.Node) -> None:
    """Fuse QuickGelu, and the tanh form written with a sigmoid: (1 + tanh z) / 2 = sigmoid(2 z)."""
    doubled = {power: 2 * factor for power, factor in _INNER["Tanh"].items()}
    for found in read_gate(node.outputs[0]):
        inner = polynomial_of(node.inputs[0], found.source) if found.is_line(1.0, 0.0) else None
        if inner is None or not _is_supported(edit, found):
            continue
        if are_close(inner, doubled) and not edit.lack_of("Gelu"):
            _replace(edit, found, _gelu(edit, "Tanh"))
            edit.counts["gelu_fused"] += 1
            return
        if inner.keys() == {1} and edit.target is Target.ORT:
            _replace(edit, found, ("QuickGelu", CONTRIB, {"alpha": inner[1]}))
            edit.counts["quick_gelu_fused"] += 1
            return


def _is_supported(edit: GraphEdit, found: Gated) -> bool:
    """Types are known and taken; a scalar could grow an axis by the constants of the long form."""
    types = edit.facts.dtype(found.source), edit.facts.dtype(found.result)
    return set(types) <= set(SUPPORTED_TYPES) and edit.facts[found.source].rank != 0


def _replace(
    edit: GraphEdit, found: Gated, operator: tuple[str, str, dict[str, str]] | tuple[str, str, dict[str, float]]
) -> None:
    """Put one operator in the place of the gate, in the type of the result."""
    (op_type, domain, attributes), source, result = operator, found.source, found.result
    last, dtype = result.producer(), edit.facts.dtype(result)
    assert last is not None
    assert dtype is not None
    if edit.facts.dtype(source) != dtype:
        source = edit.insert(
            last, "Cast", [source], attributes={"to": dtype.value}, name=f"{source.name}_cast"
        ).outputs[0]
    fused = edit.insert(last, op_type, [source], attributes=attributes, domain=domain, name=f"{result.name}_fused")
    edit.replace(result, fused.outputs[0])
    edit.sweep([last])


def _fuse_bias(edit: GraphEdit, node: ir.Node) -> None:
    """Make BiasGelu, or FastGelu with a bias, of a GELU behind the addition of one number per feature."""
    source = node.inputs[0]
    added = made_by(source, "Add") if source is not None else None
    is_plain = is_operator(node, "Gelu") or (is_contrib(node, "Gelu", "FastGelu") and len(node.inputs) == 1)
    if not is_plain or added is None or source is None or sole_user(source) is not node:
        return
    if edit.facts.dtype(source) not in SUPPORTED_TYPES:
        return
    approximate = node.attributes.get("approximate")
    is_tanh = node.op_type == "FastGelu" or (approximate is not None and approximate.as_string() == "tanh")
    for data, bias in operands(added):
        shape, width = edit.facts.shape(data), edit.facts.shape(bias)
        if not bias.is_initializer() or shape is None or width is None or len(width) != 1 or not shape:
            continue
        if width[0] == ONE or shape[-1] != width[0]:
            continue
        name = f"{node.outputs[0].name}_fused"
        fused = edit.insert(node, "FastGelu" if is_tanh else "BiasGelu", [data, bias], domain=CONTRIB, name=name)
        edit.replace(node.outputs[0], fused.outputs[0])
        edit.sweep([node])
        edit.counts["bias_gelu_fused"] += 1
        return
