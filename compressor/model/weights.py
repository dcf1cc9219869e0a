"""Stand in for a weight's bytes: read from its file, or computed, only when somebody asks."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn, Protocol

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from compressor.model.files import DataFile

CHUNK_BYTES = 1 << 22
"""Bytes read or written at once: large enough for full disk speed, small enough to forget."""


MARK = "weight:"
"""Start of the private location that stands for a detached weight in a skeleton."""


def new_token() -> str:
    """Make a location that no file can have guessed."""
    return MARK + secrets.token_hex(8)


class BinaryWriter(Protocol):
    """Anything bytes can be written to."""

    def write(self, data: bytes | memoryview, /) -> Any: ...


class DetachedWeight(ir.ExternalTensor):
    """A tensor whose bytes are elsewhere; in a skeleton it is serialized as external data under a private location.

    It is an :class:`onnx_ir.ExternalTensor` so that every consumer of the IR knows it has no inline bytes, with a
    random `location`, so that no file can name one. Nothing it reads is kept.
    """

    def __init__(
        self,
        dtype: ir.DataType,
        shape: ir.Shape,
        *,
        name: str,
        doc_string: str | None = None,
        metadata_props: dict[str, str] | None = None,
    ) -> None:
        super().__init__(
            new_token(), None, None, dtype, shape=shape, name=name,
            doc_string=doc_string or None, metadata_props=metadata_props or None,
        )  # fmt: skip

    @abstractmethod
    def chunks(self) -> Iterator[memoryview]:
        """Yield the little-endian bytes in order, in pieces that may be forgotten at once."""

    def numpy(self) -> NDArray[Any]:
        return decode(self.tobytes(), self.dtype, tuple(self.shape.numpy()))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.numpy(), dtype=dtype)

    def tobytes(self) -> bytes:
        return b"".join(self.chunks())

    def tofile(self, file: BinaryWriter) -> None:
        for chunk in self.chunks():
            file.write(chunk)

    def _load(self) -> NoReturn:
        raise AssertionError("a detached weight has no path to load from")


class StoredWeight(DetachedWeight):
    """A weight that lies in a file: `length` bytes from `offset`.

    `length` must be what dtype and shape need; whoever makes one has checked it against the file.

    Attributes:
        file: the open file.
        start: its first byte.
        content: the `key` of a weight that is known to hold the same bytes, its own as long as none is: equal weights
            are compared once, however often somebody asks.
    """

    __slots__ = ("content", "file", "start")

    def __init__(
        self,
        file: DataFile,
        start: int,
        dtype: ir.DataType,
        shape: ir.Shape,
        *,
        name: str,
        doc_string: str | None = None,
        metadata_props: dict[str, str] | None = None,
    ) -> None:
        super().__init__(dtype, shape, name=name, doc_string=doc_string, metadata_props=metadata_props)
        self.file = file
        self.start = start
        self.content = self.key

    @property
    def key(self) -> tuple[str, int, int]:
        """File, first byte and length: two weights with one key are one storage."""
        return str(self.file.path), self.start, self.nbytes

    def read(self, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of this weight."""
        return self.file.read(self.start + start, stop - start)

    def chunks(self) -> Iterator[memoryview]:
        total = self.nbytes
        for start in range(0, total, CHUNK_BYTES):
            yield memoryview(self.read(start, min(total, start + CHUNK_BYTES)))

    def tofile(self, file: BinaryWriter) -> None:
        if not self.file.copy_to(file, self.start, self.nbytes):
            super().tofile(file)

    def mapped(self) -> NDArray[Any]:
        """View the bytes as an array over the file's memory map, which the system may drop and re-read at will."""
        flat = np.frombuffer(self.file.mapped(), dtype=np.uint8, count=self.nbytes, offset=self.start)
        return flat.view(_plain_dtype(self.dtype)).reshape(self.shape.numpy())


class ComputedWeight(DetachedWeight):
    """A weight made from others, block by block, each time it is asked for.

    Args:
        blocks: makes the values in order: arrays whose bytes, joined, are the weight's bytes. It must give the same
            each time it is called, and should hold at most a block in memory.
    """

    __slots__ = ("blocks",)

    def __init__(
        self,
        blocks: Callable[[], Iterable[NDArray[Any]]],
        dtype: ir.DataType,
        shape: ir.Shape,
        *,
        name: str,
        doc_string: str | None = None,
        metadata_props: dict[str, str] | None = None,
    ) -> None:
        super().__init__(dtype, shape, name=name, doc_string=doc_string, metadata_props=metadata_props)
        self.blocks = blocks

    def chunks(self) -> Iterator[memoryview]:
        for block in self.blocks():
            yield memoryview(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data)


class ReadInOrder:
    """The bytes of a tensor from first to last, each read or computed once, and a chunk of them in memory."""

    def __init__(self, tensor: ir.TensorProtocol) -> None:
        self._tensor = tensor
        self._position = 0
        self._chunks = _chunks_of(tensor)
        self._rest = memoryview(b"")

    def read(self, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop`; going back behind what was read before makes a computed weight anew."""
        if isinstance(self._tensor, StoredWeight):
            return self._tensor.read(start, stop)
        if start < self._position:
            self._position, self._chunks, self._rest = 0, _chunks_of(self._tensor), memoryview(b"")
        pieces = []
        while self._position < stop:
            self._rest = self._rest or next(self._chunks).cast("B")
            piece = self._rest[: (start if self._position < start else stop) - self._position]
            self._rest = self._rest[len(piece) :]
            if self._position >= start:
                pieces.append(piece)
            self._position += len(piece)
        return b"".join(pieces)


def _chunks_of(tensor: ir.TensorProtocol) -> Iterator[memoryview]:
    if isinstance(tensor, DetachedWeight):
        yield from tensor.chunks()
    else:
        yield memoryview(tensor.tobytes())


def read_ranges(tensor: ir.TensorProtocol, ranges: Iterable[tuple[int, int]]) -> Iterator[NDArray[Any]]:
    """Yield elements `start` to `stop` of `tensor`, in row-major order, as a flat array for each of `ranges`.

    These should be in order: then a computed weight is made once, and no more of it is held than one range and one of
    its blocks. Of a stored weight nothing else is read.
    """
    if not isinstance(tensor, DetachedWeight):
        values = tensor.numpy().reshape(-1)
        yield from (values[start:stop] for start, stop in ranges)
        return
    reader, bits = ReadInOrder(tensor), tensor.dtype.bitwidth
    for start, stop in ranges:
        first, last = start * bits // 8, -(-stop * bits // 8)
        whole = decode(reader.read(first, last), tensor.dtype, ((last - first) * 8 // bits,))
        skipped = start - first * 8 // bits  # types that pack several elements into a byte may begin inside one
        yield whole[skipped : skipped + stop - start]


def read_block(tensor: ir.TensorProtocol, start: int, stop: int) -> NDArray[Any]:
    """Read elements `start` to `stop`; a computed weight is made up to there, so use `read_ranges` for several."""
    return next(read_ranges(tensor, [(start, stop)]))


def decode(raw: bytes, dtype: ir.DataType, shape: tuple[int, ...]) -> NDArray[Any]:
    """Turn little-endian `raw` into an array of `dtype` and `shape` (packed types are unpacked to one element each)."""
    if dtype.bitwidth >= 8:
        return np.frombuffer(raw, dtype=_plain_dtype(dtype)).reshape(shape)
    return ir.serde.deserialize_tensor(onnx.TensorProto(data_type=dtype.value, dims=shape, raw_data=raw)).numpy()


def _plain_dtype(dtype: ir.DataType) -> np.dtype[Any]:
    return np.dtype(dtype.numpy()).newbyteorder("<") if dtype.bitwidth > 8 else np.dtype(dtype.numpy())
