"""Copy the files that go with models, so that they get their names when all of them are whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from compressor.errors import ModelError, OutputError
from compressor.folder.sidecars import Sidecar
from compressor.model.drafts import finish_file, mode_for, publishing, remove_abandoned, temporary_file
from compressor.model.together import made

_BLOCK = 1 << 20

Publish = Callable[[], tuple[Path, ...]]


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
def drafted(sidecars: Sequence[Sidecar], folder: Path) -> Iterator[Publish]:
    """Copy `sidecars` under private names in `folder`; what is yielded gives them their own, and returns these.

    Where it is not called, nothing is left behind but folders that were there before.

    Raises:
        OutputError: a copy cannot be written, or a file became shorter since it was opened.
    """
    with ExitStack() as stack:
        drafts = []
        for sidecar in sidecars:
            with _as_output_error(folder / sidecar.name):
                drafts.append((folder / sidecar.name, stack.enter_context(_draft(sidecar, folder / sidecar.name))))

        def publish() -> tuple[Path, ...]:
            with _as_output_error(folder), publishing(folder):
                for path, draft in drafts:
                    draft.replace(path)
            return tuple(path for path, _ in drafts)

        yield publish


@contextmanager
def _draft(sidecar: Sidecar, path: Path) -> Iterator[Path]:
    with made(path.parent):
        remove_abandoned(path)
        with temporary_file(path) as (draft, file):
            for start in range(0, sidecar.file.size, _BLOCK):
                file.write(sidecar.file.read(start, min(_BLOCK, sidecar.file.size - start)))
            finish_file(file, mode_for(path))
            yield draft


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole, or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with _as_output_error(path):
        remove_abandoned(path)
        with temporary_file(path) as (draft, file):
            file.write(content)
            finish_file(file, mode_for(path))
            with publishing(path.parent):
                draft.replace(path)


@contextmanager
def _as_output_error(place: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ModelError) as error:
        raise OutputError(f"{place}: cannot be written: {getattr(error, 'strerror', None) or error}") from error
