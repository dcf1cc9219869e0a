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
    is_operator,
    made_by,
    number_of,
    only_user,
    operands,
    other_input,
    sole_user,
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
    return _step_by_step(edit, base, eps_added.outputs[0], epsilon) or _folded(
        edit, base, eps_added.outputs[0], epsilon
    )


def _step_by_step(edit: GraphEdit, base: ir.Value, variance: ir.Value, epsilon: float) -> Normalization | None:
    """Center, divide by the root, multiply with the weight, add the bias."""
    normalized = _divided_by_root(base, variance)
    if normalized is None:
        return None
    source, normalized = _without_widening(edit, base, normalized)
    weighted = _combined_per_feature(edit, normalized, "Mul")
    if weighted is None:
        return None
    result, weight = weighted
    mean = _mean_subtracted(edit, base)
    if mean is None:
        return _checked(edit, Normalization(source, weight, None, epsilon, result, is_centered=False))
    difference = base.producer()
    if difference is None or difference.inputs[1] is not mean.outputs[0]:
        return None  # the sign counts here
    if not _is_read_only_by(mean.outputs[0], difference):
        return None
    shifted = _combined_per_feature(edit, result, "Add")
    result, bias = shifted if shifted is not None else (result, None)
    assert mean.inputs[0] is not None
    return _checked(edit, Normalization(mean.inputs[0], weight, bias, epsilon, result, is_centered=True))


def _without_widening(edit: GraphEdit, base: ir.Value, normalized: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Both outside the Casts that widen half precision for the norm alone: the operator does so itself."""
    widened, narrowed = made_by(base, "Cast"), only_user(normalized, "Cast")
    source = widened.inputs[0] if widened is not None else None
    if source is None or narrowed is None or edit.facts.dtype(base) != ir.DataType.FLOAT:
        return base, normalized
    is_back = edit.facts.dtype(source) == edit.facts.dtype(narrowed.outputs[0]) == ir.DataType.FLOAT16
    return (source, narrowed.outputs[0]) if is_back else (base, normalized)


def _folded(edit: GraphEdit, base: ir.Value, variance: ir.Value, epsilon: float) -> Normalization | None:
    """TensorFlow's order: with f = weight / root, source * f + (bias - mean * f)."""
    inverse = _inverse_root(variance)
    weighted = only_user(inverse, "Mul") if inverse is not None else None
    weight = other_input(weighted, inverse) if weighted is not None and inverse is not None else None
    mean = _mean_subtracted(edit, base)
    if weighted is None or weight is None or mean is None or mean.inputs[0] is None:
        return None
    factor = weighted.outputs[0]
    source, mean_value = mean.inputs[0], mean.outputs[0]
    scaled = {id(other_input(node, factor)): node for node, _ in factor.uses() if is_operator(node, "Mul")}
    if len(factor.uses()) != 2 or factor.is_graph_output() or scaled.keys() != {id(source), id(mean_value)}:
        return None
    scaled_mean = scaled[id(mean_value)]
    if not _is_read_only_by(mean_value, base.producer(), scaled_mean):
        return None
    shift = only_user(scaled_mean.outputs[0], "Sub")
    total = only_user(scaled[id(source)].outputs[0], "Add")
    if shift is None or total is None or shift.inputs[1] is not scaled_mean.outputs[0] or shift.inputs[0] is None:
        return None
    if other_input(total, scaled[id(source)].outputs[0]) is not shift.outputs[0] or sole_user(shift.outputs[0]) is None:
        return None
    bias = shift.inputs[0]
    shape = edit.facts.shape(bias)
    if shape is None or shape != edit.facts.shape(weight):
        return None
    return _checked(edit, Normalization(source, weight, bias, epsilon, total.outputs[0], is_centered=True))


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
    divided = only_user(root.outputs[0], "Div") if root is not None and _power(root, variance) == 0.5 else None
    if root is not None and divided is not None and divided.inputs[0] is base and divided.inputs[1] is root.outputs[0]:
        return divided.outputs[0]
    inverse = _inverse_root(variance)
    times = only_user(inverse, "Mul") if inverse is not None else None
    return (
        times.outputs[0] if times is not None and inverse is not None and other_input(times, inverse) is base else None
    )


def _inverse_root(variance: ir.Value) -> ir.Value | None:
    """1 / sqrt(`variance`)."""
    root = only_user(variance, "Sqrt", "Pow")
    power = _power(root, variance) if root is not None else None
    if root is None or power == -0.5:
        return root.outputs[0] if root is not None else None
    divided = only_user(root.outputs[0], "Div", "Reciprocal") if power == 0.5 else None
    if divided is None:
        return None
    if divided.op_type == "Div" and not (divided.inputs[1] is root.outputs[0] and is_number(divided.inputs[0], 1.0)):
        return None
    return divided.outputs[0]


def _power(node: ir.Node, base: ir.Value) -> float | None:
    """The exponent of a Sqrt or Pow of `base`."""
    if node.op_type == "Sqrt":
        return 0.5
    return number_of(node.inputs[1]) if node.inputs[0] is base else None


def _combined_per_feature(edit: GraphEdit, value: ir.Value, op_type: str) -> tuple[ir.Value, ir.Value] | None:
    """The result of combining `value` with one number per feature, and these numbers."""
    node = only_user(value, op_type)
    other = other_input(node, value) if node is not None else None
    shape, own = edit.facts.shape(other), edit.facts.shape(value)
    if node is None or other is None or shape is None or own is None or len(shape) != 1 or shape[0] != own[-1]:
        return None
    return node.outputs[0], other


def _mean_subtracted(edit: GraphEdit, base: ir.Value) -> ir.Node | None:
    """The ReduceMean whose result is subtracted from its own input to give `base` (or the other way round)."""
    difference = made_by(base, "Sub")
    for mean_value, source in operands(difference) if difference is not None else ():
        mean = made_by(mean_value, "ReduceMean")
        if mean is not None and mean.inputs[0] is source and _is_over_last_axis(edit, mean):
            return mean
    return None


def _is_read_only_by(value: ir.Value, *nodes: ir.Node | None) -> bool:
    return not value.is_graph_output() and {id(node) for node, _ in value.uses()} == {id(node) for node in nodes}


def _checked(edit: GraphEdit, found: Normalization) -> Normalization | None:
    """`found`, if its type and shapes are such as the fused operators take."""
    shape, weight = edit.facts.shape(found.source), edit.facts.shape(found.weight)
    if shape is None or weight is None or len(weight) != 1 or not shape or weight[0] != shape[-1]:
        return None
    dtypes = {edit.facts.dtype(value) for value in (found.source, found.weight, found.bias) if value is not None}
    return found if len(dtypes) == 1 and dtypes <= set(SUPPORTED_TYPES) else None
