"""Write models that belong together so that what they share is stored once, in a data file beside them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import onnx_ir as ir

from compressor.errors import ModelError, OutputError
from compressor.model.carried import carried
from compressor.model.layout import DIGEST_LENGTH, Layout, aligned
from compressor.model.load import load
from compressor.model.save import (
    check_output,
    finish_file,
    flush_folder,
    mode_for,
    remove_abandoned,
    temporary_file,
    verify_written,
    write_pieces,
)
from compressor.model.skeleton import to_skeleton
from compressor.model.weights import DetachedWeight, StoredWeight

_DATA_NAME = re.compile(rf"weights-[0-9a-f]{{{DIGEST_LENGTH}}}\.data")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenSet:
    """What one call wrote.

    Attributes:
        files: the models in the order given, then the data file they share.
        total_bytes: of all files.
        shared_bytes: weight bytes that more than one model reads, counted once for each model after the first.
    """

    files: tuple[Path, ...]
    total_bytes: int
    shared_bytes: int


def save_together(models: Mapping[Path, ir.Model], *, overwrite: bool = False) -> WrittenSet:
    """Write each model to its path, all in one folder, their weights in one data file; each loads on its own.

    Weights are shared by their bytes. The data file's name holds a digest of its content and it is renamed first, so
    at every moment each ``.onnx`` file is whole: the old one with its old data, or the new one with the new.

    Raises:
        OutputError: as :func:`compressor.model.save.save`; then nothing is left behind.
    """
    folders = {path.parent for path in models}
    if len(folders) != 1:
        raise OutputError(f"{', '.join(map(str, sorted(folders)))}: models that share weights must be in one folder")
    for path, model in models.items():
        check_output(path, model, overwrite=overwrite)
        remove_abandoned(path)
    try:
        return _write(models, next(iter(folders)))
    except OSError as error:
        raise OutputError(
            f"{next(iter(folders))}: cannot be written: {error.strerror or error}; nothing was left behind"
        ) from error


@dataclass(slots=True)
class _Pool:
    """The data file while it is written: every content once."""

    file: BinaryIO
    end: int = 0
    shared_bytes: int = 0
    by_storage: dict[Hashable, int] = field(default_factory=dict)
    by_content: dict[tuple[int, bytes], int] = field(default_factory=dict)

    def place(self, weight: DetachedWeight) -> int:
        """Write `weight` unless its bytes are there already; the offset of its first byte."""
        storage = weight.key if isinstance(weight, StoredWeight) else id(weight)
        if storage in self.by_storage:
            return self.by_storage[storage]
        offset = aligned(self.end, weight.nbytes)
        self.file.seek(offset)
        digest = hashlib.blake2b(digest_size=32)
        for chunk in weight.chunks():
            self.file.write(chunk)
            digest.update(chunk)
        content = (weight.nbytes, digest.digest())
        if content in self.by_content:
            offset = self.by_content[content]  # what was just written will be written over, or cut off
        else:
            self.by_content[content] = offset
            self.end = offset + weight.nbytes
        self.by_storage[storage] = offset
        return offset

    def close(self) -> str:
        """Cut off what is not needed; the digest of what is."""
        self.file.flush()
        self.file.truncate(self.end)
        digest = hashlib.blake2b(digest_size=DIGEST_LENGTH // 2)
        for (length, content), offset in self.by_content.items():
            digest.update(f"{offset} {length} ".encode() + content)
        return digest.hexdigest()


def _write(models: Mapping[Path, ir.Model], folder: Path) -> WrittenSet:
    replaced = _replaced_data(models, folder)
    with ExitStack() as stack:
        data_path, data_file = stack.enter_context(temporary_file(folder / "weights.data"))
        pool = _Pool(data_file)
        layouts = {path: _lay_out(model, pool) for path, model in models.items()}
        data = folder / f"weights-{pool.close()}.data"
        written: dict[Path, Path] = {}
        for path, layout in layouts.items():
            temporary, file = stack.enter_context(temporary_file(path))
            write_pieces(file, layout.main_file(data.name), layout.weights)
            finish_file(file, mode_for(path))
            written[path] = temporary
        finish_file(data_file, mode_for(data))
        is_new = not data.exists()
        data_path.replace(data)
        try:
            for path, temporary in written.items():
                verify_written(temporary, models[path])
        except BaseException:
            if is_new:
                data.unlink(missing_ok=True)
            raise
        for path, temporary in written.items():
            temporary.replace(path)
    flush_folder(folder)
    for stale in replaced - {data}:
        stale.unlink(missing_ok=True)
    files = (*models, data)
    return WrittenSet(
        files=files,
        total_bytes=sum(file.stat().st_size for file in files),
        shared_bytes=_shared_bytes(layouts.values()),
    )


def _lay_out(model: ir.Model, pool: _Pool) -> Layout:
    skeleton = to_skeleton(model)
    offsets = {token: pool.place(weight) for token, weight in skeleton.weights.items()}
    proto = skeleton.proto.SerializeToString(deterministic=True)
    return Layout(skeleton=proto, weights=skeleton.weights, offsets=offsets, data_bytes=pool.end)


def _shared_bytes(layouts: Iterable[Layout]) -> int:
    """Weight bytes that models read beyond those stored: what sharing saved."""
    lengths: dict[int, int] = {}
    total = 0
    for layout in layouts:
        own = {offset: layout.weights[token].nbytes for token, offset in layout.offsets.items()}
        total += sum(length for offset, length in own.items() if offset in lengths)
        lengths |= own
    return total


def _replaced_data(models: Mapping[Path, ir.Model], folder: Path) -> set[Path]:
    """Data files of earlier sets that only the models about to be replaced read."""
    used_elsewhere: set[Path] = set()
    replaced: set[Path] = set()
    for path in folder.glob("*.onnx"):
        with suppress(ModelError):
            facts = carried(load(path))
            files = {folder / file.path.name for file in facts.files[1:]} if facts else set()
            (replaced if path in models else used_elsewhere).update(files)
    return {path for path in replaced - used_elsewhere if _DATA_NAME.fullmatch(path.name)}
