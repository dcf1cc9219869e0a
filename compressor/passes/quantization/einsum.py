"""Multiply integers where an Einsum is a product with a weight; store the operand of any other in integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.passes.quantization.decoded import DecodedWeight
from compressor.passes.quantization.edit import Activation, Edit
from compressor.passes.quantization.matmul import LONGEST_INNER_AXIS, multiply, product_types
from compressor.passes.quantization.options import WeightType
from compressor.passes.quantization.role import IntegerWeight, Role
from compressor.passes.quantization.weights import Use


@dataclass(frozen=True, slots=True)
class Projection:
    """An Einsum that is ``x @ w`` once axes are joined, such as ``bsd,dnh->bsnh``.

    Attributes:
        kept: axes of x in front of those summed over; None where the equation leaves their number open.
        summed, added: sizes of the axes of the weight that are summed over, and that the result gets at its end.
        is_turned: the weight has the added ones first.
    """

    kept: int | None
    summed: tuple[int, ...]
    added: tuple[int, ...]
    is_turned: bool


@dataclass(frozen=True, slots=True, eq=False)
class IntegerEinsum(Role):
    """An Einsum with the weight as either operand; exporters of Keras models write projections so."""

    counted_as = "einsum_in_int8"

    projection: Projection

    @property
    def weight_types(self) -> frozenset[WeightType]:
        return product_types(1)

    @property
    def summed_axis(self) -> int | None:
        summed, view = self.projection.summed, self.use.view
        if len(summed) > 1 and summed[-1] % 2:
            return None  # neighbours of the joined axis are not all neighbours on its last part
        return view.innermost_source(len(view.shape) - 1 if self.projection.is_turned else len(summed) - 1)

    def rewrite(self, weight: IntegerWeight, edit: Edit) -> None:
        node, index, form, home = self.use.node, self.use.index, self.projection, weight.weight.home
        seen, other = node.inputs[index], node.inputs[1 - index]
        assert seen is not None
        assert other is not None
        activation = edit.quantize_activation(other, weight.weight.dtype, node)
        inner, outer = math.prod(form.summed), math.prod(form.added)

        def reshaped(value: ir.Value, sizes: tuple[int, ...]) -> ir.Value:
            target = edit.small_constant(home, np.array(sizes, np.int64), f"{value.name}_shape")
            return edit.insert_once(node, "Reshape", [value, target])

        if len(form.summed) > 1:
            assert form.kept is not None
            joined = reshaped(activation.integers, (*[0] * form.kept, inner))
            activation = Activation(joined, activation.scale, activation.zero_point)
        integers = weight.rearranged(seen, edit)
        if len(form.summed) + len(form.added) > 2:
            integers = reshaped(integers, (outer, inner) if form.is_turned else (inner, outer))
        if form.is_turned:
            integers = edit.insert_once(node, "Transpose", [integers], {"perm": (1, 0)})
        product = multiply(node, 1, weight, integers, activation, self._scales(weight), edit)
        if len(form.added) > 1:
            assert form.kept is not None
            product = reshaped(product, (*[0] * form.kept, *form.added))
        edit.replace(node, product)

    def _scales(self, weight: IntegerWeight) -> NDArray[Any]:
        scales, form = self.use.view.spread(weight.scales), self.projection
        if scales.size > 1:
            ones = (1,) * len(form.summed)
            scales = np.broadcast_to(scales, (*form.added, *ones) if form.is_turned else (*ones, *form.added))
        return scales.reshape(-1 if scales.size > 1 else ())


def match_projection(use: Use) -> Role | None:
    """Read a use as the weight of an Einsum that is a product; None where it is not."""
    form = _projection(use)
    if form is None or math.prod(form.summed) > LONGEST_INNER_AXIS:
        return None
    first = 0 if form.is_turned else len(form.summed)
    axes = use.view.stored_axes(*range(first, first + len(form.added)))
    return IntegerEinsum(use, axes, axes, form)


def match_einsum(use: Use) -> Role | None:
    """Read a use as an operand of any Einsum; None where it is not.

    One channel is what one entry of the result is made of: an index along every axis that is summed neither with the
    other operands nor alone. Where axes are implied the operand gets one scale.
    """
    if (use.node.domain, use.node.op_type) != ("", "Einsum") or not use.view.shape:
        return None
    operands, _, result = _equation(use)
    letters = operands[use.index] if use.index < len(operands) else ""
    kept = [axis for axis, letter in enumerate(letters) if letter in result] if letters.isalpha() else []
    return DecodedWeight(use, use.view.stored_axes(*kept), frozenset(range(len(use.view.stored))))


def _projection(use: Use) -> Projection | None:
    if (use.node.domain, use.node.op_type) != ("", "Einsum"):
        return None
    operands, is_explicit, result = _equation(use)
    if not is_explicit or len(operands) != 2:
        return None
    # An ellipsis is one more letter, that of axes whose number is not said.
    weight, x, result = (part.replace("...", ".") for part in (operands[use.index], operands[1 - use.index], result))
    summed_letters = [letter for letter in weight if letter not in result]
    summed, rest = x[len(x) - len(summed_letters) :], x[: len(x) - len(summed_letters)]
    added = result[len(rest) :]
    if not summed or not added or any(len(set(part)) != len(part) for part in (weight, x, result)):
        return None
    if result != rest + added or weight not in (summed + added, added + summed) or set(rest) & set(weight):
        return None
    is_turned = weight == added + summed
    is_open = "." in rest
    if is_open and len(weight) > 2:
        return None
    sizes = use.view.shape
    cut = len(added) if is_turned else len(summed)
    parts = (sizes[cut:], sizes[:cut]) if is_turned else (sizes[:cut], sizes[cut:])
    return Projection(None if is_open else len(rest), *parts, is_turned)


def _equation(use: Use) -> tuple[list[str], bool, str]:
    """The letters of each operand, whether those of the result are given, and what they are."""
    given = use.node.attributes.get("equation")
    text = "" if given is None or given.is_ref() else given.as_string().replace(" ", "")
    operands, arrow, result = text.partition("->")
    return operands.split(","), bool(arrow), result
