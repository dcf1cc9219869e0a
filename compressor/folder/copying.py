"""Prepare the files that go with models, so that all get their names when all are whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from compressor.errors import ModelError, OutputError
from compressor.folder.sidecars import Sidecar
from compressor.model.drafts import finish_file, mode_for, remove_abandoned, temporary_file
from compressor.model.together import made

_BLOCK = 1 << 20


def files_to_copy(sidecars: Iterable[Sidecar], folder: Path, *, overwrite: bool) -> tuple[Sidecar, ...]:
    """Tell which of `sidecars` `folder` lacks, before any work is done.

    Raises:
        OutputError: another file has one of the names and `overwrite` is not set, or a folder has.
    """
    return tuple(sidecar for sidecar in sidecars if not _is_there(sidecar, folder / sidecar.name, overwrite))


def _is_there(sidecar: Sidecar, path: Path, overwrite: bool) -> bool:
    if not os.path.lexists(path):
        return False
    if path.is_dir():
        raise OutputError(f"{path}: is a folder, and a file of that name goes with the models; choose another output")
    if sidecar.file.is_same_file(path):
        return True
    if not overwrite and not _is_equal(sidecar, path):
        raise OutputError(
            f"{path}: exists and is another file; choose another output, or allow overwriting it (--force)"
        )
    return False


def _is_equal(sidecar: Sidecar, path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size == sidecar.file.size and path.read_bytes() == _content(sidecar)
    except OSError:
        return False


def _content(sidecar: Sidecar) -> bytes:
    return sidecar.file.read(0, sidecar.file.size)


@contextmanager
def drafted(sidecars: Sequence[Sidecar], folder: Path) -> Iterator[dict[Path, Path]]:
    """Copy `sidecars` under private names in `folder`, and give these by the names that they are for.

    What has not got its own name at the end is removed, and so are folders that were made for it.

    Raises:
        OutputError: a copy cannot be written, or a file became shorter since it was opened.
    """
    with ExitStack() as stack:
        if sidecars:
            with _as_output_error(folder):
                stack.enter_context(made(folder))
        paths = {folder / sidecar.name: sidecar for sidecar in sidecars}
        yield {path: stack.enter_context(_draft(path, _blocks(sidecar))) for path, sidecar in paths.items()}


@contextmanager
def drafted_file(path: Path, content: bytes) -> Iterator[Path]:
    """Write a file under a private name beside `path`, for it; removed at the end unless it has got its own.

    Raises:
        OutputError: it cannot be written.
    """
    with _draft(path, [content]) as draft:
        yield draft


@contextmanager
def _draft(path: Path, blocks: Iterable[bytes]) -> Iterator[Path]:
    with ExitStack() as stack:
        with _as_output_error(path):
            stack.enter_context(made(path.parent))
            remove_abandoned(path)
            draft, file = stack.enter_context(temporary_file(path))
            for block in blocks:
                file.write(block)
            finish_file(file, mode_for(path))
        yield draft


def _blocks(sidecar: Sidecar) -> Iterator[bytes]:
    for start in range(0, sidecar.file.size, _BLOCK):
        yield sidecar.file.read(start, min(_BLOCK, sidecar.file.size - start))


@contextmanager
def _as_output_error(place: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ModelError) as error:
        raise OutputError(f"{place}: cannot be written: {getattr(error, 'strerror', None) or error}") from error
