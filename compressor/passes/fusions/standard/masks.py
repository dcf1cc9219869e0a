"""Keep the lowest number of a type out of masks.

The standard's Attention gives 0 for a query whose scores are minus infinity all along. ONNX Runtime (1.31, CPU) takes a
mask's lowest finite number for minus infinity there. Exports write that number where they mean neither: it swallows the
score, so a query without any key gets equal probabilities, and its result is the mean of the values. The number next to
it does the same in every runtime.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from compressor.passes.fusions.graph_edit import GraphEdit
from compressor.passes.fusions.match import made_by, number_of


def without_lowest(edit: GraphEdit, before: ir.Node, mask: ir.Value) -> ir.Value:
    """`mask` with the number next to the lowest in its place; itself where it is known to hold none."""
    spread, choice = made_by(mask, "Expand"), made_by(mask, "Where")
    name = mask.name or "mask"
    if spread is not None and spread.inputs[0] is not None:
        inner = without_lowest(edit, before, spread.inputs[0])
        if inner is spread.inputs[0]:
            return mask
        return edit.insert(before, "Expand", [inner, spread.inputs[1]], name=f"{name}_spread").outputs[0]
    dtype = edit.facts.dtype(mask) or ir.DataType.FLOAT
    kind = dtype.numpy()
    lowest = np.finfo(kind).min
    numbers = [number_of(value) for value in choice.inputs[1:]] if choice is not None else [None]
    next_to_lowest = float(np.nextafter(lowest, kind.type(0)))
    if choice is None or None in numbers:
        is_lowest = edit.insert(before, "Equal", [mask, edit.number(float(lowest), dtype)], name=f"{name}_is_lowest")
        inputs = [is_lowest.outputs[0], edit.number(next_to_lowest, dtype), mask]
        return edit.insert(before, "Where", inputs, name=f"{name}_raised").outputs[0]
    if lowest not in numbers:
        return mask
    branches: list[ir.Value | None] = [
        edit.number(next_to_lowest, dtype) if number == lowest else value
        for number, value in zip([None, *numbers], choice.inputs, strict=True)
    ]
    return edit.insert(before, "Where", branches, name=f"{name}_raised").outputs[0]
