"""Score sentence similarity: Spearman's rank correlation of the model's similarities with people's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compressor.errors import OptionError
from compressor.evaluation.contract import Array
from compressor.evaluation.tasks.contract import Batch, Labelling
from compressor.evaluation.tasks.embedding import Embedding
from compressor.evaluation.tasks.labels import numbers_of
from compressor.evaluation.tasks.outputs import find_output, read_output


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """Pairs of texts: each text embedded by itself, or both read together by a model that gives the similarity.

    Attributes:
        embedding: where the vectors are; None where the model reads both texts together.
        output: where the similarity is then.
        rank: its number of axes.
        labels: the similarity people gave each pair.
    """

    embedding: Embedding | None
    labels: Array
    output: str = ""
    rank: int = 2
    name: str = "similarity"
    metric: str = "Spearman correlation"
    is_less_better: bool = False
    is_right_or_wrong: bool = False

    @classmethod
    def of(cls, labelling: Labelling) -> Similarity:
        """Make the task from pairs and numbers."""
        labels = numbers_of(labelling)
        if labelling.is_paired:
            return cls(embedding=Embedding.of(labelling, "similarity"), labels=labels)
        output = find_output(labelling.outputs, ("logits",), 2, "similarity")
        if output.width not in (None, 1):
            raise OptionError(
                f"task similarity: output {output.name!r} has {output.width} values a pair, one is wanted; "
                "name another --task, or two text columns with --text-column A,B"
            )
        return cls(embedding=None, labels=labels, output=output.name, rank=output.rank or 2)

    def read(self, batch: Batch) -> Array:
        """Keep the vectors, or the similarities."""
        if self.embedding is not None:
            return self.embedding.read(batch, self.name)
        found = read_output(batch, self.output, self.rank, self.name).astype(np.float64)
        return found.reshape(len(found), -1)

    def score(self, facts: Array, original: Array) -> Array:
        """Pair each similarity with its label."""
        if self.embedding is not None:
            facts = np.sum(facts[0::2] * facts[1::2], axis=1, keepdims=True)
        return np.stack([facts[:, 0], self.labels], axis=1)

    def summarize(self, scores: Array) -> float:
        """Correlate the ranks."""
        return spearman(scores[:, 0], scores[:, 1])

    def each(self, scores: Array) -> None:
        """Know of no score of one pair: a rank is relative to all others."""
        return


def spearman(first: Array, second: Array) -> float:
    """Correlate ranks, ties sharing their mean (Spearman, Am. J. Psychol. 15, 1904, 72-101); NaN where all are tied."""
    x, y = (ranks(values) for values in (first, second))
    x, y = x - x.mean(), y - y.mean()
    spread = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / spread if spread else float("nan")


def ranks(values: Array) -> Array:
    """Rank from 0; equal values share the mean of their ranks."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    shared: Array = (ends - (counts + 1) / 2)[where]
    return shared
