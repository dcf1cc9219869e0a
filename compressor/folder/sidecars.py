"""Find the small files that a model's users read beside it: configuration, tokenizer, preprocessing, licence."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from compressor.errors import ModelError, OptionError
from compressor.model.files import DataFile
from compressor.report import Skip

LARGEST_BYTES = 1 << 26
"""Of one file that is copied; the largest tokenizers in use take half of it."""

_ENDINGS = frozenset((".json", ".txt", ".model", ".jinja", ".tiktoken", ".spm", ".bpe", ".vocab"))
_LICENCE = re.compile(r"(licen[cs]e|notice)(\..*)?", re.IGNORECASE)
_NOT_OF_THE_RESULT = re.compile(r"(ort|quantize|quant)_config\.json|.*\.index\.json")
"""What tells how the source's weights are stored."""

_MODULE = re.compile(r"\d+_\w+")
"""Folders in which sentence-transformers keeps the settings of a pipeline's steps, such as ``1_Pooling``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """A file that goes with the models, open for reading.

    Attributes:
        name: its path below the folder.
        file: what is read, whatever becomes of the path.
    """

    name: PurePath
    file: DataFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecars:
    """What an export folder holds beside its models.

    Attributes:
        found: files to copy, in order of name.
        refused: files of the same kinds that are not copied, each with the reason.
    """

    found: tuple[Sidecar, ...] = ()
    refused: tuple[Skip, ...] = ()


def find_sidecars(folder: Path, models: PurePath) -> Sidecars:
    """Open every file that goes with the models of `folder`, which are in its subfolder `models` (``.`` for itself).

    Files are known by their names: weights of other formats, data and pictures are not copied. A link may lead to a
    file in the same folder, or in the Hugging Face cache from a snapshot to its blobs; nowhere else.

    Raises:
        OptionError: a folder cannot be listed.
    """
    found, refused = [], []
    for name in _names(folder, models):
        try:
            found.append(Sidecar(name=name, file=_open(folder, name)))
        except ModelError as error:
            refused.append(Skip(candidate=str(name), reason=str(error)))
    return Sidecars(found=tuple(found), refused=tuple(refused))


def _names(folder: Path, models: PurePath) -> Iterator[PurePath]:
    for entry in _listed(folder):
        inside = _MODULE.fullmatch(entry) or PurePath(entry) == models
        if inside and (folder / entry).is_dir():
            yield from (PurePath(entry, name) for name in _listed(folder / entry) if _goes_along(name))
        elif _goes_along(entry) and not (folder / entry).is_dir():
            yield PurePath(entry)


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise OptionError(f"{folder}: cannot be listed: {error.strerror or error}") from error


def _goes_along(name: str) -> bool:
    if name.startswith(".") or _NOT_OF_THE_RESULT.fullmatch(name):
        return False
    return PurePath(name).suffix.lower() in _ENDINGS or _LICENCE.fullmatch(name) is not None


def _open(folder: Path, name: PurePath) -> DataFile:
    """Open a file of `folder`.

    Raises:
        ModelError: it is elsewhere, not a regular file, or too large; the text is the reason alone.
    """
    path = folder / name
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise ModelError("is a link that leads nowhere") from error
    if not any(real.is_relative_to(root) for root in _roots(folder)):
        raise ModelError("is a link that leads out of the folder")
    try:
        file = DataFile(real)
    except ModelError as error:
        raise ModelError("is not a regular file that can be read") from error
    if file.status.st_nlink > 1:
        raise ModelError("has several hard links, so it may be a file from elsewhere")
    if file.size > LARGEST_BYTES:
        raise ModelError(f"has {file.size:,} bytes; files that go along have at most {LARGEST_BYTES:,}")
    return file


def _roots(folder: Path) -> Iterator[Path]:
    """Where files may really be; the cache is ``snapshots/<revision>/``, perhaps with ``onnx/``, beside ``blobs/``."""
    place = Path(os.path.abspath(folder))  # noqa: PTH100 - keeps links, resolve() would not
    yield place.resolve()
    for ancestor in (place, place.parent):
        if ancestor.parent.name == "snapshots":
            yield (ancestor.parent.parent / "blobs").resolve()
