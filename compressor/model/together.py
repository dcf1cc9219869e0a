"""Write models that belong together so that what they share is stored once, in a data file beside them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from functools import reduce
from operator import and_
from pathlib import Path

import onnx_ir as ir

from compressor.errors import ModelError, OutputError
from compressor.model.carried import carried
from compressor.model.drafts import (
    finish_file,
    mode_for,
    publishing,
    remove_abandoned,
    temporary_file,
    temporary_name,
)
from compressor.model.files import DataFile
from compressor.model.layout import DIGEST_LENGTH, Layout, lay_out
from compressor.model.load import load
from compressor.model.pool import Pool
from compressor.model.save import check_output, verify_written, write_pieces
from compressor.model.skeleton import to_skeleton

_DATA_NAME = re.compile(rf"weights-[0-9a-f]{{{DIGEST_LENGTH}}}\.data")
_DRAFT = "weights.data"
"""What temporary data files are named after: the digest is known only when all weights are written."""


class Storage(Enum):
    """Where models that belong together keep their weights."""

    SHARED = "shared"
    """In one data file beside them, each content once; a model that is alone keeps its own inside, if it can."""

    INSIDE = "inside"
    """Each in its own ``.onnx`` file, for readers that fetch one file a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenSet:
    """What one call wrote.

    Attributes:
        files: the models in the order given, then the data file they share, if any weight is large enough for it;
            empty where the size was not approved.
        total_bytes: of all files.
        shared_bytes: weight bytes that more than one model reads, counted once for each model after the first.
    """

    files: tuple[Path, ...]
    total_bytes: int
    shared_bytes: int


def check_together(models: Mapping[Path, ir.Model], *, overwrite: bool) -> None:
    """Refuse outputs that cannot be written, or would destroy what is there, before any work is done.

    Raises:
        OutputError: the outputs are not in one folder, the folder is a file or cannot be made, or one of the outputs is
            as :func:`compressor.model.save.check_output` refuses it, for any of the models.
    """
    folder = _folder_of(models)
    if not os.path.lexists(folder):
        for model in models.values():
            check_output(folder, model, overwrite=False)
        return
    if not folder.is_dir():
        raise OutputError(f"{folder}: is not a folder; several models are written to one, name another output")
    for path in models:
        for model in models.values():
            check_output(path, model, overwrite=overwrite)


def save_together(
    models: Mapping[Path, ir.Model],
    *,
    overwrite: bool = False,
    storage: Storage = Storage.SHARED,
    approve: Callable[[int], bool] = lambda total_bytes: True,
    companions: Callable[[WrittenSet], Mapping[Path, Path]] = lambda written: {},
) -> WrittenSet:
    """Write each model to its path, all in one folder; each loads on its own.

    Weights are shared by their bytes, in one data file, unless `storage` says otherwise. The data file's name holds a
    digest of its content and it is renamed first, so at every moment each ``.onnx`` file is whole: the old one with its
    old data, or the new one with the new. The folder is made where it is missing. `approve` is asked with the bytes of
    all files before any gets its name; where it declines, none does. Then `companions` gives other files that get their
    names with the models, just before them: each path, and the draft that is to be there.

    Raises:
        OutputError: as :func:`check_together`, or a model that is to keep its weights inside is too large for that, or
            the disk is full or failing; then the folder is as it was.
    """
    check_together(models, overwrite=overwrite)
    folder = _folder_of(models)
    try:
        with made(folder):
            with publishing(folder):  # so that what another run keeps for going back is not taken for abandoned
                for path in (*models, folder / _DRAFT):
                    remove_abandoned(path)
            return _write(models, folder, storage, approve, companions)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}; it was left as it was") from error


def _folder_of(paths: Iterable[Path]) -> Path:
    folders = {path.parent for path in paths}
    if len(folders) != 1:
        raise OutputError(f"{', '.join(map(str, sorted(folders)))}: models that share weights must be in one folder")
    return folders.pop()


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """Make `folder` where it is missing, and remove it again if nothing is written to it."""
    is_new = not folder.exists()
    if is_new:
        folder.mkdir()
    try:
        yield
    finally:
        if is_new:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def _write(
    models: Mapping[Path, ir.Model],
    folder: Path,
    storage: Storage,
    approve: Callable[[int], bool],
    companions: Callable[[WrittenSet], Mapping[Path, Path]],
) -> WrittenSet:
    modes = {path: mode_for(path) for path in models}
    with ExitStack() as drafts:
        data_draft, data_file = drafts.enter_context(temporary_file(folder / _DRAFT))
        pool = Pool(data_file)
        layouts = _lay_out_all(models, storage, pool)
        data = folder / f"weights-{pool.digest()}.data"
        written: dict[Path, Path] = {}
        for path, layout in layouts.items():
            written[path], file = drafts.enter_context(temporary_file(path))
            write_pieces(file, layout.main_file(data.name), layout.weights)
            finish_file(file, modes[path])
        # Whoever may not read one of the models may not read its weights either.
        finish_file(data_file, reduce(and_, modes.values()))
        drafted = [*written.values(), data_draft] if pool.end else [*written.values()]
        total_bytes, shared_bytes = sum(draft.stat().st_size for draft in drafted), _shared_bytes(layouts.values())
        if not approve(total_bytes):
            return WrittenSet(files=(), total_bytes=total_bytes, shared_bytes=shared_bytes)
        files = (*models, data) if pool.end else tuple(models)
        found = WrittenSet(files=files, total_bytes=total_bytes, shared_bytes=shared_bytes)
        others = companions(found)
        with publishing(folder) as flush:
            stale = _stale_data(models, folder)
            _publish(models, written, (data_draft, data) if pool.end else None, others, flush)
            for path in stale - {data}:
                _remove(path)
    return found


def _lay_out_all(models: Mapping[Path, ir.Model], storage: Storage, pool: Pool) -> dict[Path, Layout]:
    """Decide where every weight goes, and write those that go into the data file."""
    if storage is Storage.INSIDE or len(models) == 1:
        alone = {path: lay_out(model) for path, model in models.items()}
        outside = next((path for path, layout in alone.items() if not layout.is_embedded), None)
        if outside is None:
            return alone
        if storage is Storage.INSIDE:
            raise OutputError(f"{outside}: the weights do not fit into the .onnx file; leave out --no-shared-data")
    return {path: _lay_out(model, pool) for path, model in models.items()}


def _lay_out(model: ir.Model, pool: Pool) -> Layout:
    skeleton = to_skeleton(model)
    offsets = {token: pool.place(weight) for token, weight in skeleton.weights.items()}
    proto = skeleton.proto.SerializeToString(deterministic=True)
    return Layout(skeleton=proto, weights=skeleton.weights, offsets=offsets, data_bytes=pool.end)


def _publish(
    models: Mapping[Path, ir.Model],
    drafts: Mapping[Path, Path],
    data: tuple[Path, Path] | None,
    others: Mapping[Path, Path],
    flush: Callable[[], None],
) -> None:
    """Give all files their names, the data file first and the models last, or none of them."""
    with ExitStack() as rubbish, ExitStack() as undo:
        if data is not None:
            _rename_data(*data, undo=undo)
            flush()
        for path, draft in drafts.items():
            verify_written(draft, models[path])
        for path, draft in others.items():
            _rename(draft, path, temporary_name(path), undo=undo, rubbish=rubbish)
        for path, draft in drafts.items():
            _rename(draft, path, temporary_name(path.with_name(_DRAFT)), undo=undo, rubbish=rubbish)
        for folder in {path.parent for path in others} - {path.parent for path in drafts}:
            with publishing(folder):  # which flushes the names
                pass
        undo.pop_all()


def _rename_data(draft: Path, path: Path, *, undo: ExitStack) -> None:
    """Give a data file its name; one that is there holds the same, so it need not be kept.

    Keeping it under a second name would make it a file with two hard links, which are refused, were this run killed.
    """
    if not os.path.lexists(path):
        undo.callback(_remove, path)
    draft.replace(path)


def _rename(draft: Path, path: Path, kept: Path, *, undo: ExitStack, rubbish: ExitStack) -> None:
    """Give `draft` the name `path`; what is there stays as `kept` until `rubbish` ends, for `undo`.

    Should this run be killed, the next one looks for such a name.
    """
    if os.path.lexists(path):
        rubbish.callback(_remove, kept)
        _duplicate(path, kept)
        undo.callback(kept.replace, path)
    else:
        undo.callback(_remove, path)
    draft.replace(path)


def _remove(path: Path) -> None:
    with suppress(OSError):  # nothing depends on it
        path.unlink(missing_ok=True)


def _duplicate(path: Path, other: Path) -> None:
    """Give a file a second name, or where the file system has no such thing, make a copy."""
    try:
        os.link(path, other, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(path, other, follow_symlinks=False)


def _shared_bytes(layouts: Iterable[Layout]) -> int:
    """Weight bytes that models read beyond those stored: what sharing saved."""
    lengths: dict[int, int] = {}
    total = 0
    for layout in layouts:
        own = {offset: layout.weights[token].nbytes for token, offset in layout.offsets.items()}
        total += sum(length for offset, length in own.items() if offset in lengths)
        lengths |= own
    return total


def _stale_data(models: Mapping[Path, ir.Model], folder: Path) -> set[Path]:
    """Data files of earlier sets that only the models about to be replaced read.

    None where a model that stays cannot be read: there is no telling what it needs.
    """
    found = {path for path in folder.iterdir() if _DATA_NAME.fullmatch(path.name)}
    if not found:
        return found
    replaced: set[Path] = set()
    needed = {path for path in found for file in _files(models.values()) if file.is_same_file(path)}
    for path in (path for path in folder.iterdir() if path.suffix.lower() == ".onnx" or path in models):
        try:
            read = _data_of(path, found)
        except ModelError:
            if path in models:
                continue
            return set()
        (replaced if path in models else needed).update(read)
    return replaced - needed


def _data_of(model: Path, found: Collection[Path]) -> set[Path]:
    files = _files([load(model)])
    return {path for path in found if any(file.is_same_file(path) for file in files)}


def _files(models: Iterable[ir.Model]) -> list[DataFile]:
    return [file for model in models if (facts := carried(model)) for file in facts.files]
