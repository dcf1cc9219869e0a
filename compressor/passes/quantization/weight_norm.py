"""Store in integers what a weight is worked out from by factors, when the model is loaded: ``g * v / |v|``.

Newer exporters leave these steps in the graph (``torch.nn.utils.parametrizations.weight_norm``: vocoders, the positions
of wav2vec 2.0), where older ones wrote down their result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from compressor.passes.quantization.decoded import DecodedWeight, match_float_operator
from compressor.passes.quantization.role import Role
from compressor.passes.quantization.views import look_through
from compressor.passes.quantization.weights import Use

_MOST_STEPS = 3
"""Of the way from v to the weight, and from v's norm to the factor: one division and one product, either way round."""


def match_weight_norm(use: Use) -> Role | None:
    """Read a use as the norm of v, or as a step from v to a weight; None where it is neither.

    v is scaled as the operator would have its weight scaled; all operators must be known to stand that.
    """
    v = use.node.inputs[use.index]
    if v is None or ir.convenience.get_const_tensor(v) is None:
        return None  # rearranged first
    if not _is_norm(use.node, v) and _scaled(use.node, v, v) is None:
        return None
    roles = [None if found is None else match_float_operator(found) for found in _uses_of_result(use, v, v)]
    if not roles or roles[0] is None or None in roles:
        return None
    return DecodedWeight(use, roles[0].preferred, roles[0].allowed)


def _uses_of_result(use: Use, value: ir.Value, v: ir.Value, steps: int = _MOST_STEPS) -> Iterator[Use | None]:
    """Uses of the weight that v becomes, which is `value` so far; None for one that is no operator."""
    if value.is_graph_output():
        yield None
    for node, index in value.uses():
        if value is v and _is_norm(node, v):
            continue
        scaled, view = _scaled(node, value, v), look_through(node, index, use.view)
        if scaled is None and (view is None or value is v):
            yield None if value is v else replace(use, node=node, index=index)
        elif steps:
            onward = replace(use, view=view or use.view)
            yield from _uses_of_result(onward, scaled or node.outputs[0], v, steps - 1)
        else:
            yield None


def _scaled(node: ir.Node, value: ir.Value, v: ir.Value) -> ir.Value | None:
    """The product of `value` and numbers that come from constants and the norm of v; None where `node` is none."""
    if node.domain != "" or node.op_type not in ("Mul", "Div") or len(node.inputs) != 2:
        return None
    others = [other for other in node.inputs if other is not value]
    if len(others) != 1 or (node.op_type == "Div" and node.inputs[0] is not value):
        return None
    return node.outputs[0] if _is_factor(others[0], v) else None


def _is_factor(value: ir.Value | None, v: ir.Value, steps: int = _MOST_STEPS) -> bool:
    """Nothing but constants and the norm of v are in it, and none has more entries than v along any axis."""
    if value is None or value is v or not steps:
        return False
    tensor, whole = ir.convenience.get_const_tensor(value), ir.convenience.get_const_tensor(v)
    if tensor is not None and whole is not None:
        return _fits(tuple(tensor.shape.numpy()), tuple(whole.shape.numpy()))
    node = value.producer()
    if node is None:
        return False
    is_step = node.domain == "" and node.op_type in ("Mul", "Div")
    return _is_norm(node, v) or (is_step and all(_is_factor(part, v, steps - 1) for part in node.inputs))


def _fits(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, whole) == whole
    except ValueError:
        return False


def _is_norm(node: ir.Node, v: ir.Value) -> bool:
    if node.domain != "" or node.op_type != "ReduceL2" or node.inputs[0] is not v:
        return False
    keepdims = node.attributes.get("keepdims")
    return keepdims is None or (not keepdims.is_ref() and bool(keepdims.as_int()))
