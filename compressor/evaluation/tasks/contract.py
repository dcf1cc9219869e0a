"""Define what a task is: what it keeps of a batch's outputs, and how it scores a model from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from compressor.evaluation.contract import Array, Feeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One run of a model.

    Attributes:
        feeds: what it was given.
        outputs: what it gave, by name.
        places: which sample each row is, counted in the order of the data.
    """

    feeds: Feeds
    outputs: Mapping[str, Array]
    places: Sequence[int]


class Task(Protocol):
    """How outputs are turned into scores. Batches are read as they come, and nothing but what `read` gives is kept."""

    @property
    def name(self) -> str:
        """Give the task by the name users give it."""

    @property
    def metric(self) -> str:
        """Name what :meth:`summarize` computes."""

    @property
    def is_less_better(self) -> bool:
        """Tell metrics that grow as a model gets worse."""

    @property
    def is_right_or_wrong(self) -> bool:
        """Tell whether each sample scores 1 or 0, so that the metric is a share and exact formulas hold."""

    def read(self, batch: Batch) -> Array:
        """Keep what scoring needs, an entry on the first axis for each row.

        Raises:
            OptionError: the outputs are not those of such a task, or do not fit the labels.
        """

    def score(self, facts: Array, original: Array) -> Array:
        """Turn what was kept of all rows, in the order of the data, into scores, an entry for each labelled sample.

        Args:
            facts: of the model to score.
            original: of the original model, for scores that are relative to it.
        """

    def summarize(self, scores: Array) -> float:
        """Compute the metric from the scores of some samples."""

    def each(self, scores: Array) -> Array | None:
        """Give one number a sample that is larger where it is better; None where samples have no score of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelling:
    """What tasks are made from.

    Attributes:
        values: the label of each sample as the data has it; empty where there are no labels.
        places: where each of them is, for messages: file, row and column.
        names: number of each label's name, from ``config.json``; empty where that does not say.
        names_source: the file they come from.
        outputs: the model's outputs.
        alignment: where the tokens of each row come from, for tasks that label parts of a text.
        is_paired: a sample is two rows, one after the other.
    """

    values: Sequence[object]
    places: Sequence[str]
    names: Mapping[str, int]
    names_source: str
    outputs: Sequence[OutputPort]
    alignment: Sequence[Alignment] = ()
    is_paired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPort:
    """An output as the graph declares it.

    Attributes:
        name: of the output.
        rank: number of axes; None where unknown.
        width: size of the last axis; None where unknown.
        is_probability: computed by a Sigmoid or Softmax.
    """

    name: str
    rank: int | None
    width: int | None
    is_probability: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """Where the tokens of one row come from.

    Attributes:
        words: the word of each token; -1 for tokens that stand for none.
        starts, ends: the characters of each token in its text.
        parts: 0 in the first text, 1 in the second, -1 for tokens in none.
        text: what starts and ends count in, for the second text of a pair.
        is_left_padded: in a batch, the tokens stand at the end of the row.
        word_count: words of the text, those that were cut off included; None where it was not given in words.
    """

    words: Array
    starts: Array
    ends: Array
    parts: Array
    text: str
    is_left_padded: bool = False
    word_count: int | None = None
