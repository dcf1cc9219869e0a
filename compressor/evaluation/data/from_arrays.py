"""Read inputs from ``.npz`` files and folders of ``.npy`` files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from compressor.errors import OptionError
from compressor.evaluation.contract import Array
from compressor.evaluation.data.arrays import bind_arrays
from compressor.evaluation.data.given import Given, Labels, Subject, name_task
from compressor.evaluation.data.npz import map_array, read_archive
from compressor.evaluation.data.rows import draw
from compressor.evaluation.data.text import find_token_inputs
from compressor.evaluation.settings import Evaluation


def read_arrays(path: Path, subject: Subject, evaluation: Evaluation) -> Given:
    """Read arrays by the names of inputs, and labels by the name that is given.

    Raises:
        OptionError: an array cannot be read or fits no input, or there are no such labels.
    """
    arrays = dict(_open_folder(path) if path.is_dir() else read_archive(path))
    column = arrays.pop(evaluation.labels, None) if evaluation.labels else None
    if evaluation.labels and column is None and not evaluation.labels.endswith(".npy"):
        raise OptionError(f"{path}: has no array {evaluation.labels!r} for labels; its arrays: {', '.join(arrays)}")
    rows = bind_arrays(arrays, subject.specs, path)
    chosen = draw(rows.count, evaluation.samples, evaluation.seed)
    labels = Labels()
    if column is not None:
        labels = pick_labels(column, f"{path}: array {evaluation.labels!r}", rows.count, chosen)
    elif evaluation.labels:
        labels = read_label_file(Path(evaluation.labels), rows.count, chosen)
    task, notes = name_task(evaluation, labels, subject)
    tokens = find_token_inputs(subject.specs)
    return Given(
        rows=replace(rows, count=len(chosen), chosen=chosen),
        numbers=[number + 1 for number in chosen],
        total=rows.count,
        labels=labels,
        task=task,
        ids=tokens.ids.name if tokens is not None and tokens.ids.name in arrays else "",
        notes=notes,
    )


def read_label_file(path: Path, rows: int, chosen: Sequence[int]) -> Labels:
    """Read labels from a ``.npy`` file with an entry for each row of the data.

    Raises:
        OptionError: it cannot be read, or has another number of rows.
    """
    return pick_labels(map_array(path), str(path), rows, chosen)


def pick_labels(array: Array, where: str, rows: int, chosen: Sequence[int]) -> Labels:
    """Take the labels of the rows that were drawn.

    Raises:
        OptionError: there is not one for each row.
    """
    if array.ndim == 0 or len(array) != rows:
        raise OptionError(f"{where} has {0 if array.ndim == 0 else len(array)} labels, the data has {rows} rows")
    picked = array[list(chosen)]
    if picked.dtype.kind == "S":
        picked = np.char.decode(picked, "utf-8", "replace")
    values = list(picked) if array.ndim > 1 else picked.tolist()
    return Labels(values=values, places=[f"{where}: row {number + 1}" for number in chosen])


def holds_arrays(folder: Path) -> bool:
    """Tell a folder of arrays from a folder of images."""
    return any(folder.glob("*.npy"))


def _open_folder(folder: Path) -> Mapping[str, Array]:
    return {path.stem: map_array(path) for path in sorted(folder.glob("*.npy"))}
