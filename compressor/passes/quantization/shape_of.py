"""Let operators that ask a weight for its shape ask the integers; converters of Einsum leave such questions."""

from __future__ import annotations

from dataclasses import dataclass

from compressor.passes.quantization.edit import Edit
from compressor.passes.quantization.role import IntegerWeight, Role
from compressor.passes.quantization.weights import Use


@dataclass(frozen=True, slots=True, eq=False)
class ShapeOfWeight(Role):
    """A Shape or Size, to which values mean nothing."""

    counted_as = "shapes_asked_of_integers"

    @property
    def shares_operator(self) -> bool:
        return True

    def rewrite(self, weight: IntegerWeight, edit: Edit) -> None:
        seen = self.use.node.inputs[self.use.index]
        assert seen is not None
        self.use.node.replace_input_with(self.use.index, weight.rearranged(seen, edit))


def match_shape(use: Use) -> Role | None:
    """Read a use as one of the weight's shape alone; None where it is not. Any scales will do."""
    if use.node.domain != "" or use.node.op_type not in ("Shape", "Size"):
        return None
    return ShapeOfWeight(use, frozenset(), frozenset(range(len(use.view.stored))))
