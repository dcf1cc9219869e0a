"""Say where the bytes of a model are, and why some of them stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """A weight or pattern that was a candidate and was left alone.

    Attributes:
        candidate: what was left alone, by the name a user finds in the model.
        reason: why, in words that stand alone.
        weight_bytes: bytes of weights that stay as they were because of it; 0 where no weight is concerned.
    """

    candidate: str
    reason: str
    weight_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Where the bytes of a model are, as they are (or would be) on disk.

    Attributes:
        total_bytes: all files of the model together.
        weight_bytes: bytes of weights by ONNX data type name, for example ``{"FLOAT": 4096, "INT8": 512}``; blocks of
            4 bits that an operator reads out of UINT8 are ``UINT4``.
        metadata_bytes: documentation strings, metadata properties and recorded shapes, which no computation needs.
        duplicate_bytes: weight bytes that repeat another weight of the same type and shape, which any node could read.
    """

    total_bytes: int
    weight_bytes: Mapping[str, int]
    metadata_bytes: int = 0
    duplicate_bytes: int = 0

    @property
    def all_weight_bytes(self) -> int:
        """Bytes of all weights."""
        return sum(self.weight_bytes.values())

    @property
    def graph_bytes(self) -> int:
        """What is left: nodes, names, interface."""
        return self.total_bytes - self.all_weight_bytes - self.metadata_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A part of a model by the hierarchy of its names, such as ``encoder.layer.0``, and what is inside it.

    Attributes:
        name: the last part of its path, such as ``0``; empty for the whole model.
        weight_bytes: bytes of all weights in it by ONNX data type; a weight that several layers use counts once.
        weights: how many there are.
        parts: the layers inside it, the largest first; weights of its own are what they leave of its bytes.
    """

    name: str
    weight_bytes: Mapping[str, int]
    weights: int
    parts: tuple[Layer, ...] = ()

    @property
    def all_weight_bytes(self) -> int:
        """Bytes of all weights in it."""
        return sum(self.weight_bytes.values())
