"""Open ``.npy`` and ``.npz`` files that nobody vouches for: nothing is unpickled, nothing is larger than it says."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from compressor.errors import OptionError
from compressor.evaluation.contract import Array

MOST_BYTES = 4 << 30
"""Unpacked bytes of one archive, which are held in memory; a folder of ``.npy`` files is mapped instead."""

_MOST_AXES = 32
"""What every version of NumPy can hold; no input of a model comes near."""


def read_archive(path: Path) -> Mapping[str, Array]:
    """Read every array of a ``.npz`` file.

    Raises:
        OptionError: it is not one, its arrays are larger than they may be, or hold Python objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
            unpacked = sum(member.file_size for member in members)
            if unpacked > MOST_BYTES:
                raise OptionError(
                    f"{path}: unpacks to {unpacked:,} bytes, at most {MOST_BYTES:,} are read; give a folder of .npy "
                    "files, which may be larger"
                )
            found = {member.filename.removesuffix(".npy"): _read_member(path, archive, member) for member in members}
    except OSError as error:
        raise OptionError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise OptionError(f"{path}: is not an .npz file: {error}") from error
    if not found:
        raise OptionError(f"{path}: holds no arrays")
    return found


def map_array(path: Path) -> Array:
    """Map a ``.npy`` file; its bytes are read when they are used.

    Raises:
        OptionError: it is not one, or holds Python objects.
    """
    try:
        with path.open("rb") as file:
            shape, fortran, dtype = _read_header(str(path), file)
            offset, size = file.tell(), path.stat().st_size
        _check_size(str(path), shape, dtype, size - offset)
        if math.prod(shape) == 0:
            return np.zeros(shape, dtype)
        mapped: Array = np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
    except OSError as error:
        raise OptionError(f"{path}: cannot be read: {error.strerror or error}") from error
    return mapped


def _read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    where = f"{path}: array {member.filename.removesuffix('.npy')!r}"
    with archive.open(member) as file:
        shape, fortran, dtype = _read_header(where, file)
        _check_size(where, shape, dtype, member.file_size - file.tell())
        content = file.read(math.prod(shape) * dtype.itemsize)
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise OptionError(f"{where} is cut short; write the file anew")
    array: Array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    return array


def _read_header(where: str, file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = npy_format.read_magic(file)
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, UnicodeDecodeError) as error:
        raise OptionError(f"{where} is not a NumPy array: {str(error).splitlines()[0]}") from error
    if dtype.hasobject:
        raise OptionError(f"{where} holds Python objects, which are not loaded; save it with a plain type")
    if len(shape) > _MOST_AXES:
        raise OptionError(f"{where} declares {len(shape)} axes; at most {_MOST_AXES} are read")
    if any(size < 0 for size in shape):
        raise OptionError(f"{where} declares shape {shape}; sizes are at least 0")
    return shape, fortran, dtype


def _check_size(where: str, shape: tuple[int, ...], dtype: np.dtype[Any], available: int) -> None:
    needed = math.prod(shape) * dtype.itemsize
    if needed > available:
        raise OptionError(f"{where} declares shape {shape}, which is {needed:,} bytes, and holds {available:,}")
