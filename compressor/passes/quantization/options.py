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

    BLOCKWISE_8 = "blockwise-8"
    """Integers with a scale for each block of weights, multiplied by operators that only ONNX Runtime has.

    Width and form are one choice, not two options: no other scheme has a width to choose, and whoever tries schemes one
    after another finds all of them in this list.
    """

    BLOCKWISE_4 = "blockwise-4"
    """The same in four bits, each block with a zero point as well: half the bytes, a larger error."""

    FP16 = "fp16"
    """float16 in the file, float32 arithmetic: half the bytes of any weight, whatever uses it."""

    @property
    def block_bits(self) -> int | None:
        """Width of integers in blocks; None for schemes without blocks."""
        return {Scheme.BLOCKWISE_8: 8, Scheme.BLOCKWISE_4: 4}.get(self)


class WeightType(Enum):
    """How the weights of integer products are stored; both take one byte and mean the same values."""

    INT8 = "int8"
    """Zero point 0: the fastest; scaled so that x86 processors without VNNI do not saturate either."""

    UINT8 = "uint8"
    """Zero point 128: exact on every processor, slower on most."""
