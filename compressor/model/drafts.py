"""Write a file under a private name beside its own, so that it gets that name when it is whole, or not at all."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_TEMPORARY = ".compressor-tmp"
_BUFFER_BYTES = 1 << 22


@contextmanager
def temporary_file(out: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new private file beside `out`, gone at the end unless it was renamed."""
    path, descriptor = _create_locked(out)
    with os.fdopen(descriptor, "w+b", buffering=_BUFFER_BYTES) as file:
        try:
            yield path, file
        finally:
            path.unlink(missing_ok=True)


def temporary_name(out: Path) -> Path:
    """A name nobody has, beside `out`, that :func:`remove_abandoned` knows."""
    return out.parent / f".{out.name}.{secrets.token_hex(4)}{_TEMPORARY}"


def remove_abandoned(out: Path) -> None:
    """Remove temporary files that a killed run on the same output left."""
    pattern = re.compile(re.escape(f".{out.name}.") + r"[0-9a-f]{8}" + re.escape(_TEMPORARY))
    for path in out.parent.iterdir():
        if pattern.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            with suppress(OSError), path.open("rb") as file:
                if _lock(file):
                    path.unlink()


def finish_file(file: BinaryIO, mode: int) -> None:
    """Have what was written on the disk, with the permissions it will be found with."""
    file.flush()
    if hasattr(os, "fchmod"):
        os.fchmod(file.fileno(), mode)
    os.fsync(file.fileno())


def mode_for(out: Path) -> int:
    """Permissions of a file written to `out`: those of the file there, else what the process gives new files."""
    if out.exists():
        return out.stat().st_mode & 0o7777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


@contextmanager
def publishing(folder: Path) -> Iterator[Callable[[], None]]:
    """Let no other run on `folder` give or remove names meanwhile, and flush the names at the end.

    Without it, a run could remove as stale the data file that another has just written and not yet named in a model.
    What it yields flushes the names given so far: a data file must have its name, whatever happens, before the model
    that points to it.
    """
    if os.name != "posix":
        yield lambda: None
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)

    def flush() -> None:
        with suppress(OSError):  # some network file systems cannot; the names are given, only a power cut undoes it
            os.fsync(descriptor)

    try:
        with suppress(OSError):  # nor this
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield flush
        flush()
    finally:
        os.close(descriptor)


def _create_locked(out: Path) -> tuple[Path, int]:
    """Create a file and mark it as in use; once more where another run took it for abandoned between the two."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    while True:
        path = temporary_name(out)
        descriptor = os.open(path, flags, 0o600)
        try:
            if _lock(descriptor) and os.fstat(descriptor).st_nlink > 0:
                return path, descriptor
        except BaseException:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(file: BinaryIO | int) -> bool:
    """Mark `file` as in use until it is closed; say False where another process holds it."""
    try:
        import fcntl
    except ImportError:  # not on Windows, where a file in use cannot be removed anyway
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
