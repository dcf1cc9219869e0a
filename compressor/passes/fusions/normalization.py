"""Find normalization over the last axis in a graph, whole or in pieces."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from compressor.passes.fusions.graph_edit import GraphEdit
from compressor.passes.fusions.match import (
    axes_of,
    float_attribute,
    int_attribute,
    is_at_end,
    is_number,
    made_by,
    number_of,
    only_user,
    other_input,
)

SUPPORTED_TYPES = (ir.DataType.FLOAT, ir.DataType.FLOAT16)
"""Element types of SkipLayerNormalization and its kin in ONNX Runtime's CPU provider."""


@dataclass(frozen=True, slots=True)
class Normalization:
    """`weight` * (source - mean) / sqrt(variance + epsilon) + `bias`, over the last axis.

    Attributes:
        source: what is normalized.
        weight, bias: one number per feature; no bias where None.
        epsilon: added to the variance.
        result: the normalized value.
        is_centered: the mean is subtracted (LayerNorm); not so in RMSNorm, which has no bias either.
    """

    source: ir.Value
    weight: ir.Value
    bias: ir.Value | None
    epsilon: float
    result: ir.Value
    is_centered: bool


def whole(edit: GraphEdit, node: ir.Node) -> Normalization | None:
    """Read a normalization operator."""
    is_centered = node.op_type == "LayerNormalization"
    source, weight, *rest = (*node.inputs, None)
    if source is None or weight is None or any(o.uses() or o.is_graph_output() for o in node.outputs[1:]):
        return None
    if not is_at_end(int_attribute(node, "axis", -1), edit.facts[source].rank):
        return None
    epsilon = float_attribute(node, "epsilon", 1e-5)
    return _checked(edit, Normalization(source, weight, rest[0], epsilon, node.outputs[0], is_centered))


def in_pieces(edit: GraphEdit, mean_of_squares: ir.Node) -> Normalization | None:
    """Read the normalization that a ReduceMean of squares belongs to."""
    square = mean_of_squares.inputs[0]
    base = _squared(square)
    if base is None or not _is_over_last_axis(edit, mean_of_squares):
        return None
    eps_added = only_user(mean_of_squares.outputs[0], "Add")
    epsilon = number_of(other_input(eps_added, mean_of_squares.outputs[0])) if eps_added is not None else None
    if eps_added is None or epsilon is None:
        return None
    normalized = _divided_by_root(base, eps_added.outputs[0])
    if normalized is None:
        return None
    weighted = _combined_per_feature(edit, normalized, "Mul")
    if weighted is None:
        return None
    result, weight = weighted
    centered = _centered_source(edit, base)
    if centered is None:
        return _checked(edit, Normalization(base, weight, None, epsilon, result, is_centered=False))
    shifted = _combined_per_feature(edit, result, "Add")
    result, bias = shifted if shifted is not None else (result, None)
    return _checked(edit, Normalization(centered, weight, bias, epsilon, result, is_centered=True))


def _squared(value: ir.Value | None) -> ir.Value | None:
    power = made_by(value, "Pow")
    if power is not None:
        return power.inputs[0] if is_number(power.inputs[1], 2.0) else None
    times = made_by(value, "Mul")
    return times.inputs[0] if times is not None and times.inputs[0] is times.inputs[1] else None


def _is_over_last_axis(edit: GraphEdit, node: ir.Node) -> bool:
    axes = axes_of(node)
    if axes is None or len(axes) != 1 or not int_attribute(node, "keepdims", 1):
        return False
    return is_at_end(axes[0], edit.facts[node.inputs[0]].rank)


def _divided_by_root(base: ir.Value, variance: ir.Value) -> ir.Value | None:
    """`base` / sqrt(`variance`), as a quotient or as a product with the reciprocal."""
    root = only_user(variance, "Sqrt", "Pow")
    if root is None or (root.op_type == "Pow" and root.inputs[0] is not variance):
        return None
    power = 0.5 if root.op_type == "Sqrt" else number_of(root.inputs[1])
    value = root.outputs[0]
    if power == 0.5:
        divided = only_user(value, "Div", "Reciprocal")
        if divided is None:
            return None
        if divided.op_type == "Div" and divided.inputs[1] is value and divided.inputs[0] is base:
            return divided.outputs[0]
        if divided.op_type == "Div" and not (divided.inputs[1] is value and is_number(divided.inputs[0], 1.0)):
            return None
        value = divided.outputs[0]
    elif power != -0.5:
        return None
    times = only_user(value, "Mul")
    return times.outputs[0] if times is not None and other_input(times, value) is base else None


def _combined_per_feature(edit: GraphEdit, value: ir.Value, op_type: str) -> tuple[ir.Value, ir.Value] | None:
    """The result of combining `value` with one number per feature, and these numbers."""
    node = only_user(value, op_type)
    other = other_input(node, value) if node is not None else None
    shape, own = edit.facts.shape(other), edit.facts.shape(value)
    if node is None or other is None or shape is None or own is None or len(shape) != 1 or shape[0] != own[-1]:
        return None
    return node.outputs[0], other


def _centered_source(edit: GraphEdit, base: ir.Value) -> ir.Value | None:
    """What `base` was before its mean was subtracted; None where it was not."""
    difference = made_by(base, "Sub")
    mean = made_by(difference.inputs[1], "ReduceMean") if difference is not None else None
    if difference is None or mean is None or mean.inputs[0] is not difference.inputs[0]:
        return None
    used = {id(node) for node, _ in mean.outputs[0].uses()}
    if used != {id(difference)} or mean.outputs[0].is_graph_output() or not _is_over_last_axis(edit, mean):
        return None
    return difference.inputs[0]


def _checked(edit: GraphEdit, found: Normalization) -> Normalization | None:
    """`found`, if its type and shapes are such as the fused operators take."""
    shape, weight = edit.facts.shape(found.source), edit.facts.shape(found.weight)
    if shape is None or weight is None or len(weight) != 1 or not shape or weight[0] != shape[-1]:
        return None
    dtypes = {edit.facts.dtype(value) for value in (found.source, found.weight, found.bias) if value is not None}
    return found if len(dtypes) == 1 and dtypes <= set(SUPPORTED_TYPES) else None
