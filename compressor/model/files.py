"""Open a file once, check what was opened, and read only from that."""

from __future__ import annotations

import errno
import mmap
import os
import stat
import threading
from pathlib import Path
from typing import Any, overload

from compressor.errors import ModelError

_COPY_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EXDEV, errno.EBADF}


class DataFile:
    """A regular file, opened once; everything read later comes from this descriptor, whatever happens to the path.

    Attributes:
        path: where it was found.
        size: its length in bytes when it was opened.
    """

    def __init__(self, path: Path) -> None:
        """Open `path`.

        Raises:
            ModelError: there is no such file, it cannot be read, or it is not a regular file.
        """
        self.path = path
        # O_NONBLOCK: opening a FIFO would otherwise wait for a writer for ever.
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            self._descriptor = os.open(path, flags)
        except FileNotFoundError:
            raise ModelError(f"{path}: no such file") from None
        except (OSError, ValueError) as error:
            raise ModelError(f"{path}: cannot be opened: {getattr(error, 'strerror', None) or error}") from error
        self.status = os.fstat(self._descriptor)
        self.size = self.status.st_size
        self._map: mmap.mmap | None = None
        self._lock = threading.Lock()
        if not stat.S_ISREG(self.status.st_mode):
            kind = "a folder" if stat.S_ISDIR(self.status.st_mode) else "not a regular file"
            self.close()
            raise ModelError(f"{path}: is {kind}; give a file")

    def read(self, offset: int, length: int) -> bytes:
        """Read `length` bytes from `offset`.

        Raises:
            ModelError: the file has become shorter since it was opened.
        """
        if length == 0:
            return b""
        pieces = []
        while length > 0:
            piece = self._read_at(offset, length)
            if not piece:
                raise self._became_shorter()
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_at(self, offset: int, length: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._descriptor, length, offset)
        with self._lock:  # Windows has one position per descriptor, and no reading beside it
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            return os.read(self._descriptor, length)

    def mapped(self) -> mmap.mmap:
        """Map the whole file, read-only, once.

        Raises:
            ModelError: the file has become shorter since it was opened; to touch what is gone would end the process.
        """
        if os.fstat(self._descriptor).st_size < self.size:
            raise self._became_shorter()
        if self._map is None:
            self._map = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ)
        return self._map

    def window(self) -> FileWindow:
        """Look at single bytes and short ranges as if the file were in memory."""
        return FileWindow(self)

    def copy_to(self, target: Any, offset: int, length: int) -> bool:
        """Copy a range into `target` inside the kernel; say False, having done nothing, where that does not work.

        `target` is a buffered binary file open for writing; anything else gives False.
        """
        copy = getattr(os, "copy_file_range", None)
        if copy is None or length < mmap.PAGESIZE or not hasattr(target, "fileno"):
            return False
        target.flush()
        position, done = target.tell(), 0
        try:
            while done < length:
                step = copy(self._descriptor, target.fileno(), length - done, offset + done, position + done)
                if step == 0:
                    raise self._became_shorter()
                done += step
        except OSError as error:
            if done or error.errno not in _COPY_UNSUPPORTED:
                raise
            return False
        target.seek(position + length)
        return True

    def is_same_file(self, other: Path) -> bool:
        """`other` exists and is this very file, by whatever name."""
        try:
            return os.path.samestat(self.status, other.stat())
        except OSError:
            return False

    def has_changed(self) -> bool:
        """Somebody has written to the file since it was opened; what was read of it may fit nothing."""
        now = os.fstat(self._descriptor)
        return (now.st_mtime_ns, now.st_size) != (self.status.st_mtime_ns, self.status.st_size)

    def _became_shorter(self) -> ModelError:
        return ModelError(f"{self.path}: became shorter while it was read; is another program writing it?")

    def close(self) -> None:
        """Give the descriptor back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            self.close()


class FileWindow:
    """A file's bytes by index, with one small block of it in memory.

    Walking a memory map instead would count every page around every touched byte as this process's memory.
    """

    _BLOCK = 1 << 15

    def __init__(self, file: DataFile) -> None:
        self._file = file
        self._start = 0
        self._block = b""

    def __len__(self) -> int:
        return self._file.size

    @overload
    def __getitem__(self, at: int) -> int: ...

    @overload
    def __getitem__(self, at: slice) -> bytes: ...

    def __getitem__(self, at: int | slice) -> int | bytes:
        if isinstance(at, slice):
            start, stop, _ = at.indices(self._file.size)
            return self._file.read(start, max(0, stop - start))
        offset = at - self._start
        if not 0 <= offset < len(self._block):
            self._start = at
            self._block = self._file.read(at, min(self._BLOCK, self._file.size - at))
            offset = 0
        return self._block[offset]
