"""Name the choices a user has when weights become integers."""

from __future__ import annotations

from enum import Enum


class Scheme(Enum):
    """What becomes of the arithmetic once a weight is stored as an integer."""

    DYNAMIC = "dynamic"
    """MatMul and Gemm multiply integers: activations are quantized per tensor at run time."""

    WEIGHT_ONLY = "weight-only"
    """Integers in the file, float arithmetic: the same size, a far smaller error, no faster.

    ONNX Runtime decodes the weights of products when it loads the model, so it needs as much memory as before.
    """


class WeightType(Enum):
    """How the weights of integer products are stored; both take one byte and mean the same values."""

    INT8 = "int8"
    """Zero point 0: the fastest; scaled so that x86 processors without VNNI do not saturate either."""

    UINT8 = "uint8"
    """Zero point 128: exact on every processor, slower on most."""
