"""Compress models that have nothing to do with each other: one that fails does not stop the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from compressor.apart import run_apart
from compressor.budget import Budget
from compressor.chain import Progress
from compressor.errors import CompressorError, OptionError, OutputError
from compressor.evaluation.settings import Evaluation
from compressor.folder.naming import Naming, result_name
from compressor.pipeline import compress
from compressor.recipe import Recipe
from compressor.report import EachReport, Ending


def compress_each(
    paths: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    recipe: Recipe | None = None,
    budget: Budget | None = None,
    search: bool = False,
    keep: bool = False,
    force: bool = False,
    verify: bool = True,
    evaluation: Evaluation | None = None,
    progress: Progress | None = None,
    naming: Naming = Naming.KEEP,
    jobs: int = 1,
) -> EachReport:
    """Compress each model as :func:`compressor.compress` does, into one folder.

    Args:
        paths: the ``.onnx`` files.
        out: the folder for the results; it is made where it is missing, the folders above it are not.
        recipe, budget, search, keep, force, verify, evaluation, progress: as for :func:`compressor.compress`.
        naming: what the results are called.
        jobs: models at a time. Each of several has a process of its own, so that one that crashes the runtime does not
            take the others along; a script that asks for it must guard its main part
            (``if __name__ == "__main__":``). The threads of the machine are shared out.

    Returns:
        How each came out, in the order given, whether it was compressed or refused.

    Raises:
        OptionError: no file is given, two results would have the same name, or `jobs` contradicts another option.
        OutputError: the folder cannot be made, or is one that a source is in.
    """
    if jobs < 1:
        raise OptionError(f"jobs is {jobs}; it takes a number of at least 1")
    if jobs > 1 and budget is not None and budget.min_speedup is not None:
        raise OptionError("runs cannot be timed while others go on; leave out --jobs or --min-speedup")
    folder, tell = Path(out), progress or (lambda words: None)
    targets = _targets([Path(path) for path in paths], folder, naming)
    options = {
        "recipe": recipe, "budget": budget, "search": search, "keep": keep, "force": force, "verify": verify,
        "evaluation": _sharing_threads(evaluation or Evaluation(), jobs),
    }  # fmt: skip
    tasks = [_Task(source, target, options) for target, source in targets.items()]
    with _made(folder):
        if jobs > 1:
            endings = run_apart(tasks, jobs, tell)
        else:
            endings = [replace(task, progress=_about(task.source, tell))() for task in tasks]
    return EachReport(endings=tuple(endings), jobs=jobs)


@dataclass(frozen=True, slots=True)
class _Task:
    """One model to compress; calling it always gives an ending."""

    source: Path
    target: Path
    options: Mapping[str, Any]  # keyword arguments of compress()
    progress: Progress | None = field(default=None, compare=False)

    def __call__(self) -> Ending:
        try:
            return Ending(
                source=self.source, report=compress(self.source, self.target, progress=self.progress, **self.options)
            )
        except CompressorError as error:
            reason = str(error).removeprefix(f"{self.source}: ")
        except OSError as error:
            reason = f"the system refused: {error}"
        except Exception as error:  # noqa: BLE001  # the other models are not to pay for a defect met in this one
            reason = f"a defect of compressor, not of the model; please report it: {type(error).__name__}: {error}"
        return self.refused(reason)

    def refused(self, reason: str) -> Ending:
        return Ending(source=self.source, report=None, refusal=reason)


def _about(source: Path, tell: Progress) -> Progress:
    return lambda words: tell(f"{source.name}: {words}")


def _sharing_threads(evaluation: Evaluation, jobs: int) -> Evaluation:
    if jobs == 1 or evaluation.threads:
        return evaluation
    return replace(evaluation, threads=max(1, (os.cpu_count() or 1) // jobs))


def _targets(paths: Sequence[Path], folder: Path, naming: Naming) -> dict[Path, Path]:
    """Where each result goes, and where it comes from."""
    if not paths:
        raise OptionError("no model is given; name a folder with .onnx files, or the files")
    by_name: dict[str, Path] = {}
    for path in paths:
        name = result_name(path, naming).casefold()  # some file systems do not tell cases apart
        if name in by_name:
            raise OptionError(f"the results of {by_name[name]} and {path} have the same name; rename one")
        by_name[name] = path
        # A result is renamed to its place, so only a source of that very name could be lost.
        if folder.exists() and path.parent.exists() and folder.samefile(path.parent):
            raise OutputError(f"{folder}: is the folder of {path.name}; name another, sources are never written over")
    return {folder / result_name(path, naming): path for path in paths}


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make `folder` where it is missing, and remove it again if nothing was written to it."""
    is_new = not os.path.lexists(folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror or error}; name another output") from error
    try:
        yield
    finally:
        if is_new:
            with suppress(OSError):  # it is not empty
                folder.rmdir()
