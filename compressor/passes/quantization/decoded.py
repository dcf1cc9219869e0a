"""Store a weight in integers for operators that compute in float; ONNX Runtime decodes it once, at load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from compressor.passes.quantization.edit import FLOAT, Edit
from compressor.passes.quantization.role import IntegerWeight, Role
from compressor.passes.quantization.weights import Use


@dataclass(frozen=True, slots=True, eq=False)
class DecodedWeight(Role):
    """Any use that takes the weight as floats."""

    counted_as = "decoded_to_float"

    @property
    def shares_operator(self) -> bool:
        return True

    def rewrite(self, weight: IntegerWeight, edit: Edit) -> None:
        """Exchange the float weight, for all uses that are left, for integers decoded where the weight is kept."""
        old = weight.weight
        if not old.value.uses():
            return
        values = edit.append_to_start(old.home, "Cast", [weight.integers], FLOAT.value)
        if weight.zero_point:
            values = edit.append_to_start(old.home, "Sub", [values, weight.shift_value(edit)])
        scale = weight.scale_value(weight.scales, edit)
        values = edit.append_to_start(old.home, "Mul", [values, scale])
        if old.tensor.dtype != FLOAT:
            values = edit.append_to_start(old.home, "Cast", [values], old.tensor.dtype.value)
        old.value.replace_all_uses_with(values)


def match_float_operator(use: Use) -> Role | None:
    """Read a use as the weight of an operator known to stand int8 weights; None where it is not.

    A function of the model is one: exporters that make functions of modules hand them the modules' weights.
    """
    operator = (use.node.domain, use.node.op_type)
    axes = _last if use.is_call else _OPERATORS.get((*operator, use.index), _ANY_INPUT.get(operator))
    if axes is None:
        return None
    return DecodedWeight(use, use.view.stored_axes(*axes(use)), frozenset(range(len(use.view.stored))))


def _channels(*axes: int) -> Callable[[Use], tuple[int, ...]]:
    return lambda use: tuple(axis for axis in axes if axis < len(use.view.shape))


def _last(use: Use) -> tuple[int, ...]:
    """All axes but the one summed over, in front of the last."""
    rank = len(use.view.shape)
    return tuple(axis for axis in range(rank) if axis != rank - 2) if rank > 1 else ()


def _rows(use: Use) -> tuple[int, ...]:
    return tuple(range(len(use.view.shape) - 1))


def _gemm(use: Use) -> tuple[int, ...]:
    names = ("transA", "transB")
    given = use.node.attributes.get(names[use.index])
    turned = given is not None and not given.is_ref() and bool(given.as_int())
    return (1 - use.index,) if turned else (use.index,)


def _fused_product(use: Use) -> tuple[int, ...]:
    rank, given = len(use.view.shape), use.node.attributes.get("transB")
    turned = rank > 1 and given is not None and not given.is_ref() and bool(given.as_int())
    return tuple(range(rank - 1)) if turned else _last(use)


def _transposed_convolution(use: Use) -> tuple[int, ...]:
    """Output channels of ``[in, out / group, ...]``; a depth-wise kernel has its channels on the first axis."""
    return (1,) if use.view.shape[1] > 1 else (0,)


_OPERATORS: Mapping[tuple[str, str, int], Callable[[Use], tuple[int, ...]]] = {
    ("", "MatMul", 0): _rows,
    ("", "MatMul", 1): _last,
    ("", "Gemm", 0): _gemm,
    ("", "Gemm", 1): _gemm,
    ("", "Conv", 1): _channels(0),
    ("", "ConvTranspose", 1): _transposed_convolution,
    ("", "LSTM", 1): _channels(0, 1),
    ("", "LSTM", 2): _channels(0, 1),
    ("", "GRU", 1): _channels(0, 1),
    ("", "GRU", 2): _channels(0, 1),
    ("", "RNN", 1): _channels(0, 1),
    ("", "RNN", 2): _channels(0, 1),
    ("com.microsoft", "Attention", 1): _channels(1),
    ("com.microsoft", "EmbedLayerNormalization", 2): _channels(0),
    ("com.microsoft", "EmbedLayerNormalization", 3): _channels(0),
    ("com.microsoft", "EmbedLayerNormalization", 4): _channels(0),
    ("com.microsoft", "FusedConv", 1): _channels(0),
    ("com.microsoft", "FusedGemm", 0): _gemm,
    ("com.microsoft", "FusedGemm", 1): _gemm,
    ("com.microsoft", "FusedMatMul", 1): _fused_product,
    ("", "DeformConv", 1): _channels(0),
    ("", "GatherElements", 0): _channels(0),
    ("", "GatherND", 0): _channels(0),
    ("", "Slice", 0): _rows,
    ("", "Split", 0): _rows,
    ("", "Squeeze", 0): _rows,
    ("", "Unsqueeze", 0): _rows,
}

_ANY_INPUT: Mapping[tuple[str, str], Callable[[Use], tuple[int, ...]]] = {("", "Concat"): _last}
