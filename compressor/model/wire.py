"""Take weight bytes out of a serialized model, or put them back in, without parsing or copying them.

An ONNX file is one protobuf message. Its wire format (https://protobuf.dev/programming-guides/encoding/) is a sequence
of fields, each a key, ``number << 3 | wire type``, and a value; nested messages carry their length in front. So a
weight is a byte range of the file, found by hopping over lengths, and exchanging it for something shorter or longer
changes only the lengths of the messages around it. Field numbers are those of onnx.proto
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from compressor.errors import ModelError
from compressor.model.files import FileWindow

MAX_DEPTH = 100
"""Nested messages that protobuf readers accept by default; each nested If takes three."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_KEY = 35
"""Bits in the bytes of a key, of which readers of protobuf take five; other numbers have ten."""

_NESTED: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
}
_DATA_TYPE, _FLOAT_DATA, _RAW_DATA, _DOUBLE_DATA, _EXTERNAL_DATA, _LOCATION = 2, 4, 9, 10, 13, 14
_ELSEWHERE = {5, 6, 7, 11, _EXTERNAL_DATA}
"""Fields that hold a tensor's values, or say where they are, in a way that is no plain byte range here."""

_PACKED_AS_RAW = {(_FLOAT_DATA, 1), (_FLOAT_DATA, 14), (_DOUBLE_DATA, 11), (_DOUBLE_DATA, 15)}
"""Typed fields whose packed form is the raw form, by (field, data type): float, complex64; double, complex128."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message: its number, wire type, varint value, and where key, value and end lie."""

    number: int
    wire_type: int
    varint: int
    key: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Weight:
    """A place where `length` bytes of the weight called `token` go."""

    token: str
    length: int


Source = memoryview | FileWindow
Piece = memoryview | bytes | Weight
Edit = Callable[[Source, list[Field]], "list[Piece] | None"]


def detach(data: Source, new_token: Callable[[], str], *, at_least: int) -> tuple[bytes, dict[str, tuple[int, int]]]:
    """Exchange every weight of `at_least` bytes in a serialized model for a reference.

    Returns the model without them, where each is external data whose location is a token, and, by token, the byte range
    in `data`. Tensors that already name external data are left as they are.

    Raises:
        ModelError: `data` is not a protobuf message, or is nested too deeply.
    """
    found: dict[str, tuple[int, int]] = {}

    def take_out(view: Source, fields: list[Field]) -> list[Piece] | None:
        payload = _payload(fields)
        if payload is None or payload.end - payload.start < at_least:
            return None
        token = new_token()
        found[token] = (payload.start, payload.end - payload.start)
        kept: list[Piece] = [view[f.key : f.end] for f in fields if f is not payload]
        return [*kept, reference({"location": token})]

    pieces = rewrite(data, take_out, lambda start, end: end - start >= at_least)
    return b"".join(p for p in pieces if not isinstance(p, Weight)), found


def attach(skeleton: bytes, exchange: Callable[[str], list[Piece]], *, mark: bytes) -> list[Piece]:
    """Put something in the place of each reference of a skeleton: a weight's bytes, or another reference.

    `exchange` gives, for the token of a tensor, the fields that replace its external data. Tokens start with `mark`.
    """
    places = list(_occurrences(skeleton, mark))

    def put_in(view: Source, fields: list[Field]) -> list[Piece] | None:
        token = _token(view, fields, mark)
        if token is None:
            return None
        kept: list[Piece] = [view[f.key : f.end] for f in fields if f.number not in (_EXTERNAL_DATA, _LOCATION)]
        return [*kept, *exchange(token)]

    def is_marked(start: int, end: int) -> bool:
        at = bisect_left(places, start)
        return at < len(places) and places[at] < end

    return rewrite(memoryview(skeleton), put_in, is_marked)


def embedded(token: str, length: int) -> list[Piece]:
    """Fields of a tensor that holds `length` bytes itself."""
    return [_key(_RAW_DATA, _BYTES) + _encode(length), Weight(token, length)]


def reference(entries: Mapping[str, str]) -> bytes:
    """Fields of a tensor whose bytes are external, with these external_data entries."""
    written = b""
    for key, value in entries.items():
        entry = _message(1, key.encode()) + _message(2, value.encode())
        written += _message(_EXTERNAL_DATA, entry)
    return written + _key(_LOCATION, _VARINT) + b"\x01"


def length_of(pieces: list[Piece]) -> int:
    """Bytes that `pieces` take when written."""
    return sum(piece.length if isinstance(piece, Weight) else len(piece) for piece in pieces)


def rewrite(data: Source, edit: Edit, is_worth_entering: Callable[[int, int], bool]) -> list[Piece]:
    """Rewrite the tensors of a serialized model; all else is passed through as it is.

    `edit` gets the whole model's bytes and the fields of one tensor, and returns the tensor's new content or None to
    leave it. Only messages that `is_worth_entering` (by first and last byte) are looked into.
    """
    pieces = _rewrite(data, 0, len(data), "model", edit, is_worth_entering, 0)
    return [data[0 : len(data)]] if pieces is None else pieces


def _rewrite(
    data: Source,
    start: int,
    end: int,
    kind: str,
    edit: Edit,
    enter: Callable[[int, int], bool],
    depth: int,
) -> list[Piece] | None:
    if depth > MAX_DEPTH:
        raise ModelError(f"is nested more than {MAX_DEPTH} messages deep; no reader of ONNX takes that")
    if kind == "tensor":
        return edit(data, list(_fields(data, start, end)))
    nested = _NESTED[kind]
    pieces: list[Piece] = []
    copied = start
    for field in _fields(data, start, end):
        inner = nested.get(field.number)
        if inner is None or field.wire_type != _BYTES or not enter(field.start, field.end):
            continue
        new = _rewrite(data, field.start, field.end, inner, edit, enter, depth + 1)
        if new is None:
            continue
        pieces += [data[copied : field.key], _key(field.number, _BYTES) + _encode(length_of(new)), *new]
        copied = field.end
    if copied == start:
        return None
    return [*pieces, data[copied:end]]


def _fields(data: Source, position: int, end: int) -> Iterator[Field]:
    while position < end:
        key_at = position
        key, position = _varint(data, position, end, _LONGEST_KEY)
        number, wire_type, value = key >> 3, key & 7, 0
        if wire_type == _VARINT:
            start = position
            value, position = _varint(data, position, end)
        elif wire_type == _BYTES:
            length, start = _varint(data, position, end)
            position = start + length
        elif wire_type in (_FIXED32, _FIXED64):
            start = position
            position += 4 if wire_type == _FIXED32 else 8
        else:
            raise ModelError(f"is not an ONNX model: byte {key_at} starts no protobuf field")
        if position > end or number == 0:
            raise ModelError(f"is not a whole ONNX model: the field at byte {key_at} does not end inside its message")
        yield Field(number, wire_type, value, key_at, start, position)


def _varint(data: Source, position: int, end: int, bits: int = 70) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < bits:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ModelError(f"is not a whole ONNX model: the number at byte {position} does not end")


def _payload(fields: list[Field]) -> Field | None:
    """The one field whose bytes are the tensor's bytes, or None where it is stored in another way or oddly."""
    holders = [f for f in fields if f.number in (_FLOAT_DATA, _RAW_DATA, _DOUBLE_DATA)]
    types = [f.varint for f in fields if f.number == _DATA_TYPE]
    if len(holders) != 1 or len(types) != 1 or holders[0].wire_type != _BYTES:
        return None
    if any(f.number in _ELSEWHERE or (f.number == _LOCATION and f.varint != 0) for f in fields):
        return None
    holder = holders[0]
    return holder if holder.number == _RAW_DATA or (holder.number, types[0]) in _PACKED_AS_RAW else None


def _token(view: Source, fields: list[Field], mark: bytes) -> str | None:
    for field in fields:
        if field.number != _EXTERNAL_DATA:
            continue
        for part in _fields(view, field.start, field.end):
            if part.number == 2 and bytes(view[part.start : part.start + len(mark)]) == mark:
                return bytes(view[part.start : part.end]).decode()
    return None


def _occurrences(data: bytes, mark: bytes) -> Iterator[int]:
    at = data.find(mark)
    while at >= 0:
        yield at
        at = data.find(mark, at + 1)


def _message(number: int, content: bytes) -> bytes:
    return _key(number, _BYTES) + _encode(len(content)) + content


def _key(number: int, wire_type: int) -> bytes:
    return _encode(number << 3 | wire_type)


def _encode(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
