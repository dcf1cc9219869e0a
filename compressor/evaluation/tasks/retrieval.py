"""Score retrieval: what each sample's nearest neighbours among all samples are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compressor.errors import OptionError
from compressor.evaluation.contract import Array
from compressor.evaluation.tasks.contract import Batch, Labelling
from compressor.evaluation.tasks.embedding import Embedding

NEIGHBOURS = 10
"""As many as a first page of results shows."""

_BLOCK = 512
"""Rows held against all others at once: 40 MB for 10,000 samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """Nearest neighbours by cosine similarity.

    Attributes:
        embedding: where the vectors are.
        labels: what makes two samples relevant to each other when equal; None holds neighbours to the original's.
        metric: precision at k with labels, else top-k agreement with the original.
    """

    embedding: Embedding
    labels: tuple[str, ...] | None
    metric: str
    name: str = "retrieval"
    is_less_better: bool = False
    is_right_or_wrong: bool = False

    @classmethod
    def of(cls, labelling: Labelling) -> Retrieval:
        """Make the task from samples, labelled or not."""
        kind = "precision" if labelling.values else "agreement"
        return cls(
            embedding=Embedding.of(labelling, "retrieval"),
            labels=tuple(map(str, labelling.values)) or None,
            metric=f"top-{NEIGHBOURS} {kind}",
        )

    def read(self, batch: Batch) -> Array:
        """Keep the vectors."""
        return self.embedding.read(batch, self.name)

    def score(self, facts: Array, original: Array) -> Array:
        """Give the share of each sample's neighbours that are relevant, or that the original finds too."""
        if len(facts) < 2:
            raise OptionError("task retrieval: there is 1 sample, which has no neighbours; give more")
        found = neighbours(facts)
        if self.labels is not None:
            _, classes = np.unique(np.array(self.labels, dtype=object).astype(str), return_inverse=True)
            relevant: Array = (classes[found] == classes[:, None]).mean(axis=1)
            return relevant
        wanted = found if facts is original else neighbours(original)
        return np.array([np.isin(a, b).mean() for a, b in zip(found, wanted, strict=True)])

    def summarize(self, scores: Array) -> float:
        """Give the mean share."""
        return float(scores.mean())

    def each(self, scores: Array) -> Array:
        """Score samples by themselves."""
        return scores


def neighbours(vectors: Array) -> Array:
    """Find the nearest of the other rows for each row, nearest first; of equals, the earlier one."""
    count = min(NEIGHBOURS, len(vectors) - 1)
    found = np.empty((len(vectors), count), np.int64)
    for start in range(0, len(vectors), _BLOCK):
        near = vectors[start : start + _BLOCK] @ vectors.T
        rows = np.arange(len(near))
        near[rows, start + rows] = -np.inf
        found[start : start + len(near)] = np.argsort(-near, axis=1, kind="stable")[:, :count]
    return found
