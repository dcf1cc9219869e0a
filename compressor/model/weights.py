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


def read_block(tensor: ir.TensorProtocol, start: int, stop: int) -> NDArray[Any]:
    """Read elements `start` to `stop` of `tensor` in row-major order as a flat array, without reading the others.

    For types that pack several elements into a byte, and for computed weights, the whole tensor is read.
    """
    if isinstance(tensor, StoredWeight) and tensor.dtype.bitwidth >= 8:
        width = tensor.dtype.bitwidth // 8
        raw = tensor.read(start * width, stop * width)
        return np.frombuffer(raw, dtype=_plain_dtype(tensor.dtype))
    return tensor.numpy().reshape(-1)[start:stop]


def decode(raw: bytes, dtype: ir.DataType, shape: tuple[int, ...]) -> NDArray[Any]:
    """Turn little-endian `raw` into an array of `dtype` and `shape` (packed types are unpacked to one element each)."""
    if dtype.bitwidth >= 8:
        return np.frombuffer(raw, dtype=_plain_dtype(dtype)).reshape(shape)
    return ir.serde.deserialize_tensor(onnx.TensorProto(data_type=dtype.value, dims=shape, raw_data=raw)).numpy()


def _plain_dtype(dtype: ir.DataType) -> np.dtype[Any]:
    return np.dtype(dtype.numpy()).newbyteorder("<") if dtype.bitwidth > 8 else np.dtype(dtype.numpy())
