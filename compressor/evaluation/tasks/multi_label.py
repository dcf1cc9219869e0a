"""Score multi-label classification: micro F1 over all labels of all samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compressor.errors import OptionError
from compressor.evaluation.contract import Array
from compressor.evaluation.tasks.contract import Batch, Labelling
from compressor.evaluation.tasks.labels import class_of, list_of
from compressor.evaluation.tasks.outputs import find_output, read_output


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiLabel:
    """Any number of classes for each sample.

    Attributes:
        output: the output with a number for each class.
        threshold: the class is chosen above it: 0.5 where the graph ends in a Sigmoid, else 0, which is the same
            decision before a Sigmoid.
        labels: the right classes of each sample.
        width: how many classes a row of 0 and 1 tells of; None where classes are listed.
        places: where they stand in the data.
    """

    output: str
    threshold: float
    labels: Sequence[Array]
    width: int | None
    places: tuple[str, ...]
    name: str = "multi-label"
    metric: str = "micro F1"
    is_less_better: bool = False
    is_right_or_wrong: bool = False

    @classmethod
    def of(cls, labelling: Labelling) -> MultiLabel:
        """Make the task from lists of classes, or from rows of an array with a 0 or 1 for each class."""
        output = find_output(labelling.outputs, ("logits", "probabilities"), 2, "multi-label")
        labels = [_classes(v, p, labelling) for v, p in zip(labelling.values, labelling.places, strict=True)]
        threshold = 0.5 if output.is_probability else 0.0
        first = labelling.values[0]
        width = first.size if isinstance(first, np.ndarray) else None
        return cls(output=output.name, threshold=threshold, labels=labels, width=width, places=tuple(labelling.places))

    def read(self, batch: Batch) -> Array:
        """Count classes chosen and right, chosen and wrong, right and not chosen."""
        found = read_output(batch, self.output, 2, self.name)
        if self.width not in (None, found.shape[1]):
            raise OptionError(
                f"{self.places[0]}: is {self.width} wide, output {self.output!r} has {found.shape[1]} classes; "
                "give a 0 or 1 for each, or name --task classification"
            )
        counts = np.zeros((len(batch.places), 3))
        for row, place in enumerate(batch.places):
            wanted = np.zeros(found.shape[1], bool)
            if self.labels[place].size and self.labels[place].max() >= found.shape[1]:
                raise OptionError(
                    f"{self.places[place]}: label {self.labels[place].max()} is not one of the {found.shape[1]} "
                    f"classes of output {self.output!r}, which count from 0"
                )
            wanted[self.labels[place]] = True
            chosen = found[row].astype(np.float64) > self.threshold
            counts[row] = (chosen & wanted).sum(), (chosen & ~wanted).sum(), (wanted & ~chosen).sum()
        return counts

    def score(self, facts: Array, original: Array) -> Array:
        """Take the counts as they are."""
        return facts

    def summarize(self, scores: Array) -> float:
        """Compute F1 of the sums of all counts."""
        return float(f1(scores.sum(axis=0)))

    def each(self, scores: Array) -> Array:
        """Compute F1 of each sample."""
        return f1(scores)


def f1(counts: Array) -> Array:
    """Compute F1 = 2 TP / (2 TP + FP + FN) of (TP, FP, FN) on the last axis; nothing wanted and nothing found is 1."""
    total = 2 * counts[..., 0] + counts[..., 1] + counts[..., 2]
    share: Array = np.where(total > 0, 2 * counts[..., 0] / np.where(total > 0, total, 1), 1.0)
    return share


def _classes(value: object, place: str, labelling: Labelling) -> Array:
    if isinstance(value, np.ndarray):
        return np.flatnonzero(value)
    return np.array([class_of(name, place, labelling) for name in list_of(value)], dtype=np.int64)
