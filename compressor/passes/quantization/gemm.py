"""Multiply integers where a Gemm multiplies by a weight; alpha goes into the scales, beta and the bias stay float."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from compressor.passes.quantization.edit import Activation, Edit
from compressor.passes.quantization.matmul import (
    DYNAMIC_QUANTIZE_OPSET,
    LONGEST_INNER_AXIS,
    multiply,
    oriented,
    product_types,
)
from compressor.passes.quantization.options import WeightType
from compressor.passes.quantization.role import IntegerWeight, Role, drop_outer_ones
from compressor.passes.quantization.weights import FloatWeight, Use

_TRANSPOSE_FLAGS = ("transA", "transB")


@dataclass(frozen=True, slots=True, eq=False)
class IntegerGemm(Role):
    """A Gemm with the weight as A or B: ``alpha * op(A) @ op(B) + beta * C``."""

    counted_as = "gemm_in_int8"

    @property
    def weight_types(self) -> frozenset[WeightType]:
        return product_types(self.use.index)

    @property
    def summed_axis(self) -> int | None:
        node, index = self.use.node, self.use.index
        return oriented(self.use.view, transposed=is_turned(node, index)).innermost_source(1 - index)

    def rewrite(self, weight: IntegerWeight, edit: Edit) -> None:
        node, index = self.use.node, self.use.index
        seen, other = node.inputs[index], node.inputs[1 - index]
        assert seen is not None
        assert other is not None
        activation = edit.quantize_activation(other, weight.weight.dtype, node)
        if is_turned(node, 1 - index):
            turned = edit.insert_once(node, "Transpose", [activation.integers], _TURN)
            activation = Activation(turned, activation.scale, activation.zero_point)
        integers = weight.rearranged(seen, edit)
        if is_turned(node, index):
            integers = edit.insert_once(node, "Transpose", [integers], _TURN)
        view = oriented(self.use.view, transposed=is_turned(node, index))
        scales = drop_outer_ones(view.spread(weight.scales)) * np.float32(factor_of(node, "alpha"))
        product = multiply(node, index, weight, integers, activation, scales, edit)
        edit.replace(node, add_bias(node, product, weight.weight, edit))


_TURN = {"perm": (1, 0)}


def match_gemm(use: Use) -> Role | None:
    """Read a use as a matrix of a Gemm; None where it is not, or where an int32 sum could overflow."""
    node = use.node
    if node.op_type != "Gemm" or node.domain != "" or use.index > 1 or use.opset < DYNAMIC_QUANTIZE_OPSET:
        return None
    if any(attribute.is_ref() for attribute in node.attributes.values()):
        return None
    view = oriented(use.view, transposed=is_turned(node, use.index))
    if view.shape[1 - use.index] > LONGEST_INNER_AXIS:
        return None
    axes = view.stored_axes(use.index)
    return IntegerGemm(use, axes, axes)


def add_bias(node: ir.Node, product: ir.Value, weight: FloatWeight, edit: Edit) -> ir.Value:
    """Add beta times the bias of a Gemm, where it has one, to its product."""
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    beta = factor_of(node, "beta")
    if bias is None or beta == 0:
        return product
    if beta != 1:
        value = np.array(beta, weight.dtype.numpy())
        factor = edit.small_constant(weight.home, value, "gemm_beta")
        bias = edit.insert_once(node, "Mul", [bias, factor])
    return edit.insert(node, "Add", [product, bias])[0]


def is_turned(node: ir.Node, index: int) -> bool:
    """A Gemm takes matrix `index` the other way round."""
    given = node.attributes.get(_TRANSPOSE_FLAGS[index])
    return given is not None and bool(given.as_int())


def factor_of(node: ir.Node, name: str) -> float:
    """Read a factor of a Gemm."""
    given = node.attributes.get(name)
    return 1.0 if given is None else given.as_float()
