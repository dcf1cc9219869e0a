"""Define what one use asks of its weight's integers, and what becomes of the using operator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.passes.quantization.edit import FLOAT, Edit
from compressor.passes.quantization.options import WeightType
from compressor.passes.quantization.weights import FloatWeight, Use, float_cast


@dataclass(frozen=True, slots=True, eq=False)
class IntegerWeight:
    """A weight in integers: ``weight = (integers - zero_point) * scales``.

    Attributes:
        weight: what it was.
        integers: the stored integers, in the float weight's shape and order.
        zero_point: 0 or 128; the same for every channel.
        scales: float32, of the weight's rank, with size 1 along axes that share a scale.
        float_rows: rows that are zeros in the integers, to be added in float; only uses that can split have them.
    """

    weight: FloatWeight
    integers: ir.Value
    zero_point: int
    scales: NDArray[np.float32]
    float_rows: tuple[int, ...] = ()

    def rearranged(self, value: ir.Value, edit: Edit) -> ir.Value:
        """The integers as `value`, which is the float weight or a rearranged form of it, shows the floats."""
        chain: list[ir.Node] = []
        while value is not self.weight.value:
            node = value.producer()
            assert node is not None
            source = node.inputs[0]
            assert source is not None
            chain.append(node)
            value = source
        integers = self.integers
        for node in reversed(chain):
            if float_cast(node) is not None:
                continue
            given = node.attributes.get("perm")
            attributes = {} if given is None else {"perm": given.as_ints()}
            inputs = [integers, *node.inputs[1:]]
            integers = edit.insert_once(node, node.op_type, inputs, attributes)
        return integers

    def zero_point_value(self, edit: Edit) -> ir.Value | None:
        """The zero point as an operator's input; None where it is 0, the default of every operator used here."""
        if not self.zero_point:
            return None
        return edit.small_constant(self.weight.home, np.array(self.zero_point, np.uint8), "weight_zero_point")

    def shift_value(self, edit: Edit) -> ir.Value:
        """The zero point as a float."""
        return edit.small_constant(self.weight.home, np.array(self.zero_point, np.float32), "weight_shift")

    def scale_value(self, scales: NDArray[Any], edit: Edit) -> ir.Value:
        """Scales as an operator's input."""
        return edit.small_constant(self.weight.home, scales, f"{self.weight.name}_scale")

    def decoded(self, integers: ir.Value, before: ir.Node, scale: ir.Value, edit: Edit) -> ir.Value:
        """Turn rearranged or looked-up integers into floats of the type that the weight is used in."""
        values = edit.insert(before, "Cast", [integers], {"to": FLOAT.value})[0]
        if self.zero_point:
            values = edit.insert(before, "Sub", [values, self.shift_value(edit)])[0]
        values = edit.insert(before, "Mul", [values, scale])[0]
        return self.in_own_type(values, before, edit)

    def in_own_type(self, value: ir.Value, before: ir.Node, edit: Edit) -> ir.Value:
        """Turn float32 into the type that the weight is used in."""
        own = self.weight.dtype
        return value if own == FLOAT else edit.insert(before, "Cast", [value], {"to": own.value})[0]


@dataclass(frozen=True, slots=True, eq=False)
class Role(ABC):
    """One use of a weight, read as something that can work with integers.

    Attributes:
        use: where the weight is used.
        preferred: stored axes along which this use wants scales: one for each output channel.
        allowed: stored axes along which scales may vary without changing the way the use is computed.
    """

    counted_as: ClassVar[str]
    """Name of the count of such uses in a pass result."""

    use: Use
    preferred: frozenset[int]
    allowed: frozenset[int]

    @property
    def weight_types(self) -> frozenset[WeightType]:
        """Types that this use gets along with; empty where the choice makes no difference to it."""
        return frozenset()

    @property
    def summed_axis(self) -> int | None:
        """The stored axis that neighbours along the sum of an integer product are neighbours on, where there is one."""
        return None

    @property
    def shares_operator(self) -> bool:
        """Other weights of the same operator may become smaller as well, in whatever way."""
        return False

    @property
    def can_split(self) -> bool:
        """This use can take some rows of the weight in float and the rest in integers."""
        return False

    @abstractmethod
    def rewrite(self, weight: IntegerWeight, edit: Edit) -> None:
        """Make the operator work with the integers."""


def drop_outer_ones(scales: NDArray[Any], keep: int = 0) -> NDArray[Any]:
    """Write scales with as few axes as broadcasting needs: a scalar where there is one, ``[N]`` for ``[1, N]``."""
    while scales.ndim > keep and scales.shape[0] == 1:
        scales = scales[0]
    return scales


def rank_of(value: ir.Value | None) -> int | None:
    """Number of axes, where the model says."""
    return len(value.shape) if value is not None and value.shape is not None else None
