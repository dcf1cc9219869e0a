"""Say whom a result is for: which operators may be put in."""

from __future__ import annotations

from enum import Enum


class Target(Enum):
    """Whose operators passes may put in."""

    ORT = "ort"
    """ONNX Runtime: the standard's operators and those of `com.microsoft`."""

    STANDARD = "standard"
    """Any runtime: the standard's operators alone, at the opset that has them."""


FIRST_OPSETS = {
    "LayerNormalization": 17,
    "Gelu": 20,
    "Attention": 23,
    "RMSNormalization": 23,
    "RotaryEmbedding": 23,
}
"""The opset that each fused operator of the standard came with."""


def lack_of(op_type: str, opset: int) -> str:
    """Why a fused operator of the standard cannot be put in; empty where it can."""
    return "" if opset >= FIRST_OPSETS[op_type] else f"opset {opset} has no {op_type}"
