"""Score classification: the share of samples whose class is the one with the largest output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compressor.errors import OptionError
from compressor.evaluation.contract import Array
from compressor.evaluation.tasks.contract import Batch, Labelling
from compressor.evaluation.tasks.labels import classes_of
from compressor.evaluation.tasks.outputs import find_output, read_output


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """One class for each sample.

    Attributes:
        output: the output with a number for each class.
        labels: the right class of each sample.
        places: where each label stands in the data.
    """

    output: str
    labels: Array
    places: tuple[str, ...]
    name: str = "classification"
    metric: str = "accuracy"
    is_less_better: bool = False
    is_right_or_wrong: bool = True

    @classmethod
    def of(cls, labelling: Labelling) -> Classification:
        """Make the task from classes given by name or number."""
        output = find_output(labelling.outputs, ("logits", "probabilities"), 2, "classification")
        return cls(output=output.name, labels=classes_of(labelling), places=tuple(labelling.places))

    def read(self, batch: Batch) -> Array:
        """Keep the class with the largest output; where that is not a number, there is none."""
        found = read_output(batch, self.output, 2, self.name)
        if found.shape[1] < 2:
            raise OptionError(
                f"task {self.name}: output {self.output!r} has one value a row, which chooses no class; "
                "name --task regression or multi-label"
            )
        for place in batch.places:
            if self.labels[place] >= found.shape[1]:
                raise OptionError(
                    f"{self.places[place]}: label {self.labels[place]} is not one of the {found.shape[1]} classes of "
                    f"output {self.output!r}, which count from 0"
                )
        values = found.astype(np.float64)
        return np.where(np.isnan(values).any(axis=1), -1, np.argmax(values, axis=1))

    def score(self, facts: Array, original: Array) -> Array:
        """Score 1 for the right class, else 0."""
        right: Array = (facts == self.labels).astype(np.float64)
        return right

    def summarize(self, scores: Array) -> float:
        """Give the share of right classes."""
        return float(scores.mean())

    def each(self, scores: Array) -> Array:
        """Score samples by themselves."""
        return scores
