"""Store an operand of an Einsum in integers, scaled along the axes that its result keeps."""

from __future__ import annotations

from compressor.passes.quantization.decoded import DecodedWeight
from compressor.passes.quantization.role import Role
from compressor.passes.quantization.weights import Use


def match_einsum(use: Use) -> Role | None:
    """Read a use as an operand of an Einsum; None where it is not.

    One channel is what one entry of the result is made of: an index along every axis that is summed neither with the
    other operands nor alone. Where axes are implied the operand gets one scale.
    """
    node = use.node
    if (node.domain, node.op_type) != ("", "Einsum"):
        return None
    rank = len(use.view.shape)
    kept = [axis for axis, letter in enumerate(_letters(use)) if letter in _result_letters(use)]
    return DecodedWeight(use, use.view.stored_axes(*kept), frozenset(range(len(use.view.stored)))) if rank else None


def _letters(use: Use) -> str:
    """The letter of each axis of the operand; none where the equation leaves some out."""
    operands, arrow, _ = _equation(use).partition("->")
    parts = operands.split(",")
    letters = parts[use.index] if arrow and use.index < len(parts) else ""
    return letters if len(letters) == len(use.view.shape) and letters.isalpha() else ""


def _result_letters(use: Use) -> str:
    return _equation(use).partition("->")[2]


def _equation(use: Use) -> str:
    given = use.node.attributes.get("equation")
    return "" if given is None or given.is_ref() else given.as_string().replace(" ", "")
