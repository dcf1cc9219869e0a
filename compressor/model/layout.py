"""Decide how a model lies on disk: all in one file, or weights in a data file beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import onnx_ir as ir

from compressor.model import wire
from compressor.model.carried import carried
from compressor.model.skeleton import to_skeleton
from compressor.model.weights import MARK, DetachedWeight, StoredWeight

PROTOBUF_LIMIT = 2**31 - 1
"""Bytes of the largest message that protobuf, and so ONNX, can read."""

DIGEST_LENGTH = 16
"""Hexadecimal digits of a data file's digest that go into its name."""

_PAGE = 4096
"""External weights of a page or more start on a page, so that runtimes can map them (onnx.proto, external_data)."""

_ALIGNMENT = 64


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where every byte of a model goes.

    Attributes:
        skeleton: the serialized model, with tokens for weights.
        weights: the tensor of each token.
        offsets: first byte in the data file, by token; empty where weights are embedded.
        data_bytes: length of the data file; 0 where there is none.
    """

    skeleton: bytes
    weights: Mapping[str, DetachedWeight]
    offsets: Mapping[str, int]
    data_bytes: int

    @property
    def is_embedded(self) -> bool:
        """Weights are in the ``.onnx`` file itself."""
        return not self.offsets

    @cached_property
    def total_bytes(self) -> int:
        """Bytes of all files together, for a data file's name of the usual length."""
        return wire.length_of(self.main_file("x" * (2 * DIGEST_LENGTH))) + self.data_bytes

    def main_file(self, location: str) -> list[wire.Piece]:
        """What the ``.onnx`` file holds, given the name of the data file."""
        if self.is_embedded:
            return self._embedded

        def exchange(token: str) -> list[wire.Piece]:
            offset, length = self.offsets[token], self.weights[token].nbytes
            return [wire.reference({"location": location, "offset": str(offset), "length": str(length)})]

        return wire.attach(self.skeleton, exchange, mark=MARK.encode())

    @cached_property
    def _embedded(self) -> list[wire.Piece]:
        def exchange(token: str) -> list[wire.Piece]:
            return wire.embedded(token, self.weights[token].nbytes)

        return wire.attach(self.skeleton, exchange, mark=MARK.encode())


def lay_out(model: ir.Model) -> Layout:
    """Embed the weights where protobuf allows; otherwise, or where many weights share bytes, put them beside.

    Embedding writes aliases (weights that share a byte range of the source) once each. Where that would make the result
    larger than the source, they stay aliases in a data file.
    """
    skeleton = to_skeleton(model)
    proto = skeleton.proto.SerializeToString(deterministic=True)
    embedded = Layout(skeleton=proto, weights=skeleton.weights, offsets={}, data_bytes=0)
    aliased = _aliased_bytes(skeleton.weights)
    facts = carried(model)
    source_bytes = sum(file.size for file in facts.files) if facts else 0
    if embedded.total_bytes <= PROTOBUF_LIMIT and (not aliased or embedded.total_bytes <= source_bytes):
        return embedded
    offsets, end = _offsets(skeleton.weights)
    return Layout(skeleton=proto, weights=skeleton.weights, offsets=offsets, data_bytes=end)


def aligned(end: int, length: int) -> int:
    """First byte, at `end` or after it, for an external weight of `length` bytes."""
    step = _PAGE if length >= _PAGE else _ALIGNMENT
    return -(-end // step) * step


def _aliased_bytes(weights: Mapping[str, DetachedWeight]) -> int:
    stored = [weight for weight in weights.values() if isinstance(weight, StoredWeight)]
    unique = {weight.key: weight.nbytes for weight in stored}
    return sum(weight.nbytes for weight in stored) - sum(unique.values())


def _offsets(weights: Mapping[str, DetachedWeight]) -> tuple[dict[str, int], int]:
    offsets: dict[str, int] = {}
    seen: dict[tuple[str, int, int], int] = {}
    end = 0
    for token, weight in weights.items():
        if isinstance(weight, StoredWeight) and weight.key in seen:
            offsets[token] = seen[weight.key]
            continue
        offsets[token] = aligned(end, weight.nbytes)
        end = offsets[token] + weight.nbytes
        if isinstance(weight, StoredWeight):
            seen[weight.key] = offsets[token]
    return offsets, end
