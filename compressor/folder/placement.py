"""Decide where the results of a set go, and which files of its folder go along."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

from compressor.errors import OptionError, OutputError
from compressor.folder import ort_config
from compressor.folder.copying import drafted, drafted_file, files_to_copy
from compressor.folder.naming import Naming, result_name
from compressor.folder.sidecars import Sidecar, Sidecars, find_sidecars
from compressor.model.together import WrittenSet, made
from compressor.report import Skip

_CONFIG = PurePath("config.json")
"""What every folder that transformers or optimum writes holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where everything goes.

    Attributes:
        out: the folder of the results.
        sources: the model that each result is made from.
        copies: files to copy there.
        refused: files that would go along, each with the reason why it does not.
        config: where the file for optimum goes; None where the folder is not one of its kind.
    """

    out: Path
    sources: dict[Path, Path]
    copies: tuple[Sidecar, ...] = ()
    refused: tuple[Skip, ...] = ()
    config: Path | None = None

    @property
    def companions(self) -> tuple[Path, ...]:
        """What is written beside the models."""
        copies = (self.out / sidecar.name for sidecar in self.copies)
        return (*copies, *([] if self.config is None else [self.config]))

    @contextmanager
    def drafted(self, describe: Callable[[WrittenSet], bytes]) -> Iterator[Callable[[WrittenSet], Mapping[Path, Path]]]:
        """Copy what goes along under private names; what is yielded adds the file for optimum, once it is known what.

        Args:
            describe: makes the content of that file from what is being written.
        """
        with ExitStack() as stack:
            copies = stack.enter_context(drafted(self.copies, self.out))

            def with_config(written: WrittenSet) -> Mapping[Path, Path]:
                if self.config is None:
                    return copies
                return {**copies, self.config: stack.enter_context(drafted_file(self.config, describe(written)))}

            yield with_config

    @contextmanager
    def room(self) -> Iterator[None]:
        """Make the folder above that of the models, where that is one more; gone again if nothing is put in it."""
        if all(target.parent == self.out for target in self.sources):
            yield
            return
        try:
            with made(self.out):
                yield
        except FileNotFoundError as error:
            raise OutputError(f"{self.out}: the folder {self.out.parent} does not exist; create it first") from error
        except FileExistsError as error:
            raise OutputError(f"{self.out}: is not a folder; name another output") from error


def place(models: Sequence[Path], out: Path, folder: Path | None, naming: Naming, *, overwrite: bool) -> Placement:
    """Give each model's result a path in `out`; models of an export `folder` keep their place in it.

    Where the results go into `folder` itself, or none is given, nothing else does.

    Raises:
        OptionError: there is no model, one is not in `folder`, or two results have the same name.
        OutputError: a file that would go along, or the file for optimum, is there already with another content.
    """
    inside = _subfolder(models, folder)
    sources = _by_target(models, out / inside, naming)
    if folder is None or _is_same_folder(folder, out):
        return Placement(out=out, sources=sources)
    sidecars: Sidecars = find_sidecars(folder, inside)
    config = out / ort_config.NAME if any(sidecar.name == _CONFIG for sidecar in sidecars.found) else None
    if config is not None:
        _check_config(config, overwrite)
    return Placement(
        out=out,
        sources=sources,
        copies=files_to_copy(sidecars.found, out, overwrite=overwrite),
        refused=sidecars.refused,
        config=config,
    )


def _subfolder(models: Sequence[Path], folder: Path | None) -> PurePath:
    if folder is None:
        return PurePath()
    folders = {model.parent for model in models}
    if len(folders) > 1 or not min(folders, default=folder).is_relative_to(folder):
        raise OptionError(f"{folder}: the models must be in one folder, this one or one in it")
    return min(folders, default=folder).relative_to(folder)


def _by_target(models: Sequence[Path], folder: Path, naming: Naming) -> dict[Path, Path]:
    if not models:
        raise OptionError("no model is given; name a folder with .onnx files, or the files")
    by_name: dict[str, Path] = {}
    for model in models:
        name = result_name(model, naming).casefold()
        if name in by_name:
            raise OptionError(f"{by_name[name]} and {model} have the same name, which results keep; rename one")
        by_name[name] = model
    return {folder / result_name(model, naming): model for model in models}


def _is_same_folder(folder: Path, other: Path) -> bool:
    try:
        return folder.samefile(other)
    except OSError:
        return False


def _check_config(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; choose another output")
    if overwrite or not os.path.lexists(path):
        return
    try:
        is_ours = ort_config.MARK in path.read_bytes()
    except OSError:
        is_ours = False
    if not is_ours:
        raise OutputError(
            f"{path}: exists and is another file; choose another output, or allow overwriting it (--force)"
        )
