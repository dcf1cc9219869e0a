"""Collect the weights of several models in one data file, every content once."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from typing import BinaryIO

from compressor.model.layout import DIGEST_LENGTH, aligned
from compressor.model.weights import DetachedWeight, StoredWeight


class Pool:
    """The data file while it is written.

    Attributes:
        end: bytes it holds so far.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Start with the empty `file`."""
        self.end = 0
        self._file = file
        self._by_storage: dict[Hashable, tuple[int, DetachedWeight]] = {}
        self._by_content: dict[tuple[int, bytes], int] = {}

    def place(self, weight: DetachedWeight) -> int:
        """Write `weight` unless its bytes are there already; the offset of its first byte.

        What no one wrote before is known only when it has been read, so a copy is written first and cut off again.
        """
        storage = weight.key if isinstance(weight, StoredWeight) else id(weight)
        if storage in self._by_storage:
            return self._by_storage[storage][0]
        offset = aligned(self.end, weight.nbytes)
        content = (weight.nbytes, self._write(weight, offset))
        if content in self._by_content:
            self._file.truncate(self.end)
            offset = self._by_content[content]
        else:
            self._by_content[content] = offset
            self.end = offset + weight.nbytes
        self._by_storage[storage] = offset, weight  # held, or its identity could become another's
        return offset

    def digest(self) -> str:
        """Name the content: the same weights at the same places give the same digits."""
        digest = hashlib.blake2b(digest_size=DIGEST_LENGTH // 2)
        for (length, content), offset in self._by_content.items():
            digest.update(f"{offset} {length} ".encode() + content)
        return digest.hexdigest()

    def _write(self, weight: DetachedWeight, offset: int) -> bytes:
        self._file.seek(offset)
        digest = hashlib.blake2b(digest_size=32)
        for chunk in weight.chunks():
            self._file.write(chunk)
            digest.update(chunk)
        return digest.digest()
