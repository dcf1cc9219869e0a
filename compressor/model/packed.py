"""Tell what the bytes of a weight hold, where an operator keeps several values in each."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from compressor.model.tensors import Held

_PACKED_INPUTS = {"MatMulNBits": (1, 3), "GatherBlockQuantized": (0, 3), "MatMulBnb4": (1,)}
"""Operators of ONNX Runtime, and their inputs whose bytes hold several integers each: weights and zero points."""

_USUAL_BITS = 4
"""What these operators take where the attribute ``bits`` is left out."""


_CARRIERS = frozenset({"Identity", "Reshape"})
"""Operators that hand bytes on as they are: products and lookups want one storage in two shapes."""


def type_of_values(held: Held) -> str:
    """Name the ONNX data type of what `held` stores: ``UINT4`` where an operator keeps two integers in each UINT8."""
    name, value = held.tensor.dtype.name, held.read_as
    if held.tensor.dtype is not ir.DataType.UINT8 or value is None:
        return name
    bits = set(_bits_read(value))
    return f"UINT{bits.pop()}" if len(bits) == 1 else name


def _bits_read(value: ir.Value) -> Iterator[int]:
    """For each use of `value` the bits of what is read there; 8 where bytes are read as they are."""
    for node, position in value.uses():
        if position == 0 and node.op_type in _CARRIERS and node.domain in ("", "ai.onnx"):
            yield from _bits_read(node.outputs[0])
        elif node.domain == "com.microsoft" and position in _PACKED_INPUTS.get(node.op_type, ()):
            yield node.attributes.get_int("bits", _USUAL_BITS)
        else:
            yield 8
