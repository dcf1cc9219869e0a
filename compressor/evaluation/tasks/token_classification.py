"""Score token classification: the share of words whose class is right, read at each word's first token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compressor.errors import OptionError
from compressor.evaluation.contract import Array
from compressor.evaluation.tasks.contract import Alignment, Batch, Labelling
from compressor.evaluation.tasks.labels import class_of, words_of
from compressor.evaluation.tasks.outputs import find_output, read_output

IGNORED = -100
"""Label of positions that do not count, as training scripts write it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenClassification:
    """One class for each word.

    Attributes:
        output: the output with a number for each class at each position.
        labels: the right classes of each sample's words, or of its positions where no alignment is known.
        alignment: the word of each token; empty where labels are given for each position.
        places: where each sample stands in the data.
    """

    output: str
    labels: Sequence[Array]
    alignment: Sequence[Alignment]
    places: tuple[str, ...]
    name: str = "token-classification"
    metric: str = "word accuracy"
    is_less_better: bool = False
    is_right_or_wrong: bool = False

    @classmethod
    def of(cls, labelling: Labelling) -> TokenClassification:
        """Make the task from lists of classes."""
        output = find_output(labelling.outputs, ("logits",), 3, "token-classification")
        labels = [_classes(v, p, labelling) for v, p in zip(labelling.values, labelling.places, strict=True)]
        for known, row, place in zip(labelling.alignment, labels, labelling.places, strict=False):
            if known.word_count not in (None, len(row)):
                raise OptionError(f"{place}: has {len(row)} labels for {known.word_count} words; give one for each")
        return cls(
            output=output.name, labels=labels, alignment=labelling.alignment, places=tuple(labelling.places),
            metric="word accuracy" if labelling.alignment else "token accuracy",
        )  # fmt: skip

    def read(self, batch: Batch) -> Array:
        """Count the right classes of each row, and the classes asked for."""
        found = read_output(batch, self.output, 3, self.name)
        chosen = np.argmax(np.where(np.isnan(found), -np.inf, found), axis=-1)
        counts = np.zeros((len(chosen), 2))
        for row, place in enumerate(batch.places):
            wanted = self._wanted(place, chosen.shape[1])
            if wanted.max(initial=0) >= found.shape[2]:
                raise OptionError(
                    f"{self.places[place]}: label {wanted.max()} is not one of the {found.shape[2]} classes of output "
                    f"{self.output!r}, which count from 0"
                )
            asked = wanted != IGNORED
            counts[row] = (chosen[row][asked] == wanted[asked]).sum(), asked.sum()
        return counts

    def _wanted(self, place: int, length: int) -> Array:
        """Lay a sample's labels out over its positions."""
        wanted, labels = np.full(length, IGNORED), self.labels[place]
        if not self.alignment:
            if len(labels) != length:
                raise OptionError(
                    f"{self.places[place]}: has {len(labels)} labels, output {self.output!r} has {length} positions; "
                    f"give one for each, {IGNORED} where none counts"
                )
            return labels
        words = self.alignment[place].words
        _, firsts = np.unique(words, return_index=True)
        firsts = firsts[(words[firsts] >= 0) & (words[firsts] < len(labels))]
        shift = length - len(words) if self.alignment[place].is_left_padded else 0
        wanted[firsts + shift] = labels[words[firsts]]
        return wanted

    def score(self, facts: Array, original: Array) -> Array:
        """Take the counts as they are."""
        return facts

    def summarize(self, scores: Array) -> float:
        """Give the share of all classes that are right."""
        right, asked = scores.sum(axis=0)
        return float(right / asked) if asked else float("nan")

    def each(self, scores: Array) -> Array:
        """Give the share of each sample."""
        share: Array = scores[:, 0] / np.maximum(scores[:, 1], 1)
        return share


def _classes(value: object, place: str, labelling: Labelling) -> Array:
    names = words_of(value)
    found = [IGNORED if str(name) == str(IGNORED) else class_of(name, place, labelling) for name in names]
    return np.array(found, dtype=np.int64)
