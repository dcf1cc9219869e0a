"""Labellings and batches drawn by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from compressor.evaluation.contract import Array, Samples
from compressor.evaluation.tasks.contract import Alignment, Batch, Labelling, OutputPort, Task
from compressor.evaluation.tasks.scoring import OriginalScore, Scorer, score_candidate, score_original
from compressor.report import TaskScore


def labelling(
    *values: object,
    outputs: Sequence[OutputPort] = (OutputPort(name="logits", rank=2, width=None),),
    names: Mapping[str, int] | None = None,
    alignment: Sequence[Alignment] = (),
    is_paired: bool = False,
) -> Labelling:
    return Labelling(
        values=values,
        places=[f"d.csv: row {number + 1}, column 'label'" for number in range(len(values))],
        names=names or {},
        names_source="config.json",
        outputs=outputs,
        alignment=alignment,
        is_paired=is_paired,
    )


def port(name: str, rank: int | None, width: int | None = None, *, is_probability: bool = False) -> OutputPort:
    return OutputPort(name=name, rank=rank, width=width, is_probability=is_probability)


def batch(outputs: Mapping[str, ArrayLike], feeds: Mapping[str, ArrayLike] | None = None) -> Batch:
    arrays = {name: np.asarray(output) for name, output in outputs.items()}
    rows = len(next(iter(arrays.values())))
    given = {name: np.asarray(array) for name, array in (feeds or {}).items()}
    return Batch(feeds=given, outputs=arrays, places=range(rows))


def scores_of(task: Task, outputs: Mapping[str, ArrayLike], feeds: Mapping[str, ArrayLike] | None = None) -> Array:
    facts = task.read(batch(outputs, feeds))
    return task.score(facts, facts)


def metric_of(task: Task, outputs: Mapping[str, ArrayLike], feeds: Mapping[str, ArrayLike] | None = None) -> float:
    return task.summarize(scores_of(task, outputs, feeds))


def original_score(task: Task, outputs: Array, name: str = "logits") -> OriginalScore:
    return score_original(_scorer(task, outputs, name))


def candidate_score(task: Task, outputs: Array, original: OriginalScore, name: str = "logits") -> TaskScore:
    return score_candidate(_scorer(task, outputs, name).facts(), original)


def _scorer(task: Task, outputs: Array, name: str) -> Scorer:
    places = tuple(range(len(outputs)))
    samples = Samples(batches=({},), generated=False, description="", places=(places,))
    scorer = Scorer(task, samples, (name,))
    scorer.add((outputs,))
    return scorer
