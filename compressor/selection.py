"""Decide from the paths a user names which models are compressed, and where the result goes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compressor.errors import OptionError
from compressor.folder.naming import Naming, result_name
from compressor.folder.ort_config import NAME as ORT_CONFIG

_SUBFOLDER = "onnx"
"""Where transformers.js and sentence-transformers keep the models of a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Models, and the place for the result.

    Attributes:
        models: the ``.onnx`` files.
        output: a file for one model, a folder for models that belong together.
        is_set: the models are taken to belong together.
        folder: the folder that was named, whose other files may go along; None where files were named.
        naming: what the results of a set are called.
    """

    models: tuple[Path, ...]
    output: Path
    is_set: bool
    folder: Path | None = None
    naming: Naming = Naming.KEEP

    @property
    def written(self) -> tuple[Path, ...]:
        """Paths that nothing else may be written to; any file of a folder may have a copy in the result."""
        if not self.is_set:
            return (self.output,)
        top = self.folder or Path()
        places = [model.parent.relative_to(top) if self.folder else Path() for model in self.models]
        names = [result_name(model, self.naming) for model in self.models]
        results = (self.output / place / name for place, name in zip(places, names, strict=True))
        others = (self.output / path.relative_to(top) for path in top.glob("*")) if self.folder else ()
        return (self.output, *results, *others, self.output / ORT_CONFIG)


def select(paths: Sequence[Path], output: Path | None, naming: Naming = Naming.KEEP) -> Selection:
    """Take one file as it is; several, or the ``.onnx`` files of one folder in order of name, as a set.

    A folder that holds none, but a folder ``onnx`` with some, stands for that. A path that leads nowhere counts as a
    file, so that whoever opens it says what is wrong.

    Raises:
        OptionError: a folder is named beside other paths, or holds no model; or a result is named twice.
    """
    folders = [path for path in paths if path.is_dir()]
    if not folders:
        if len(paths) == 1:
            return Selection(models=tuple(paths), output=_output_of(paths[0], output, naming), is_set=False)
        out = output or paths[0].parent / "compressed"
        return Selection(models=tuple(paths), output=out, is_set=True, naming=naming)
    if len(paths) > 1:
        raise OptionError(f"{folders[0]}: is a folder; name one folder alone, or files")
    folder, out = folders[0], output or beside_folder(folders[0])
    return Selection(models=_models_in(folder), output=out, is_set=True, folder=folder, naming=naming)


def _output_of(model: Path, output: Path | None, naming: Naming) -> Path:
    if output is not None and naming is not Naming.KEEP:
        raise OptionError(f"{output}: --output and --naming both name the result; give one of them")
    if naming is Naming.KEEP:
        return output or beside_model(model)
    return model.with_name(result_name(model, naming))


def beside_model(model: Path) -> Path:
    """Name the result: ``model.onnx`` becomes ``model.compressed.onnx`` beside it."""
    stem = model.stem if model.suffix.lower() == ".onnx" else model.name
    return model.parent / f"{stem}.compressed.onnx"


def beside_folder(folder: Path) -> Path:
    """Name the result: ``models`` becomes ``models.compressed`` beside it, also where it is spelled ``.``."""
    named = folder if folder.name not in ("", "..") else Path(os.path.abspath(folder))  # noqa: PTH100  no links followed
    return named.parent / f"{named.name}.compressed"


def _models_in(folder: Path) -> tuple[Path, ...]:
    found = _listed(folder)
    if not found and (folder / _SUBFOLDER).is_dir():
        found = _listed(folder / _SUBFOLDER)
    if not found:
        raise OptionError(f"{folder}: is a folder and holds no .onnx file; name a model or a folder of models")
    return found


def _listed(folder: Path) -> tuple[Path, ...]:
    """List models; hidden files are not the user's, such as those macOS adds to archives."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise OptionError(f"{folder}: cannot be listed: {error.strerror or error}") from error
    return tuple(e for e in entries if e.suffix.lower() == ".onnx" and not e.name.startswith(".") and not e.is_dir())
