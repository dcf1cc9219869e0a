"""Read the user's data into samples, and its labels into a task."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import onnx_ir as ir

from compressor.errors import OptionError
from compressor.evaluation.contract import Feeds, Refusal, Samples
from compressor.evaluation.data.companions import Companions
from compressor.evaluation.data.fill import describe_missing, fill
from compressor.evaluation.data.from_arrays import holds_arrays, read_arrays
from compressor.evaluation.data.from_table import read_table_rows
from compressor.evaluation.data.given import Given, Subject
from compressor.evaluation.data.images import list_images
from compressor.evaluation.data.rows import MadeBatches, fill_up, group
from compressor.evaluation.data.table import SUFFIXES, read_table
from compressor.evaluation.material import Material
from compressor.evaluation.settings import Evaluation
from compressor.evaluation.signature import InputSpec, read_signature
from compressor.evaluation.tasks.choice import make_task, read_ports
from compressor.evaluation.tasks.contract import Labelling, Task


def read_material(model: ir.Model, source: Path, data: Path, evaluation: Evaluation) -> Material:
    """Read inputs, and labels if there are any.

    Args:
        model: the original.
        source: its file, beside which tokenizer and configuration are looked for.
        data: the user's file or folder.
        evaluation: which of it is wanted.

    Raises:
        OptionError: the data, or a file beside the model, is missing or malformed or does not fit the model.
    """
    specs = read_signature(model)
    if isinstance(specs, Refusal):
        raise OptionError(f"{source}: {specs.reason}, nor read from data; leave out --data")
    if not specs:
        raise OptionError(f"{source}: has no inputs, so there is nothing to feed; leave out --data")
    subject = Subject(specs=specs, ports=read_ports(model), companions=Companions.beside(source))
    given = _read(data, subject, evaluation)
    return Material(samples=_make_samples(given, specs, data, evaluation), task=_make_task(given, subject))


def _read(path: Path, subject: Subject, evaluation: Evaluation) -> Given:
    suffix = path.suffix.lower()
    if not path.is_dir() and not path.is_file():
        raise OptionError(f"{path}: there is no such file or folder of data")
    if suffix == ".npz" or (path.is_dir() and holds_arrays(path)):
        return read_arrays(path, subject, evaluation)
    if path.is_dir():
        return read_table_rows(list_images(path, evaluation.samples, evaluation.seed), subject, evaluation)
    if suffix in SUFFIXES:
        return read_table_rows(read_table(path, evaluation.samples, evaluation.seed), subject, evaluation)
    raise OptionError(
        f"{path}: is no data that can be read; give .npz, .csv, .tsv, .jsonl, or a folder of .npy or images"
    )


def _make_samples(given: Given, specs: Sequence[InputSpec], path: Path, evaluation: Evaluation) -> Samples:
    fixed = _fixed_rows(given, specs)
    groups = group(given.rows.count, fixed or evaluation.batch_size, given.rows.lengths)
    notes = [*given.rows.notes, *describe_missing(given.rows.inputs, specs), *given.notes]
    if fixed:
        short = fixed - len(groups[-1])
        groups = fill_up(groups, fixed)
        notes += [f"the model takes {fixed} rows at once: the last batch is filled up with {short}"] if short else []

    @lru_cache(maxsize=1)  # the original, the candidate and the comparison ask for each batch in turn
    def make(places: tuple[int, ...]) -> Feeds:
        return fill(given.rows.batch(places), specs, evaluation.seed, places[0])

    return Samples(
        batches=MadeBatches(groups, make),
        generated=False,
        description=_describe(given, path, fixed or evaluation.batch_size, evaluation.seed),
        notes=tuple(notes),
        places=groups,
        row_numbers=given.numbers,
        excerpts=given.excerpts,
    )


def _make_task(given: Given, subject: Subject) -> Task | None:
    if not given.task:
        return None
    labelling = Labelling(
        values=given.labels.values,
        places=given.labels.places,
        names=subject.companions.label_names(),
        names_source=str(subject.companions.find("config.json") or "config.json"),
        outputs=subject.ports,
        alignment=given.alignment,
        is_paired=given.is_paired,
    )
    return make_task(given.task, labelling, given.ids)


def _fixed_rows(given: Given, specs: Sequence[InputSpec]) -> int | None:
    """Rows of a batch where the graph fixes them."""
    first = [spec.axes[0] for spec in specs if spec.name in given.rows.inputs and len(spec.axes) > 1]
    return next((axis for axis in first if isinstance(axis, int) and axis > 0), None)


def _describe(given: Given, path: Path, size: int, seed: int) -> str:
    kept = len(set(given.numbers))
    part = f"{kept:,} rows" if kept == given.total else f"{kept:,} of {given.total:,} rows, drawn with seed {seed},"
    order = ", the shortest first" if given.rows.lengths else ""
    return f"{part} of {path.name} in batches of {size}{order}"
