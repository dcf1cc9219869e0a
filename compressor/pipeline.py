"""Compress a model file, or several that belong together: load, run the recipe, write, report."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir

from compressor.budget import Budget, Figures
from compressor.chain import Chain, Progress
from compressor.errors import OptionError
from compressor.evaluation.contract import Refusal
from compressor.evaluation.host import describe_host
from compressor.evaluation.settings import Evaluation
from compressor.folder.copying import drafted, write_file
from compressor.folder.naming import Naming
from compressor.folder.ort_config import ort_config
from compressor.folder.placement import place
from compressor.model.carried import carried
from compressor.model.layers import layers_of
from compressor.model.load import load
from compressor.model.save import check_output, save
from compressor.model.size import bytes_on_disk
from compressor.model.together import Storage, check_together, save_together
from compressor.passes.contract import Pass
from compressor.passes.quantize import QuantizeDynamic
from compressor.recipe import Recipe
from compressor.report import Attempt, Report, SetReport

if TYPE_CHECKING:
    from compressor.evaluation.judge import Judge
    from compressor.search.search import Found


def compress(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    recipe: Recipe | None = None,
    budget: Budget | None = None,
    search: bool = False,
    keep: bool = False,
    force: bool = False,
    verify: bool = True,
    evaluation: Evaluation | None = None,
    progress: Progress | None = None,
) -> Report:
    """Compress the model at `path` and say what it cost.

    Args:
        path: the ``.onnx`` file; it and its data files are only read.
        out: where the result goes; None measures without writing.
        recipe: the passes; None takes deduplicate, fuse, smooth, quantize.
        budget: what the result may cost; where it costs more, nothing is written and the report says what is broken.
        search: choose the scheme of every weight, in place of the quantize pass's own, so that the result keeps the
            limits of `budget` on quality at the smallest size, or its limit of size at the best quality. The report
            holds what was tried, and the recipe that makes the same result again.
        keep: write the result even if it breaks a limit.
        force: replace an existing `out`.
        verify: run original and result after every pass; without it nothing is known of accuracy.
        evaluation: the inputs and labels to judge on; None makes inputs up from the model's signature.
        progress: told in a few words what is being done.

    Raises:
        ModelError: the file, or data it points to, is missing, malformed or unsafe.
        OptionError: the budget holds limits that `verify` would have to check, or the data of `evaluation` cannot be
            read or does not fit the model, or there is nothing to search for, or the model does not run.
        OutputError: `out` cannot be written, or exists and `force` is not set.
    """
    limits = _checkable(budget, verify, search)
    settings = _settings(recipe, verify, evaluation, progress, limits if search else None)
    target = Path(out) if out is not None else None
    settings.tell("reading the model")
    model = load(path)
    if target is not None:
        check_output(target, model, overwrite=force)
    result, report = _run(model, Path(path), settings)
    report = replace(report, broken_limits=limits.broken(_figures_of(report)))
    if target is None or (report.broken_limits and not keep):
        return report
    settings.tell("writing the result")
    started = time.perf_counter()
    save(result, target, overwrite=force)
    return replace(report, output=target, seconds=report.seconds + time.perf_counter() - started)


def compress_together(
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
    folder: str | os.PathLike[str] | None = None,
    naming: Naming = Naming.KEEP,
    storage: Storage = Storage.SHARED,
) -> SetReport:
    """Compress models that belong together (encoder, decoder, decoder with past) into one folder.

    Each is compressed as by :func:`compress`; weights that several of them hold are stored once, in a data file that
    all point into. Each still loads on its own.

    Args:
        paths: the ``.onnx`` files.
        out: the folder for the results; it is made where it is missing, the folders above it are not.
        recipe, keep, force, verify, progress: as for :func:`compress`.
        budget: each model is held to its quality limits, the whole set to its size.
        search: as for :func:`compress`, for each model; it takes a limit on quality.
        evaluation: as for :func:`compress`, but data fits one model at a time.
        folder: the export folder that the models are in, or in a folder of; its configuration, tokenizer and the like
            are copied, and an ``ort_config.json`` is written beside them. None writes the models alone.
        naming: what the results are called.
        storage: where weights go.

    Raises:
        ModelError: one of the files is missing, malformed or unsafe; then nothing is written.
        OptionError: no file is given, or two have the same name, which some file systems find in other case too; or
            data is given for several; or as for :func:`compress`.
        OutputError: a result cannot be written, or exists and `force` is not set.
    """
    limits = _checkable(budget, verify, search)
    settings = _settings(recipe, verify, evaluation, progress, replace(limits, max_size=None) if search else None)
    if settings.evaluation.data is not None and len(paths) > 1:
        raise OptionError("data fits one model at a time; compress the models one by one, or leave out --data")
    if search and not limits.limits_quality:
        raise OptionError("a search over several models needs a limit on quality (--min-cosine, ...); a size is of all")
    models, origin = [Path(path) for path in paths], Path(folder) if folder is not None else None
    placement = place(models, Path(out), origin, naming, overwrite=force)
    sources = {target: load(path) for target, path in placement.sources.items()}
    original_bytes = bytes_on_disk(sources.values())
    with placement.room():
        check_together(sources, overwrite=force)
        results, reports = {}, []
        for target, model in sources.items():
            settings.tell(target.name)
            results[target], report = _run(model, placement.sources[target], settings)
            broken = replace(limits, max_size=None).broken(_figures_of(report))
            reports.append(replace(report, output=target, broken_limits=broken))
        is_good = keep or not any(report.broken_limits for report in reports)
        too_large = partial(limits.too_large, original_bytes=original_bytes)
        settings.tell("writing the results")
        with drafted(placement.copies, placement.out) as publish:
            written = save_together(
                results,
                overwrite=force,
                storage=storage,
                approve=lambda total_bytes: is_good and (keep or not too_large(total_bytes)),
            )
            copied = publish() if written.files else ()
        if written.files and placement.config is not None:
            write_file(placement.config, ort_config(reports, results, settings.recipe, written))
            copied = (*copied, placement.config)
    return SetReport(
        reports=tuple(reports if written.files else (replace(report, output=None) for report in reports)),
        files=written.files,
        original_bytes=original_bytes,
        total_bytes=written.total_bytes,
        shared_bytes=written.shared_bytes,
        broken_limits=too_large(written.total_bytes),
        sidecars=copied,
        sidecars_refused=placement.refused,
    )


def _checkable(budget: Budget | None, verify: bool, search: bool) -> Budget:
    limits = budget or Budget()
    if search and not verify:
        raise OptionError("a search runs the models; leave out --no-verify or --search")
    if limits.needs_runs and not verify:
        names = ", ".join(limits.needs_runs)
        raise OptionError(f"{names}: can only be checked by running the models; leave out --no-verify or the limit")
    return limits


def _figures_of(report: Report) -> Figures:
    last = report.steps[-1] if report.steps else None
    return Figures(
        total_bytes=report.final.total_bytes,
        original_bytes=report.original.total_bytes,
        fidelity=last.fidelity if last else None,
        speedup=last.speedup if last else None,
        score=last.score if last else None,
        original_score=report.original_score,
    )


@dataclass(frozen=True, slots=True)
class _Settings:
    """What holds for every model of a run."""

    recipe: Recipe
    verify: bool
    evaluation: Evaluation
    tell: Progress
    searched: Budget | None
    """What a search is to keep; None where none is asked for."""


def _settings(
    recipe: Recipe | None,
    verify: bool,
    evaluation: Evaluation | None,
    progress: Progress | None,
    searched: Budget | None,
) -> _Settings:
    chosen = evaluation or Evaluation()
    if chosen.data is not None and not verify:
        raise OptionError("data is only of use where models are run; leave out --no-verify or --data")
    passes = recipe or Recipe.default()
    if searched is not None and not any(isinstance(step, QuantizeDynamic) for step in passes.passes):
        raise OptionError("a search chooses the schemes of the quantize pass, and the recipe has none; add it")
    return _Settings(passes, verify, chosen, progress or (lambda words: None), searched)


def _run(model: ir.Model, source: Path, settings: _Settings) -> tuple[ir.Model, Report]:
    """Take `model` through the recipe; nothing is written."""
    started = time.perf_counter()
    warnings = list(facts.warnings) if (facts := carried(model)) else []
    judge = _find_judge(model, source, settings, warnings)
    must_load = settings.verify and judge is None and _loads(model)
    chain = Chain(model=model, judge=judge, must_load=must_load, tell=settings.tell)
    # The source's files may hold more than the model needs, and that is what they weigh.
    original = replace(chain.size, total_bytes=bytes_on_disk([model]))
    done: list[Pass] = []
    attempts: tuple[Attempt, ...] = ()
    for step in settings.recipe.passes:
        if isinstance(step, QuantizeDynamic) and settings.searched is not None:
            found = _search(step, chain.model, judge, settings, original.total_bytes)
            step, attempts = found.step, (*attempts, *found.attempts)
        chain.apply(step)
        done.append(step)
    report = Report(
        source=source,
        output=None,
        original=original,
        steps=tuple(chain.steps),
        host=describe_host(settings.evaluation.threads),
        warnings=tuple(warnings),
        recipe=Recipe(tuple(done)).to_toml(),
        attempts=attempts,
        samples=judge.samples.description if judge is not None else "",
        original_score=judge.original_score.summary if judge is not None and judge.original_score is not None else None,
        original_layers=layers_of(model),
        final_layers=layers_of(chain.model),
        seconds=time.perf_counter() - started,
    )
    return chain.model, report


def _search(
    step: QuantizeDynamic, model: ir.Model, judge: Judge | None, settings: _Settings, original_bytes: int
) -> Found:
    """Choose the schemes of `step` for the model as it stands."""
    from compressor.search.search import search
    from compressor.search.trial import Bench

    if judge is None or settings.searched is None:
        raise OptionError("a search runs the model, and this one does not run on inputs made up for it; give --data")
    return search(Bench(model, step, judge, settings.searched, original_bytes), settings.tell)


def _loads(model: ir.Model) -> bool:
    """A model that loads but runs on no input made up for it can at least be held to loading."""
    from compressor.evaluation.judge import refusal_to_load

    return refusal_to_load(model) is None


def _find_judge(model: ir.Model, source: Path, settings: _Settings, warnings: list[str]) -> Judge | None:
    if not settings.verify:
        warnings.append("nothing was run, so accuracy is unknown (--no-verify)")
        return None
    from compressor.evaluation.judge import appoint_judge  # what runs models is imported where one is run

    chosen, material = settings.evaluation, None
    if chosen.data is not None:
        from compressor.evaluation.data.read import read_material

        settings.tell("reading the data")
        material = read_material(model, source, chosen.data, chosen)
    settings.tell("running the original")
    judge = appoint_judge(model, seed=chosen.seed, threads=chosen.threads, material=material, tell=settings.tell)
    if isinstance(judge, Refusal):
        warnings.append(f"accuracy is unknown, nothing could be measured: {judge.reason}")
        return None
    warnings.extend(judge.samples.notes)
    warnings.extend(
        f"output {name!r} is not judged: the original does not repeat it when it is run twice"
        for name in judge.left_out
    )
    return judge
