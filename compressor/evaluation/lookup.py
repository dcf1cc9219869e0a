"""Look up sizes, constants and attributes that the values of a graph depend on, across function calls."""

from __future__ import annotations

from typing import TypeAlias

import onnx_ir as ir

# What each input of the functions entered stands for: (the function's input, the caller's value), outermost first.
Calls: TypeAlias = tuple[tuple[ir.Value, ir.Value], ...]

_FAR = 16
_KEEPS_SIZES = {"Identity", "Cast", "DequantizeLinear", "Dropout", "Mul", "Div"}


def input_of(node: ir.Node, position: int) -> ir.Value | None:
    """The input at a position; None where the node has none there."""
    return node.inputs[position] if 0 <= position < len(node.inputs) else None


def integer_attribute(node: ir.Node, name: str, default: int) -> int:
    """Read an integer attribute; inside functions it may be a reference to one of the call's."""
    attribute = node.attributes.get(name)
    if attribute is None or attribute.is_ref() or attribute.type != ir.AttributeType.INT:
        return default
    return attribute.as_int()


def constant_integer(value: ir.Value | None, calls: Calls = ()) -> int | None:
    """Read a constant of one element as an integer; None for anything else."""
    tensor = _constant(value, calls)
    if tensor is None or tensor.size != 1 or tensor.dtype == ir.DataType.STRING:
        return None
    number = float(tensor.numpy().reshape(-1)[0])
    return int(number) if number == number and abs(number) < 2**53 else None


def axis_size(value: ir.Value | None, axis: int, calls: Calls = ()) -> int | None:
    """Size of one axis of `value`, looked up through operators that keep it; None where nothing fixes it."""
    for _ in range(_FAR):
        value = _argument(value, calls)
        shape = _shape(value)
        if shape is not None and -len(shape) <= axis < len(shape) and shape[axis] is not None:
            return shape[axis]
        node = value.producer() if value is not None else None
        if node is None:
            return None
        if node.op_type == "Transpose":
            permutation = node.attributes.get("perm")
            order = permutation.as_ints() if permutation is not None and not permutation.is_ref() else ()
            if not -len(order) <= axis < len(order):
                return None
            axis = order[axis]
        elif node.op_type not in _KEEPS_SIZES:
            return None
        value = input_of(node, 0)
    return None


def rank_of(value: ir.Value | None, calls: Calls = ()) -> int | None:
    """Number of axes, where it is known."""
    shape = _shape(_argument(value, calls))
    return len(shape) if shape is not None else None


def _argument(value: ir.Value | None, calls: Calls) -> ir.Value | None:
    """What a function's input stands for, through nested calls."""
    for inner, outer in reversed(calls):
        if value is inner:
            value = outer
    return value


def _constant(value: ir.Value | None, calls: Calls) -> ir.TensorProtocol | None:
    argument = _argument(value, calls)
    return ir.convenience.get_const_tensor(argument) if argument is not None else None


def _shape(value: ir.Value | None) -> tuple[int | None, ...] | None:
    """Sizes of a constant or a value; None for each that is open, None for all if the rank is."""
    if value is None:
        return None
    tensor = ir.convenience.get_const_tensor(value)
    shape = tensor.shape if tensor is not None else value.shape
    if shape is None:
        return None
    return tuple(size if isinstance(size, int) and size >= 0 else None for size in shape)
