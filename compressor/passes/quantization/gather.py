"""Look up integers where a Gather looks up float rows, and scale only what was looked up."""

from __future__ import annotations

import math
from dataclasses import dataclass

from compressor.passes.quantization.edit import Edit
from compressor.passes.quantization.role import IntegerWeight, Role, drop_outer_ones
from compressor.passes.quantization.weights import Use

SHORT_ROW = 16
"""Elements under which a row is not worth four bytes of scale; such a table is scaled by column."""


@dataclass(frozen=True, slots=True, eq=False)
class IntegerGather(Role):
    """A Gather from a table of weights: the embedding of a token, most often."""

    counted_as = "gather_in_int8"

    def rewrite(self, weight: IntegerWeight, edit: Edit) -> None:
        node, axis = self.use.node, gather_axis(self.use)
        table, indices = node.inputs
        assert table is not None
        attributes = {"axis": axis}
        rows = edit.insert(node, "Gather", [weight.rearranged(table, edit), indices], attributes)[0]
        scales = self.use.view.spread(weight.scales)
        if scales.shape[axis] == 1:
            scale = weight.scale_value(drop_outer_ones(scales), edit)
        else:
            # The same Gather over scales of the table's rank: what comes out broadcasts over the rows looked up.
            scale = weight.scale_value(scales, edit)
            scale = edit.insert(node, "Gather", [scale, indices], attributes)[0]
        edit.replace(node, weight.decoded(rows, node, scale, edit))


def match_gather(use: Use) -> Role | None:
    """Read a use as the table of a Gather; None where it is not."""
    if use.node.op_type != "Gather" or use.node.domain != "" or use.index != 0 or not use.view.shape:
        return None
    given = use.node.attributes.get("axis")
    if given is not None and given.is_ref():
        return None
    axis, view = gather_axis(use), use.view
    own, inner = view.stored_axes(axis), view.stored_axes(*range(axis + 1, len(view.shape)))
    is_short = math.prod(view.shape) // view.shape[axis] < SHORT_ROW
    return IntegerGather(use, inner if is_short else own, own | inner)


def gather_axis(use: Use) -> int:
    """The axis, of the table as it is seen, that is looked up along."""
    given = use.node.attributes.get("axis")
    return 0 if given is None else given.as_int() % len(use.view.shape)
