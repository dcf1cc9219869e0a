"""Find tensors that are equal to the last bit, reading no more of them than it takes to tell them apart."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import onnx_ir as ir

from compressor.model.weights import CHUNK_BYTES, ReadInOrder, StoredWeight

_FIRST_READ = 4096
"""Bytes read of each candidate at first; weights that differ nearly always do so there."""

_READERS = 4
"""Groups compared at a time."""

_HELD_BYTES = 1 << 26
"""Bytes of one group held at a time: weights that differ from each other late are all kept until the chunk's end."""

_Item = TypeVar("_Item")


def equal_groups(
    items: Sequence[_Item],
    tensor_of: Callable[[_Item], ir.TensorProtocol],
    *,
    signature: Callable[[ir.TensorProtocol], Hashable] | None = None,
) -> list[list[_Item]]:
    """Group items whose tensors have the same data type, shape and bytes; only groups of two or more, in order.

    Bytes are compared as they are stored: 0.0 and -0.0 differ, equal NaNs are equal. Groups are split by their next
    chunk of bytes until one member is left or the end is reached, so the cost is linear in the bytes that equal tensors
    have, and two tensors are in one group only because every byte was compared.

    Args:
        items: what to group.
        tensor_of: the tensor of an item.
        signature: what must be equal besides the bytes, their number included; by default data type and shape.
    """
    signature = signature or _signature
    found: list[list[_Item]] = []
    groups = [_by_storage(group, tensor_of) for group in split(items, lambda item: signature(tensor_of(item)))]
    with ThreadPoolExecutor(max_workers=_READERS) as readers:  # a read waits for the disk or copies, without Python
        partitions = readers.map(
            _by_bytes, [{key: tensor_of(same[0]) for key, same in group.items()} for group in groups]
        )
        for group, partition in zip(groups, partitions, strict=True):
            for storages in partition:
                _remember([tensor_of(group[storage][0]) for storage in storages])
                members = [item for storage in storages for item in group[storage]]
                if len(members) > 1:
                    found.append(members)
    return found


def _by_storage(group: list[_Item], tensor_of: Callable[[_Item], ir.TensorProtocol]) -> dict[Hashable, list[_Item]]:
    storages: dict[Hashable, list[_Item]] = {}
    for item in group:
        storages.setdefault(_storage(tensor_of(item)), []).append(item)
    return storages


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


def _remember(equal: list[ir.TensorProtocol]) -> None:
    stored = [tensor for tensor in equal if isinstance(tensor, StoredWeight)]
    for tensor in stored[1:]:
        tensor.content = stored[0].content


def _storage(tensor: ir.TensorProtocol) -> Hashable:
    """Tensors of one storage are equal unread; strings are told apart by their signature alone."""
    if isinstance(tensor, StoredWeight):
        return tensor.content
    return "strings" if isinstance(tensor, ir.StringTensor) else id(tensor)


def _by_bytes(tensors: dict[Hashable, ir.TensorProtocol]) -> list[list[Hashable]]:
    """Partition tensors of one type and shape, given by storage, by their bytes."""
    if len(tensors) == 1:
        return [list(tensors)]
    done: list[list[Hashable]] = []
    groups = [list(tensors)]
    readers = {storage: ReadInOrder(tensor) for storage, tensor in tensors.items()}
    end, step, most = next(iter(tensors.values())).nbytes, _FIRST_READ, max(_FIRST_READ, _HELD_BYTES // len(tensors))
    start = 0
    while start < end and groups:
        stop = min(end, start + step)
        parts = [part for group in groups for part in _parts(group, readers, start, stop)]
        done += [part for part in parts if len(part) == 1]
        groups = [part for part in parts if len(part) > 1]
        start, step = stop, min(step * 8, most, CHUNK_BYTES)
    return done + groups


def _parts(group: list[Hashable], readers: dict[Hashable, ReadInOrder], start: int, stop: int) -> list[list[Hashable]]:
    """Split a group by bytes `start` to `stop` of its members."""
    first = readers[group[0]].read(start, stop)
    same = [group[0]]
    others: dict[bytes, list[Hashable]] = {}
    for storage in group[1:]:
        piece = readers[storage].read(start, stop)
        if piece == first:  # spares hashing, which takes longer than reading, where, as nearly always, all are equal
            same.append(storage)
        else:
            others.setdefault(piece, []).append(storage)
    return [same, *others.values()]
