"""Decide from the paths a user names which models are compressed, and where the result goes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compressor.errors import OptionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Models, and the place for the result.

    Attributes:
        models: the ``.onnx`` files.
        output: a file for one model, a folder for models that belong together.
        is_set: the models are taken to belong together.
    """

    models: tuple[Path, ...]
    output: Path
    is_set: bool

    @property
    def written(self) -> tuple[Path, ...]:
        """Paths that nothing else may be written to."""
        own = tuple(self.output / model.name for model in self.models) if self.is_set else ()
        return (self.output, *own)


def select(paths: Sequence[Path], output: Path | None) -> Selection:
    """Take one file as it is; several, or the ``.onnx`` files of one folder in order of name, as a set.

    A path that leads nowhere counts as a file, so that whoever opens it says what is wrong.

    Raises:
        OptionError: a folder is named beside other paths, or holds no model.
    """
    folders = [path for path in paths if path.is_dir()]
    if not folders:
        if len(paths) == 1:
            return Selection(models=tuple(paths), output=output or beside_model(paths[0]), is_set=False)
        return Selection(models=tuple(paths), output=output or paths[0].parent / "compressed", is_set=True)
    if len(paths) > 1:
        raise OptionError(f"{folders[0]}: is a folder; name one folder alone, or files")
    return Selection(models=_models_in(folders[0]), output=output or beside_folder(folders[0]), is_set=True)


def beside_model(model: Path) -> Path:
    """Name the result: ``model.onnx`` becomes ``model.compressed.onnx`` beside it."""
    stem = model.stem if model.suffix.lower() == ".onnx" else model.name
    return model.parent / f"{stem}.compressed.onnx"


def beside_folder(folder: Path) -> Path:
    """Name the result: ``models`` becomes ``models.compressed`` beside it, also where it is spelled ``.``."""
    named = folder if folder.name not in ("", "..") else Path(os.path.abspath(folder))  # noqa: PTH100  no links followed
    return named.parent / f"{named.name}.compressed"


def _models_in(folder: Path) -> tuple[Path, ...]:
    """List models; hidden files are not the user's, such as those macOS adds to archives."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise OptionError(f"{folder}: cannot be listed: {error.strerror or error}") from error
    models = [e for e in entries if e.suffix.lower() == ".onnx" and not e.name.startswith(".") and not e.is_dir()]
    if not models:
        raise OptionError(f"{folder}: is a folder and holds no .onnx file; name a model or a folder of models")
    return tuple(models)
