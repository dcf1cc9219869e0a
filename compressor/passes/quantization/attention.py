"""Multiply integers where ONNX Runtime's Attention projects its input by one packed weight: QAttention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from compressor.passes.quantization.edit import FLOAT, Edit
from compressor.passes.quantization.matmul import DYNAMIC_QUANTIZE_OPSET
from compressor.passes.quantization.options import WeightType
from compressor.passes.quantization.role import IntegerWeight, Role
from compressor.passes.quantization.views import View
from compressor.passes.quantization.weights import Use

DOMAIN = "com.microsoft"

_INPUT, _WEIGHT, _BIAS, _MASK, _PAST = range(5)

_KEPT = {"num_heads", "unidirectional", "mask_filter_value", "scale"}
"""Attributes that both operators have and the kernels read alike."""

_OFF = {"do_rotary", "past_present_share_buffer", "rotary_embedding_dim"}
"""Attributes that say nothing where they are 0; otherwise one of the kernels lacks what they ask for."""


@dataclass(frozen=True, slots=True, eq=False)
class IntegerAttention(Role):
    """An Attention with query, key and value weights side by side.

    QAttention ran 1.7 to 2.3 times as fast as Attention at 16 to 64 positions of BERT-base's and MiniLM's sizes, more
    on longer inputs; weights decoded to float no faster than float ones.
    """

    counted_as = "attention_in_int8"

    @property
    def weight_types(self) -> frozenset[WeightType]:
        return frozenset(WeightType)

    @property
    def summed_axis(self) -> int | None:
        return self.use.view.innermost_source(0)

    def rewrite(self, weight: IntegerWeight, edit: Edit) -> None:
        node = self.use.node
        inputs = [*node.inputs, None, None, None][: _PAST + 1]
        x, seen = inputs[_INPUT], inputs[_WEIGHT]
        assert x is not None
        assert seen is not None
        activation = edit.quantize_activation(x, FLOAT, node)
        width = self.use.view.shape[1]
        scales = np.broadcast_to(self.use.view.spread(weight.scales), (1, width)).reshape(width)
        zeros = np.full(width, weight.zero_point, np.uint8 if weight.zero_point else np.int8)
        given = [
            activation.integers, weight.rearranged(seen, edit), inputs[_BIAS],
            activation.scale, weight.scale_value(scales, edit), inputs[_MASK],
            activation.zero_point, edit.small_constant(weight.weight.home, zeros, "weight_zero_points"), inputs[_PAST],
        ]  # fmt: skip
        attributes = {name: attribute.value for name, attribute in node.attributes.items() if name in _KEPT}
        values = edit.insert(node, "QAttention", given, attributes, len(node.outputs), DOMAIN)
        edit.replace(node, *values)


def match_attention(use: Use) -> Role | None:
    """Read a use as the packed weight of an Attention that QAttention can stand in for; None where it cannot.

    It has no input for a bias of the scores, none for lengths of the past, and one size for queries, keys and values.
    """
    node = use.node
    if (node.domain, node.op_type, use.index) != (DOMAIN, "Attention", _WEIGHT) or len(use.view.shape) != 2:
        return None
    if use.opset < DYNAMIC_QUANTIZE_OPSET or use.dtype is not FLOAT or use.view != View.whole(use.view.stored):
        return None
    if len(node.inputs) <= _BIAS or node.inputs[_BIAS] is None:  # QAttention needs one
        return None
    if any(value is not None for value in node.inputs[_PAST + 1 :]):
        return None
    return IntegerAttention(use, frozenset({1}), frozenset({1})) if _says_the_same(node) else None


def _says_the_same(node: ir.Node) -> bool:
    """QAttention reads every attribute of an Attention as that does."""
    return all(
        not attribute.is_ref() and (name in _KEPT or (name in _OFF and attribute.value == 0))
        for name, attribute in node.attributes.items()
    )
