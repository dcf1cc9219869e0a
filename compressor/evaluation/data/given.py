"""Define what every kind of data file is read into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compressor.evaluation.data.companions import Companions
from compressor.evaluation.data.rows import Rows
from compressor.evaluation.settings import Evaluation
from compressor.evaluation.signature import InputSpec
from compressor.evaluation.tasks.choice import guess_task
from compressor.evaluation.tasks.contract import Alignment, OutputPort


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The model that data is read for.

    Attributes:
        specs: its inputs.
        ports: its outputs.
        companions: the files beside it.
    """

    specs: Sequence[InputSpec]
    ports: Sequence[OutputPort]
    companions: Companions


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Labels as the data has them.

    Attributes:
        values: one for each sample.
        places: where each is, for messages.
    """

    values: Sequence[object] = ()
    places: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a data file gives.

    Attributes:
        rows: inputs.
        numbers: the row of the file that each row is, counted from 1.
        total: rows of the file.
        labels: of the samples.
        task: the name of what they are for; empty without any.
        alignment: where tokens come from, for tasks that ask.
        is_paired: each sample is two rows.
        ids: the input with the tokens; empty where there is none.
        excerpts: the beginning of each row's text, or its file; empty where rows are numbers.
        notes: what a reader must know.
    """

    rows: Rows
    numbers: Sequence[int]
    total: int
    labels: Labels
    task: str = ""
    alignment: Sequence[Alignment] = ()
    is_paired: bool = False
    ids: str = ""
    excerpts: Sequence[str] = ()
    notes: Sequence[str] = ()


def name_task(evaluation: Evaluation, labels: Labels, subject: Subject) -> tuple[str, tuple[str, ...]]:
    """Name the task, and say so where it is guessed; empty where there are neither labels nor a task.

    Raises:
        OptionError: there are labels, and nothing says what for.
    """
    if evaluation.task is not None:
        return evaluation.task, ()
    if not labels.values:
        return "", ()
    task, reason = guess_task(subject.companions.read("config.json"), subject.ports, labels.values[0])
    return task, (f"the labels are taken for {task} ({reason}); --task names another",)
