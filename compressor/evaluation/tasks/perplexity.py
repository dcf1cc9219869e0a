"""Score a language model: perplexity of the next token, over every token that follows another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compressor.errors import OptionError
from compressor.evaluation.contract import Array
from compressor.evaluation.tasks.contract import Alignment, Batch, Labelling
from compressor.evaluation.tasks.outputs import find_output, read_output, visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Perplexity:
    """Next tokens; the tokens themselves are the labels.

    Attributes:
        output: the output with a number for each token of the vocabulary at each position.
        ids: the input with the tokens.
        alignment: tells tokens of texts from padding; empty where rows were given as tokens.
    """

    output: str
    ids: str
    alignment: Sequence[Alignment] = ()
    name: str = "perplexity"
    metric: str = "perplexity"
    is_less_better: bool = True
    is_right_or_wrong: bool = False

    @classmethod
    def of(cls, labelling: Labelling, ids: str) -> Perplexity:
        """Make the task for the input with the tokens."""
        output = find_output(labelling.outputs, ("logits",), 3, "perplexity")
        return cls(output=output.name, ids=ids, alignment=labelling.alignment)

    def read(self, batch: Batch) -> Array:
        """Keep the sum of -ln p(next token) of each row, and the number of tokens in it."""
        ids = batch.feeds[self.ids].astype(np.int64)
        logits = read_output(batch, self.output, 3, self.name)
        if logits.shape[1] != ids.shape[1]:
            raise OptionError(
                f"task {self.name}: output {self.output!r} has {logits.shape[1]} positions for {ids.shape[1]} tokens"
            )
        seen = visible(batch, ids.shape[1], self.alignment)
        counted = seen[:, :-1] & seen[:, 1:]
        unknown = ids[:, 1:][counted & ((ids[:, 1:] < 0) | (ids[:, 1:] >= logits.shape[2]))]
        if unknown.size:
            raise OptionError(
                f"task {self.name}: input {self.ids!r} holds token {unknown[0]}, output {self.output!r} has numbers "
                f"for tokens 0 to {logits.shape[2] - 1}"
            )
        kept = np.zeros((len(ids), 2))
        for row in range(len(ids)):  # a row at a time: a vocabulary of 250,000 in float64 is 2 MB a token
            scored = logits[row, :-1].astype(np.float64)[counted[row]]
            following = ids[row, 1:][counted[row]]
            peak = scored.max(axis=1, initial=-np.inf, keepdims=True)
            log_sum = peak[:, 0] + np.log(np.exp(scored - peak).sum(axis=1))
            kept[row] = (log_sum - scored[np.arange(len(following)), following]).sum(), len(following)
        return kept

    def score(self, facts: Array, original: Array) -> Array:
        """Take the sums as they are."""
        return facts

    def summarize(self, scores: Array) -> float:
        """Give exp of the mean over all tokens."""
        loss, tokens = scores.sum(axis=0)
        return math.exp(min(loss / tokens, 700.0)) if tokens else math.nan

    def each(self, scores: Array) -> Array:
        """Give the mean log-probability of each row's tokens."""
        mean: Array = -scores[:, 0] / np.maximum(scores[:, 1], 1)
        return mean
