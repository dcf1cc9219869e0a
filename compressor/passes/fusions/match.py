"""Speak of graphs the way a pattern does: who makes a value, who alone uses it, which number it is."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

STANDARD_DOMAINS = ("", "ai.onnx")
MAX_SMALL_ELEMENTS = 64
"""A constant of at most this many elements is read by the rules; larger ones are weights and stay untouched."""


def made_by(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """The node that makes `value`, if it is one of these standard operators."""
    node = value.producer() if value is not None else None
    return node if node is not None and is_operator(node, *op_types) else None


def is_operator(node: ir.Node, *op_types: str) -> bool:
    """`node` is one of these operators of the ONNX standard."""
    return node.domain in STANDARD_DOMAINS and node.op_type in op_types


def is_contrib(node: ir.Node, *op_types: str) -> bool:
    """`node` is one of these operators of ONNX Runtime."""
    return node.domain == "com.microsoft" and node.op_type in op_types


def sole_user(value: ir.Value) -> ir.Node | None:
    """The only node that reads `value`; None if it is read more than once, never, or by the caller of the graph."""
    uses = value.uses()
    if len(uses) != 1 or value.is_graph_output():
        return None
    node = next(iter(uses))[0]
    # A node inside a branch of an If reads outer values, but cannot be merged with what makes them.
    producer = value.producer()
    return node if producer is None or node.graph is producer.graph else None


def only_user(value: ir.Value, *op_types: str) -> ir.Node | None:
    """The only node that reads `value`, if it is one of these standard operators."""
    node = sole_user(value)
    return node if node is not None and is_operator(node, *op_types) else None


def other_input(node: ir.Node, value: ir.Value) -> ir.Value | None:
    """The other operand of a binary `node`; None if both are `value`."""
    if len(node.inputs) != 2 or node.inputs[0] is node.inputs[1]:
        return None
    return node.inputs[1] if node.inputs[0] is value else node.inputs[0]


def tensor_of(value: ir.Value | None, depth: int = 4) -> ir.TensorProtocol | None:
    """The tensor behind an initializer nobody can override or a Constant node, through Identity."""
    if value is None:
        return None
    if value.is_initializer():
        return None if value.is_graph_input() else value.const_value
    node = value.producer()
    if node is None or depth == 0:
        return None
    if is_operator(node, "Identity") and node.inputs:
        return tensor_of(node.inputs[0], depth - 1)
    return _constant_node_tensor(node) if is_operator(node, "Constant") else None


def numbers_of(value: ir.Value | None) -> list[float] | None:
    """The elements of a small numeric constant, flat; None for anything else."""
    tensor = tensor_of(value)
    if tensor is None or tensor.size > MAX_SMALL_ELEMENTS or tensor.dtype == ir.DataType.STRING:
        return None
    return [element.item() for element in tensor.numpy().reshape(-1)]


def number_of(value: ir.Value | None) -> float | None:
    """The single element of a constant that broadcasts to anything without changing its rank or shape."""
    tensor = tensor_of(value)
    if tensor is None or tensor.size != 1 or len(tensor.shape) > 1:
        return None
    numbers = numbers_of(value)
    return float(numbers[0]) if numbers else None


def is_number(value: ir.Value | None, expected: float, tolerance: float = 1e-4) -> bool:
    """`value` is this constant, as near as half precision and a few printed digits can say it."""
    number = number_of(value)
    return number is not None and math.isclose(number, expected, rel_tol=tolerance, abs_tol=1e-12)


def operands(node: ir.Node) -> Iterable[tuple[ir.Value, ir.Value]]:
    """Both ways round of reading a binary, commutative `node`."""
    if len(node.inputs) == 2:
        left, right = node.inputs
        if left is not None and right is not None:
            yield left, right
            if left is not right:
                yield right, left


def scalar_operand(node: ir.Node) -> tuple[ir.Value, float] | None:
    """Split a commutative `node` into its tensor and its constant number."""
    for tensor, constant in operands(node):
        number = number_of(constant)
        if number is not None:
            return tensor, number
    return None


def is_at_end(axis: int, rank: int | None) -> bool:
    """`axis` is the last one of a tensor of `rank` axes (None: unknown)."""
    return axis == -1 or (rank is not None and axis == rank - 1)


def int_attribute(node: ir.Node, name: str, default: int) -> int:
    """An integer attribute, or its default."""
    attribute = node.attributes.get(name)
    return default if attribute is None or attribute.is_ref() else attribute.as_int()


def float_attribute(node: ir.Node, name: str, default: float) -> float:
    """A float attribute, or its default."""
    attribute = node.attributes.get(name)
    return default if attribute is None or attribute.is_ref() else attribute.as_float()


def ints_attribute(node: ir.Node, name: str) -> tuple[int, ...] | None:
    """A list of integers, or None where it is not given."""
    attribute = node.attributes.get(name)
    return None if attribute is None or attribute.is_ref() else tuple(attribute.as_ints())


def is_float_cast(node: ir.Node) -> bool:
    """A Cast to float32 or float16."""
    return is_operator(node, "Cast") and int_attribute(node, "to", 0) in (ir.DataType.FLOAT, ir.DataType.FLOAT16)


def is_swap(node: ir.Node) -> bool:
    """A Transpose that exchanges the last two axes of three or more."""
    perm = ints_attribute(node, "perm") or ()
    return len(perm) > 2 and perm == (*range(len(perm) - 2), len(perm) - 1, len(perm) - 2)


def axes_of(node: ir.Node) -> tuple[int, ...] | None:
    """The axes a node works on, given as attribute (older opsets) or as constant second input (newer ones)."""
    given = ints_attribute(node, "axes")
    if given is not None:
        return given
    axes = numbers_of(node.inputs[1]) if len(node.inputs) > 1 else None
    return None if axes is None else tuple(int(axis) for axis in axes)


def _constant_node_tensor(node: ir.Node) -> ir.TensorProtocol | None:
    for name, attribute in node.attributes.items():
        if attribute.is_ref():
            return None
        if name == "value":
            return attribute.as_tensor()
        if name in ("value_int", "value_ints"):
            return ir.tensor(np.asarray(attribute.value, dtype=np.int64))
        if name in ("value_float", "value_floats"):
            return ir.tensor(np.asarray(attribute.value, dtype=np.float32))
    return None
