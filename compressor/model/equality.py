"""Find tensors that are equal to the last bit, reading no more of them than it takes to tell them apart."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import onnx_ir as ir

from compressor.model.weights import CHUNK_BYTES, DetachedWeight, StoredWeight

_FIRST_READ = 4096
"""Bytes read of each candidate at first; weights that differ nearly always do so there."""

_Item = TypeVar("_Item")


def equal_groups(tensors: Sequence[ir.TensorProtocol]) -> list[list[ir.TensorProtocol]]:
    """Group tensors of the same data type, shape and bytes; only groups of two or more, in the order of `tensors`.

    Bytes are compared as they are stored: 0.0 and -0.0 differ, equal NaNs are equal. Groups are split by their next
    chunk of bytes until one member is left or the end is reached, so cost is linear in the bytes that equal tensors
    have, and two tensors are in one group only because every byte was compared.
    """
    groups = split(tensors, _signature)
    found: list[list[ir.TensorProtocol]] = []
    for group in groups:
        found.extend(_refine(group))
    return found


def split(items: Iterable[_Item], key: Callable[[_Item], Hashable]) -> list[list[_Item]]:
    """Partition `items` by `key`, keeping their order, and drop those that are alone."""
    parts: dict[Hashable, list[_Item]] = {}
    for item in items:
        parts.setdefault(key(item), []).append(item)
    return [part for part in parts.values() if len(part) > 1]


def _signature(tensor: ir.TensorProtocol) -> Hashable:
    if isinstance(tensor, ir.StringTensor):
        return tensor.dtype, tuple(tensor.shape.numpy()), tuple(tensor.string_data())
    return tensor.dtype, tuple(tensor.shape.numpy())


def _refine(group: list[ir.TensorProtocol]) -> list[list[ir.TensorProtocol]]:
    if isinstance(group[0], ir.StringTensor):
        return [group]
    same_storage: dict[Hashable, list[ir.TensorProtocol]] = {}
    for tensor in group:
        same_storage.setdefault(_storage(tensor), []).append(tensor)
    classes = [list(part) for part in _by_bytes([members[0] for members in same_storage.values()])]
    expanded = [[t for first in part for t in same_storage[_storage(first)]] for part in classes]
    position = {id(tensor): index for index, tensor in enumerate(group)}
    return [sorted(part, key=lambda t: position[id(t)]) for part in expanded if len(part) > 1]


def _storage(tensor: ir.TensorProtocol) -> Hashable:
    """Tensors of one storage are equal unread."""
    return tensor.key if isinstance(tensor, StoredWeight) else id(tensor)


def _by_bytes(tensors: list[ir.TensorProtocol]) -> list[list[ir.TensorProtocol]]:
    """Partition tensors of one type and shape by their bytes; singletons are kept."""
    total = tensors[0].nbytes
    alone: list[list[ir.TensorProtocol]] = []
    groups = [tensors]
    start, step = 0, _FIRST_READ
    while start < total and groups:
        stop = min(total, start + step)
        parts = [part for group in groups if len(group) > 1 for part in _parts(group, start, stop)]
        alone += [group for group in groups if len(group) == 1]
        groups = parts
        start, step = stop, min(step * 8, CHUNK_BYTES)
    return alone + groups


def _parts(group: list[ir.TensorProtocol], start: int, stop: int) -> list[list[ir.TensorProtocol]]:
    parts: dict[bytes, list[ir.TensorProtocol]] = {}
    first = _bytes(group[0], start, stop)
    parts[first] = [group[0]]
    for tensor in group[1:]:
        piece = _bytes(tensor, start, stop)
        if piece == first:  # spares hashing where, as nearly always, all are equal
            parts[first].append(tensor)
        else:
            parts.setdefault(piece, []).append(tensor)
    return list(parts.values())


def _bytes(tensor: ir.TensorProtocol, start: int, stop: int) -> bytes:
    if isinstance(tensor, StoredWeight):
        return tensor.read(start, stop)
    if isinstance(tensor, DetachedWeight):
        return _computed_bytes(tensor, start, stop)
    return tensor.tobytes()[start:stop]


def _computed_bytes(tensor: DetachedWeight, start: int, stop: int) -> bytes:
    """Bytes of a computed weight; it is made anew up to `stop`, and nothing of it is kept."""
    gathered = bytearray()
    position = 0
    for chunk in tensor.chunks():
        end = position + len(chunk)
        if end > start:
            gathered += chunk[max(0, start - position) : max(0, stop - position)]
        position = end
        if position >= stop:
            break
    return bytes(gathered)
