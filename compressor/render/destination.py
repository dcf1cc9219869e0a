"""Put a report where the user asked: standard output, or a file proven writable before the work starts."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from compressor.errors import OutputError
from compressor.model.drafts import finish_file, mode_for, publishing, remove_abandoned, temporary_file

STANDARD_OUTPUT = Path("-")
_OPENING_BYTES = 200
"""Bytes of an existing file that are read to tell a report from anything else."""


class Destination(Protocol):
    """Somewhere one text goes."""

    def write(self, text: str) -> None:
        """Put `text` there, whole."""


@contextmanager
def open_destination(path: Path | None, mark: str) -> Iterator[Destination]:
    """Make sure `path` can take a report, and give what will write it; leave nothing behind if nothing is written.

    Args:
        path: None for nowhere, ``-`` for standard output, else a file. A device or pipe is written to as it is.
        mark: text near the start of every report of this form. An existing file without it is somebody else's, for
            example the model's own ``config.json``, and is not replaced.

    Raises:
        OutputError: the folder does not exist or cannot be written to, or the file is not an earlier report.
    """
    if path is None:
        yield _Nowhere()
        return
    if path == STANDARD_OUTPUT:
        yield _StandardOutput()
        return
    status = _status(path)
    if status is not None and not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        yield _Device(path)
        return
    if status is not None:
        _refuse_foreign_file(path, status, mark)
    target = Path(os.path.realpath(path))
    with _draft_of(path, target) as (draft, file):
        yield _File(draft, file, target)


@dataclass(frozen=True)
class _Nowhere:
    def write(self, text: str) -> None:
        """Forget `text`."""


@dataclass(frozen=True)
class _StandardOutput:
    def write(self, text: str) -> None:
        sys.stdout.write(text)


@dataclass(frozen=True)
class _Device:
    path: Path

    def write(self, text: str) -> None:
        with _as_output_error(self.path):
            self.path.write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class _File:
    draft: Path
    file: BinaryIO
    target: Path

    def write(self, text: str) -> None:
        with _as_output_error(self.target):
            self.file.write(text.encode())
            finish_file(self.file, mode_for(self.target))
            with publishing(self.target.parent):
                self.draft.replace(self.target)


def _status(path: Path) -> os.stat_result | None:
    with _as_output_error(path):
        try:
            return path.stat()
        except FileNotFoundError:
            return None


def _refuse_foreign_file(path: Path, status: os.stat_result, mark: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise OutputError(f"{path}: is a folder; give the name of a file to write the report to")
    with _as_output_error(path), path.open("rb") as file:
        opening = file.read(_OPENING_BYTES)
    if opening and mark.encode() not in opening:
        raise OutputError(f"{path}: exists and is not an earlier report; choose another name or remove it")


@contextmanager
def _draft_of(path: Path, target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Create the file that will be renamed: the only sure proof that a folder can be written to."""
    with ExitStack() as stack:
        with _as_output_error(path):
            remove_abandoned(target)
            made = stack.enter_context(temporary_file(target))
        yield made


@contextmanager
def _as_output_error(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"{path}: the report cannot be written: {reason}") from error
