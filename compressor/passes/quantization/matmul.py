"""Multiply integers where a MatMul multiplies by a weight: DynamicQuantizeLinear, MatMulInteger, Cast, Mul."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.passes.quantization.channels import LEVELS
from compressor.passes.quantization.edit import FLOAT, Activation, Edit
from compressor.passes.quantization.options import WeightType
from compressor.passes.quantization.outliers import read_rows
from compressor.passes.quantization.role import IntegerWeight, Role, drop_outer_ones, rank_of
from compressor.passes.quantization.views import View
from compressor.passes.quantization.weights import Use

DYNAMIC_QUANTIZE_OPSET = 11
"""First opset with DynamicQuantizeLinear; MatMulInteger came with 10."""

LONGEST_INNER_AXIS = (2**31 - 1) // (255 * LEVELS)
"""Products of 8-bit integers that an int32 sum holds whatever they are (66,311)."""


@dataclass(frozen=True, slots=True, eq=False)
class IntegerMatMul(Role):
    """A MatMul with the weight on either side."""

    counted_as = "matmul_in_int8"

    @property
    def weight_types(self) -> frozenset[WeightType]:
        return product_types(self.use.index)

    @property
    def summed_axis(self) -> int | None:
        return self.use.view.innermost_source(_inner_axis(self.use))

    @property
    def can_split(self) -> bool:
        view = self.use.view
        return self.use.index == 1 and len(view.stored) == 2 and view == View.whole(view.stored)

    def rewrite(self, weight: IntegerWeight, edit: Edit) -> None:
        node, index = self.use.node, self.use.index
        seen, other = node.inputs[index], node.inputs[1 - index]
        assert seen is not None
        assert other is not None
        rest = _without_features(other, weight, edit, node) if weight.float_rows else other
        activation = edit.quantize_activation(rest, weight.weight.dtype, node)
        scales = _shaped(self.use.view.spread(weight.scales), self.use)
        product = multiply(node, index, weight, weight.rearranged(seen, edit), activation, scales, edit)
        if weight.float_rows:
            product = _add_rows(product, other, weight, edit, node)
        edit.replace(node, product)


def match_matmul(use: Use) -> Role | None:
    """Read a use as the weight of a MatMul; None where it is not, or where an int32 sum could overflow."""
    if use.node.op_type != "MatMul" or use.node.domain != "" or use.opset < DYNAMIC_QUANTIZE_OPSET:
        return None
    view, rank = use.view, len(use.view.shape)
    own = rank - 2 if use.index == 0 else rank - 1
    if view.shape[_inner_axis(use)] > LONGEST_INNER_AXIS:
        return None
    other_rank = rank_of(use.node.inputs[1 - use.index])
    if rank == 1 and (other_rank or 1) == 1:
        return None  # ONNX Runtime's MatMulInteger makes one entry of two vectors, MatMul a number
    # A vector on the other side takes an axis out of the result, and the scales' axes no longer line up with it.
    if rank == 1 or ((use.index == 0 or rank > 2) and (other_rank or 1) < 2):
        axes = view.stored_axes(own) if rank > 1 and use.index == 1 else frozenset[int]()
    else:
        axes = view.stored_axes(*range(rank - 2), own)
    return IntegerMatMul(use, axes, axes)


def _inner_axis(use: Use) -> int:
    rank = len(use.view.shape)
    return rank - 1 if use.index == 0 else max(rank - 2, 0)


def _shaped(scales: NDArray[Any], use: Use) -> NDArray[Any]:
    """Write scales as `multiply` takes them; a stack of matrices has one for each of their columns."""
    shape = use.view.shape
    if use.index == 0 or len(shape) <= 2 or scales.size == 1:
        return drop_outer_ones(scales)
    if (rank_of(use.node.inputs[0]) or 1) < 2:
        return drop_outer_ones(scales, keep=2)
    return np.broadcast_to(scales, (*shape[:-2], 1, shape[-1]))


def product_types(index: int) -> frozenset[WeightType]:
    """Types of weights that a product takes as operand `index`.

    As the left one only uint8: ONNX Runtime joins MatMulInteger and the scaling after it into an operator that it has
    no int8 x uint8 kernel for, and then cannot load the model.
    """
    return frozenset(WeightType) if index == 1 else frozenset({WeightType.UINT8})


def multiply(
    node: ir.Node,
    index: int,
    weight: IntegerWeight,
    integers: ir.Value,
    activation: Activation,
    scales: NDArray[Any],
    edit: Edit,
) -> ir.Value:
    """Multiply as `node` did, with the weight as operand `index`; the result has the weight's float type.

    The operators are those, in the order, that ONNX Runtime joins into one when it loads the model, with a bias that is
    added to them. That one applies scales before the bias only if there is one, or one for each column of a matrix on
    the right, or as many axes as the weights on the right have (its `IsBQuantParamSupported`): other forms, which scale
    the bias as well in 1.31, are applied in two steps, which it does not join.

    Args:
        scales: a number; one for each column of a matrix; of a stack of matrices, with all its axes, those summed of
            size 1. Others have two axes, or stand on the left.
    """
    operands = [(activation.integers, activation.zero_point), (integers, weight.zero_point_value(edit))]
    (a, a_zero), (b, b_zero) = operands if index == 1 else operands[::-1]
    sums = edit.insert(node, "MatMulInteger", [a, b, a_zero, b_zero])[0]
    floats = edit.insert(node, "Cast", [sums], {"to": FLOAT.value})[0]
    scale = weight.scale_value(scales, edit)
    if scales.ndim and (index == 0 or scales.ndim == 2):
        columns = edit.insert(node, "Mul", [floats, activation.scale])[0]
        return weight.in_own_type(edit.insert(node, "Mul", [columns, scale])[0], node, edit)
    both = edit.insert(node, "Mul", [activation.scale, scale])[0]
    return weight.in_own_type(edit.insert(node, "Mul", [floats, both])[0], node, edit)


def _without_features(x: ir.Value, weight: IntegerWeight, edit: Edit, node: ir.Node) -> ir.Value:
    """Set the features that meet float rows to zero, so that they do not coarsen the others.

    In all-MiniLM-L6-v2 the feature of the one such row reaches 24, all others 6: mean cosine 0.9946 so, else 0.9932.
    """
    old = weight.weight
    kept = np.ones(old.shape[0], old.tensor.dtype.numpy())
    kept[list(weight.float_rows)] = 0
    mask = edit.small_constant(old.home, kept, f"{old.name}_integer_rows")
    return edit.insert_once(node, "Mul", [x, mask])


def _add_rows(product: ir.Value, x: ir.Value, weight: IntegerWeight, edit: Edit, node: ir.Node) -> ir.Value:
    old = weight.weight
    which = edit.small_constant(old.home, np.array(weight.float_rows, np.int64), f"{old.name}_outlier_rows")
    rows = edit.small_constant(old.home, read_rows(old.tensor, weight.float_rows), f"{old.name}_outliers")
    features = edit.insert_once(node, "Gather", [x, which], {"axis": -1})
    added = edit.insert(node, "MatMul", [features, rows])[0]
    return edit.insert(node, "Add", [product, added])[0]


def oriented(view: View, *, transposed: bool) -> View:
    """See a matrix the other way round where an attribute says so."""
    return view.transposed((1, 0)) if transposed else view
