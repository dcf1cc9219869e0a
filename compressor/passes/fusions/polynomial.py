"""Recognize a polynomial of one value, however an exporter has written it."""

from __future__ import annotations

import math

import onnx_ir as ir

from compressor.passes.fusions.match import is_float_cast, is_operator, number_of

Polynomial = dict[int, float]
"""Coefficient by power."""

MAX_POWER = 4


def polynomial_of(value: ir.Value | None, variable: ir.Value, depth: int = 8) -> Polynomial | None:
    """Write `value` as a polynomial of `variable`; None where it is not one, or one of a high power.

    Casts between float types count as nothing, as mixed precision puts them anywhere.
    """
    if value is variable:
        return {1: 1.0}
    number = number_of(value)
    if number is not None:
        return {0: number}
    node = value.producer() if value is not None else None
    if node is not None and depth and is_float_cast(node):
        return polynomial_of(node.inputs[0], variable, depth - 1)
    if node is None or depth == 0 or not is_operator(node, "Add", "Sub", "Mul", "Div", "Pow") or len(node.inputs) != 2:
        return None
    left = polynomial_of(node.inputs[0], variable, depth - 1)
    right = polynomial_of(node.inputs[1], variable, depth - 1) if left is not None else None
    return None if left is None or right is None else _combined(node.op_type, left, right)


def are_close(left: Polynomial | None, right: Polynomial, tolerance: float = 1e-3) -> bool:
    """Both have the same powers with the same coefficients, up to the digits exporters print."""
    if left is None or left.keys() != right.keys():
        return False
    return all(math.isclose(left[power], right[power], rel_tol=tolerance) for power in left)


def _combined(op_type: str, left: Polynomial, right: Polynomial) -> Polynomial | None:
    constant = right.get(0) if right.keys() <= {0} else None
    match op_type:
        case "Add":
            return _sum(left, right, 1.0)
        case "Sub":
            return _sum(left, right, -1.0)
        case "Mul":
            return _product(left, right)
        case "Div":
            return {power: factor / constant for power, factor in left.items()} if constant else None
    if constant is None or constant != int(constant) or not 1 <= constant <= MAX_POWER:
        return None
    result: Polynomial | None = {0: 1.0}
    for _ in range(int(constant)):
        result = _product(result, left) if result is not None else None
    return result


def _sum(left: Polynomial, right: Polynomial, sign: float) -> Polynomial:
    powers = left.keys() | right.keys()
    return {power: left.get(power, 0.0) + sign * right.get(power, 0.0) for power in powers}


def _product(left: Polynomial, right: Polynomial) -> Polynomial | None:
    result: Polynomial = {}
    for a, x in left.items():
        for b, y in right.items():
            if a + b > MAX_POWER:
                return None
            result[a + b] = result.get(a + b, 0.0) + x * y
    return result
