"""Read how a gate, such as erf, tanh or sigmoid of a value, is applied to that value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from compressor.passes.fusions.match import is_float_cast, made_by, number_of, only_user, operands, other_input

MAX_STEPS = 6
"""Operators between a gate and the value it is multiplied with, and one more factor; the longest seen is 4."""

MAX_FACTORS = 3
"""Factors and casts of the value before it is multiplied."""


@dataclass(frozen=True, slots=True)
class Gated:
    """`result` = `source` * (`slope` * gate + `offset`), but for casts between float types."""

    source: ir.Value
    result: ir.Value
    slope: float
    offset: float

    def is_line(self, slope: float, offset: float) -> bool:
        """Slope and offset are these, as near as a few printed digits can say it."""
        return math.isclose(self.slope, slope, rel_tol=1e-4) and math.isclose(
            self.offset, offset, rel_tol=1e-4, abs_tol=1e-9
        )


def read_gate(gate: ir.Value) -> Iterator[Gated]:
    """Every way to read a value behind `gate` as another one times a line of the gate."""
    value, slope, offset = gate, 1.0, 0.0
    sources: list[tuple[ir.Value, float]] = []
    for _ in range(MAX_STEPS):
        node = only_user(value, "Add", "Sub", "Mul", "Div", "Cast")
        if node is None:
            return
        if node.op_type == "Cast":
            if not is_float_cast(node):
                return
            value = node.outputs[0]
            continue
        other = other_input(node, value)
        number = number_of(other)
        if number is not None:
            line = _moved(node, value, slope, offset, number)
            if line is None or (sources and node.op_type in ("Add", "Sub")):
                return
            slope, offset = line
        elif other is not None and not sources and node.op_type == "Mul":
            sources = list(_factored(other))
        else:
            return
        value = node.outputs[0]
        for source, factor in sources:
            yield Gated(source, value, slope * factor, offset * factor)


def _moved(node: ir.Node, value: ir.Value, slope: float, offset: float, number: float) -> tuple[float, float] | None:
    """The line after `node` has combined `value` with a number."""
    match node.op_type:
        case "Add":
            return slope, offset + number
        case "Sub":
            return (slope, offset - number) if node.inputs[0] is value else (-slope, number - offset)
        case "Mul":
            return slope * number, offset * number
    return (slope / number, offset / number) if node.inputs[0] is value and number else None


def _factored(value: ir.Value) -> Iterator[tuple[ir.Value, float]]:
    """`value` as what it was before casts and constant factors, and the factor."""
    factor = 1.0
    yield value, factor
    for _ in range(MAX_FACTORS):
        node = made_by(value, "Mul", "Div", "Cast")
        if node is None:
            return
        if node.op_type == "Cast":
            before = node.inputs[0] if is_float_cast(node) else None
            if before is None:
                return
            value = before
        else:
            split = _without_factor(node)
            if split is None:
                return
            value, factor = split[0], factor * split[1]
        yield value, factor


def _without_factor(node: ir.Node) -> tuple[ir.Value, float] | None:
    """Split a product or quotient into its tensor and the constant number it is multiplied with."""
    pairs = [tuple(node.inputs)] if node.op_type == "Div" else list(operands(node))
    for tensor, constant in pairs:
        number = number_of(constant)
        if tensor is not None and number:
            return tensor, 1 / number if node.op_type == "Div" else number
    return None
