"""Read one vector a row out of a model that embeds: as it gives it, or the mean over its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compressor.evaluation.contract import Array
from compressor.evaluation.tasks.contract import Alignment, Batch, Labelling
from compressor.evaluation.tasks.outputs import EMBEDDINGS, HIDDEN_STATES, find_output, read_output, visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """Where the vectors are.

    Attributes:
        output: the output.
        rank: 2 where it has a vector a row; 3 where it has one a token, of which the mean over visible tokens is
            taken, as sentence encoders are pooled most often.
        alignment: tells tokens of texts from padding; empty where rows were given as tokens.
    """

    output: str
    rank: int
    alignment: Sequence[Alignment] = ()

    @classmethod
    def of(cls, labelling: Labelling, task: str) -> Embedding:
        """Take an output named as an embedding, else the hidden states, else whatever has a vector a row."""
        by_name = {port.name: port for port in labelling.outputs}
        for name, rank in (*((name, 2) for name in EMBEDDINGS), *((name, 3) for name in HIDDEN_STATES)):
            if name in by_name:
                return cls(output=name, rank=by_name[name].rank or rank, alignment=labelling.alignment)
        return cls(output=find_output(labelling.outputs, (), 2, task).name, rank=2)

    def read(self, batch: Batch, task: str) -> Array:
        """Give each row's vector with length 1."""
        found = read_output(batch, self.output, self.rank, task).astype(np.float64)
        if self.rank == 3:
            seen = visible(batch, found.shape[1], self.alignment)[:, :, None]
            found = np.where(seen, found, 0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        length = np.linalg.norm(found, axis=1, keepdims=True)
        unit: Array = found / np.where(length > 0, length, 1)
        return unit
