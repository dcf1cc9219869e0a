"""Score a model while its outputs stream by, and say how far the score can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from compressor.errors import OptionError
from compressor.evaluation.contract import Array, Outputs, Refusal, Samples
from compressor.evaluation.statistics import bootstrap_interval, mcnemar_p, paired_bootstrap_p, wilson_interval
from compressor.evaluation.tasks.contract import Batch, Task
from compressor.report import TaskScore


@dataclass(frozen=True, slots=True)
class Scorer:
    """What is kept of the batches of one model.

    Attributes:
        task: what reads them.
        samples: what the model is run on.
        names: the outputs that are judged.
    """

    task: Task
    samples: Samples
    names: Sequence[str]
    _facts: list[Array] = field(default_factory=list)

    def add(self, outputs: Outputs) -> None:
        """Read the next batch.

        Raises:
            OptionError: its outputs are not those of the task.
        """
        number = len(self._facts)
        named = zip(self.names, outputs, strict=True)
        arrays = {name: output for name, output in named if isinstance(output, np.ndarray)}
        batch = Batch(feeds=self.samples.batches[number], outputs=arrays, places=self.samples.places[number])
        self._facts.append(self.task.read(batch))

    def added(self, stream: Iterable[Outputs | Refusal]) -> Iterator[Outputs | Refusal]:
        """Read batches as they pass by."""
        for outputs in stream:
            if not isinstance(outputs, Refusal):
                self.add(outputs)
            yield outputs

    def facts(self) -> Array:
        """Give what was kept, in the order of the data; of a row that fills up a batch, once."""
        _, first = np.unique([place for batch in self.samples.places for place in batch], return_index=True)
        facts: Array = np.concatenate(self._facts)[first]
        return facts


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalScore:
    """The original's score, which others are held against.

    Attributes:
        task: what it is scored by.
        facts: what was kept of its outputs.
        scores: of each sample.
        summary: for the report.
    """

    task: Task
    facts: Array
    scores: Array
    summary: TaskScore


def score_original(scorer: Scorer) -> OriginalScore:
    """Score the original.

    Raises:
        OptionError: its outputs have no score, so that no other model's could be compared.
    """
    task, facts = scorer.task, scorer.facts()
    scores = task.score(facts, facts)
    value = task.summarize(scores)
    if not np.isfinite(value):
        raise OptionError(
            f"task {task.name}: the original's {task.metric} is {value:g} on {len(scores)} samples, so it cannot be "
            "compared; give samples whose labels or outputs differ"
        )
    low, high = _interval(task, scores)
    summary = TaskScore(
        task=task.name, metric=task.metric, value=value, low=low, high=high, samples=len(scores),
        is_less_better=task.is_less_better,
    )  # fmt: skip
    return OriginalScore(task=task, facts=facts, scores=scores, summary=summary)


def score_candidate(facts: Array, original: OriginalScore) -> TaskScore:
    """Score another model on the same samples: wins, losses, and whether they can be chance."""
    task = original.task
    scores = task.score(facts, original.facts)
    low, high = _interval(task, scores)
    wins, losses = _turned(task, scores, original.scores)
    if task.is_right_or_wrong and wins is not None and losses is not None:
        p_value = mcnemar_p(wins, losses)
    else:
        p_value = paired_bootstrap_p(scores, original.scores, task.summarize)
    return TaskScore(
        task=task.name, metric=task.metric, value=task.summarize(scores), low=low, high=high, samples=len(scores),
        is_less_better=task.is_less_better, wins=wins, losses=losses, p_value=p_value,
    )  # fmt: skip


def _interval(task: Task, scores: Array) -> tuple[float, float]:
    if task.is_right_or_wrong:
        return wilson_interval(int(scores.sum()), len(scores))
    return bootstrap_interval(scores, task.summarize)


def _turned(task: Task, scores: Array, original: Array) -> tuple[int | None, int | None]:
    better, before = task.each(scores), task.each(original)
    if better is None or before is None:
        return None, None
    return int(np.count_nonzero(better > before)), int(np.count_nonzero(better < before))
