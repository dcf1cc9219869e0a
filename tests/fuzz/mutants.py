"""Change sound models at random: as messages, so that they stay protobuf, or in the spelling it leaves open."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any  # protobuf's classes share no typed way through their fields

import onnx

from tests.fuzz.random_models import RandomModel
from tests.hostile.hostile_models import PLACES, external
from tests.hostile.test_bombs import varint

NUMBERS = (0, 1, -1, 2, 7, 16, 64, 127, 1000, 1 << 31, (1 << 31) - 1, 1 << 40, (1 << 63) - 1, -(1 << 63))
LOCATIONS = ("../outside/secret", "/etc/hostname", "w.bin", "", "weight:0")
TEXTS = (*LOCATIONS, "x", "y", "w", "If", "Constant", "n" * 3000)

_NESTED: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"}, "graph": {1: "node", 5: "tensor", 15: "sparse"}, "function": {7: "node"},
    "node": {5: "attribute"}, "attribute": {5: "tensor", 6: "graph"}, "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}  # fmt: skip
"""Fields that hold messages with tensors in them, as in onnx.proto."""


def mutant(seed: int) -> bytes:
    """A model that was sound before a few changes: to its messages, to their spelling, or to both."""
    chance = random.Random(seed)
    model = onnx.ModelProto()
    places = [place(external([("location", chance.choice(LOCATIONS))])) for place in PLACES]
    model.CopyFrom(chance.choice([*places, *(RandomModel(seed).proto() for _ in places)]))
    kind = chance.randrange(3)
    for _ in range(chance.randrange(1, 4) if kind < 2 else 0):
        with suppress(ValueError):  # a number that the field does not hold
            _change(model, chance)
    whole: bytes = model.SerializeToString()
    return _spelled(whole, "model", chance) if kind > 0 else whole


def _change(model: onnx.ModelProto, chance: random.Random) -> None:
    """Clear one field of one message, or give it something else of its type."""
    messages = _messages(model)
    message = chance.choice(messages)
    field = chance.choice([field for field, _ in message.ListFields()] or message.DESCRIPTOR.fields)
    if chance.randrange(5) == 0:
        message.ClearField(field.name)
    elif field.type == field.TYPE_MESSAGE:
        same = [other.SerializeToString() for other in messages if other.DESCRIPTOR is field.message_type]
        held = getattr(message, field.name)
        (held.add() if hasattr(held, "add") else held).MergeFromString(chance.choice(same or [b""]))
    elif field.cpp_type == field.CPPTYPE_STRING:
        text = chance.choice(TEXTS)
        _put(message, field.name, text.encode() if field.type == field.TYPE_BYTES else text)
    elif field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        _put(message, field.name, chance.choice([0.0, float("nan"), 3e38]))
    else:
        _put(message, field.name, chance.choice(NUMBERS))


def _messages(model: onnx.ModelProto) -> list[Any]:
    found: list[Any] = [model]
    for message in found:
        for field, value in message.ListFields():
            if field.type == field.TYPE_MESSAGE:
                found.extend((value,) if hasattr(value, "ListFields") else value)
    return found


def _put(message: Any, name: str, value: object) -> None:
    held = getattr(message, name)
    if hasattr(held, "append"):
        held.append(value)
    else:
        setattr(message, name, value)


def _spelled(content: bytes, kind: str, chance: random.Random) -> bytes:
    """Write a message anew, now and then in another order, with a field twice or unknown, or in longer numbers."""
    fields = []
    for number, wire, value in _fields(content):
        inner = _NESTED[kind].get(number)
        fields.append((number, wire, _spelled(value, inner, chance) if inner and wire == 2 else value))
    change = chance.randrange(25)
    if change == 0:
        chance.shuffle(fields)
    elif change == 1 and fields:
        fields.append(chance.choice(fields))
    elif change == 2:
        fields.insert(0, (chance.choice([99, 2**29 - 1]), 2, b"nobody"))
    return b"".join(_written(*field, is_long=change == 3) for field in fields)


def _fields(content: bytes) -> list[tuple[int, int, bytes]]:
    """Number, wire type and value of each field; the value of a number is its bytes."""
    found, at = [], 0
    while at < len(content):
        key, at = _number(content, at)
        start = at
        if key & 7 == 2:
            length, start = _number(content, at)
            at = start + length
        elif key & 7 == 0:
            _, at = _number(content, at)
        else:
            at += 4 if key & 7 == 5 else 8
        found.append((key >> 3, key & 7, content[start:at]))
    return found


def _number(content: bytes, at: int) -> tuple[int, int]:
    end = next(place for place in range(at, len(content)) if content[place] < 0x80) + 1
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(content[at:end])), end


def _written(number: int, wire: int, value: bytes, *, is_long: bool) -> bytes:
    length = varint(len(value)) if wire == 2 else b""
    if length and is_long:
        length = bytes([*length[:-1], length[-1] | 0x80, 0])
    return varint(number << 3 | wire) + length + value
