"""Fuse the Gaussian error linear unit in its exact (erf), tanh and sigmoid forms, with a bias added before.

x * 0.5 * (1 + erf(x / sqrt 2)) is Gelu; x * 0.5 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) is its approximation
(Hendrycks and Gimpel, arXiv:1606.08415); x * sigmoid(a * x) is QuickGelu, with a = 1 the sigmoid linear unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import onnx_ir as ir

from compressor.passes.fusions.dimensions import ONE
from compressor.passes.fusions.graph_edit import CONTRIB, GraphEdit, place_of
from compressor.passes.fusions.match import (
    is_contrib,
    is_number,
    is_operator,
    made_by,
    number_of,
    only_user,
    operands,
    other_input,
    scalar_operand,
    sole_user,
)
from compressor.passes.fusions.polynomial import Polynomial, are_close, polynomial_of
from compressor.passes.fusions.target import Target

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
    if edit.target is Target.ORT:
        for node in edit.nodes("Sigmoid"):
            _fuse_quick_gelu(edit, node)


def fuse_bias(edit: GraphEdit) -> None:
    """Take biases into the GELU behind them.

    ONNX Runtime does so itself at load where the bias is not better off in the product before it: in int8 that is one
    operator with its bias, and BiasGelu takes 1.7 times as long as Gelu.
    """
    for node in edit.nodes("Gelu", "FastGelu"):
        _fuse_bias(edit, node)


def _fuse_gelu(edit: GraphEdit, node: ir.Node) -> None:
    added = only_user(node.outputs[0], "Add")
    if added is None or not is_number(other_input(added, node.outputs[0]), 1.0):
        return
    for source, result in _halved_products(added.outputs[0]):
        if edit.facts.dtype(source) not in SUPPORTED_TYPES:
            continue
        if are_close(polynomial_of(node.inputs[0], source), _INNER[node.op_type]):
            if lack := edit.lack_of("Gelu"):
                edit.skip(place_of(node), lack)
                return
            _replace(edit, result, _gelu(edit, node.op_type), source)
            edit.counts["gelu_fused"] += 1
            return


def _halved_products(value: ir.Value) -> Iterator[tuple[ir.Value, ir.Value]]:
    """Every x for which a value behind `value` is x * 0.5 * `value`, with that value."""
    factor, source = 1.0, None
    for _ in range(2):
        node = only_user(value, "Mul")
        other = other_input(node, value) if node is not None else None
        if node is None or other is None:
            return
        value, number = node.outputs[0], number_of(other)
        if number is not None:
            factor *= number
        elif source is None:
            source = other
        else:
            return
        if source is None:
            continue
        if math.isclose(factor, 0.5, rel_tol=1e-4):
            yield source, value
        half = scalar_operand(scaled) if (scaled := made_by(source, "Mul")) is not None else None
        if half is not None and math.isclose(factor * half[1], 0.5, rel_tol=1e-4):
            yield half[0], value


def _gelu(edit: GraphEdit, op_type: str) -> tuple[str, str, dict[str, str]]:
    """Operator, domain and attributes: the standard's own from opset 20 on, ONNX Runtime's before."""
    if edit.opset >= 20:
        return "Gelu", "", {"approximate": "none" if op_type == "Erf" else "tanh"}
    return ("Gelu" if op_type == "Erf" else "FastGelu"), CONTRIB, {}


def _fuse_quick_gelu(edit: GraphEdit, node: ir.Node) -> None:
    gate = node.outputs[0]
    multiplied = only_user(gate, "Mul") if is_operator(node, "Sigmoid") else None
    source = other_input(multiplied, gate) if multiplied is not None else None
    if multiplied is None or source is None or edit.facts.dtype(source) not in SUPPORTED_TYPES:
        return
    inner = polynomial_of(node.inputs[0], source)
    if inner is None or inner.keys() != {1}:
        return
    _replace(edit, multiplied.outputs[0], ("QuickGelu", CONTRIB, {"alpha": inner[1]}), source)
    edit.counts["quick_gelu_fused"] += 1


def _replace(
    edit: GraphEdit,
    result: ir.Value,
    operator: tuple[str, str, dict[str, str]] | tuple[str, str, dict[str, float]],
    source: ir.Value,
) -> None:
    op_type, domain, attributes = operator
    last = result.producer()
    assert last is not None
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
