"""Multiply integers where an LSTM multiplies by its two weights: DynamicQuantizeLSTM."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from compressor.passes.quantization.decoded import DecodedWeight
from compressor.passes.quantization.edit import FLOAT, Edit
from compressor.passes.quantization.options import WeightType
from compressor.passes.quantization.role import IntegerWeight, Role
from compressor.passes.quantization.views import View
from compressor.passes.quantization.weights import Use

INPUT_WEIGHT, RECURRENCE_WEIGHT = 1, 2

_CHANNELS = frozenset({0, 1})
"""Directions and gates times hidden units, of ``[directions, 4 * hidden, input or hidden]``."""

_INPUTS = 8
"""X, W, R, B, sequence_lens, initial_h, initial_c, P; the fused operator has four more."""

_ATTRIBUTES = {
    "activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size", "input_forget",
}  # fmt: skip
"""Attributes that both operators have."""

_SWAP = {"perm": (0, 2, 1)}


@dataclass(frozen=True, slots=True, eq=False)
class IntegerLstm(Role):
    """One of the two weights of an LSTM that both become integers.

    It took a half to a seventh of the time of the LSTM (hidden sizes 256 to 1,024, one to eight rows), whose decoded
    form takes as long as the float one. GRU and RNN have no such operator.
    """

    counted_as = "lstm_weights_in_int8"

    @property
    def weight_types(self) -> frozenset[WeightType]:
        return frozenset(WeightType)

    @property
    def summed_axis(self) -> int | None:
        return self.use.view.innermost_source(2)

    @property
    def shares_operator(self) -> bool:
        return True

    def decoded(self) -> Role:
        """The same use where the other weight stays float."""
        return DecodedWeight(self.use, self.preferred, frozenset(range(len(self.use.view.stored))))

    def rewrite(self, weight: IntegerWeight, edit: Edit) -> None:
        if self.use.index == RECURRENCE_WEIGHT:
            return  # the other weight's turn does both
        node = self.use.node
        inputs: list[ir.Value | None] = [*node.inputs, *([None] * _INPUTS)][:_INPUTS]
        given = []
        for index in (INPUT_WEIGHT, RECURRENCE_WEIGHT):
            seen, stored = inputs[index], edit.stored[node, index]
            assert seen is not None
            turned = edit.insert_once(node, "Transpose", [stored.rearranged(seen, edit)], _SWAP)
            inputs[index] = turned
            given += _scale_and_zero_points(stored, edit)
        attributes = {name: attribute.value for name, attribute in node.attributes.items() if name in _ATTRIBUTES}
        values = edit.insert(
            node, "DynamicQuantizeLSTM", [*inputs, *given], attributes, len(node.outputs), "com.microsoft"
        )
        edit.replace(node, *values)


def match_lstm(use: Use) -> Role | None:
    """Read a use as a weight of an LSTM that DynamicQuantizeLSTM can stand in for; None where it is not."""
    node = use.node
    if (node.domain, node.op_type) != ("", "LSTM") or use.index not in (INPUT_WEIGHT, RECURRENCE_WEIGHT):
        return None
    if (
        use.dtype is not FLOAT
        or use.view != View.whole(use.view.stored)
        or any(a.is_ref() for a in node.attributes.values())
    ):
        return None
    unknown = {name: attribute.value for name, attribute in node.attributes.items() if name not in _ATTRIBUTES}
    if unknown not in ({}, {"layout": 0}):
        return None
    return IntegerLstm(use, _CHANNELS, _CHANNELS)


def _scale_and_zero_points(weight: IntegerWeight, edit: Edit) -> list[ir.Value]:
    directions, gates, _ = weight.weight.shape
    scales = np.broadcast_to(weight.scales, (directions, gates, 1)).reshape(directions, gates)
    zeros = np.full((directions, gates), weight.zero_point, np.uint8 if weight.zero_point else np.int8)
    return [
        weight.scale_value(scales, edit),
        edit.small_constant(weight.weight.home, zeros, "weight_zero_points"),
    ]
