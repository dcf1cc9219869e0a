"""Compress a model file, or several that belong together: load, run the recipe, write, report."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from compressor.budget import Budget
from compressor.chain import Progress
from compressor.errors import OptionError
from compressor.evaluation.settings import Evaluation
from compressor.folder.naming import Naming
from compressor.folder.ort_config import ort_config
from compressor.folder.placement import place
from compressor.model.load import load
from compressor.model.save import check_output, save
from compressor.model.size import bytes_on_disk
from compressor.model.together import Storage, check_together, save_together
from compressor.recipe import Recipe
from compressor.report import Report, SetReport
from compressor.treatment import Treatment, checked, figures_of


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
    limits = checked(budget, verify, search)
    treatment = Treatment.of(recipe, verify, evaluation, progress, limits if search else None)
    target = Path(out) if out is not None else None
    treatment.tell("reading the model")
    model = load(path)
    if target is not None:
        check_output(target, model, overwrite=force)
    result, report = treatment.apply(model, Path(path))
    report = replace(report, broken_limits=limits.broken(figures_of(report)))
    if target is None or (report.broken_limits and not keep):
        return report
    treatment.tell("writing the result")
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
    limits = checked(budget, verify, search)
    each = replace(limits, max_size=None)
    treatment = Treatment.of(recipe, verify, evaluation, progress, each if search else None)
    if treatment.evaluation.data is not None and len(paths) > 1:
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
            treatment.tell(target.name)
            results[target], report = treatment.apply(model, placement.sources[target])
            broken = each.broken(figures_of(report))
            reports.append(replace(report, output=target, broken_limits=broken))
        is_good = keep or not any(report.broken_limits for report in reports)
        too_large = partial(limits.too_large, original_bytes=original_bytes)
        treatment.tell("writing the results")
        with placement.drafted(partial(ort_config, reports, results, treatment.recipe)) as companions:
            written = save_together(
                results,
                overwrite=force,
                storage=storage,
                approve=lambda total_bytes: is_good and (keep or not too_large(total_bytes)),
                companions=companions,
            )
    return SetReport(
        reports=tuple(reports if written.files else (replace(report, output=None) for report in reports)),
        files=written.files,
        original_bytes=original_bytes,
        total_bytes=written.total_bytes,
        shared_bytes=written.shared_bytes,
        broken_limits=too_large(written.total_bytes),
        sidecars=placement.companions if written.files else (),
        sidecars_refused=placement.refused,
    )
