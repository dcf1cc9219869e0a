"""Score regression: the mean absolute error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compressor.evaluation.contract import Array
from compressor.evaluation.tasks.contract import Batch, Labelling
from compressor.evaluation.tasks.labels import numbers_of
from compressor.evaluation.tasks.outputs import find_output, read_output


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """One number for each sample.

    Attributes:
        output: the output with it.
        rank: its number of axes: one, or two where the last has size 1.
        labels: the right numbers.
    """

    output: str
    rank: int
    labels: Array
    name: str = "regression"
    metric: str = "mean absolute error"
    is_less_better: bool = True
    is_right_or_wrong: bool = False

    @classmethod
    def of(cls, labelling: Labelling) -> Regression:
        """Make the task from numbers."""
        rank = 2 if any(port.rank == 2 for port in labelling.outputs) else 1
        output = find_output(labelling.outputs, ("logits",), rank, "regression")
        return cls(output=output.name, rank=output.rank or 2, labels=numbers_of(labelling))

    def read(self, batch: Batch) -> Array:
        """Keep the first number of each row."""
        found = read_output(batch, self.output, self.rank, self.name)
        values: Array = found.reshape(len(found), -1)[:, 0].astype(np.float64)
        return values

    def score(self, facts: Array, original: Array) -> Array:
        """Take the distance from the right number."""
        error: Array = np.abs(facts - self.labels)
        return error

    def summarize(self, scores: Array) -> float:
        """Give the mean error."""
        return float(scores.mean())

    def each(self, scores: Array) -> Array:
        """Call the smaller error the better one."""
        return -scores
