"""What is known of one attention layer before it is replaced."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from compressor.passes.fusions.attention_bias import Extent, can_mask_whole_rows
from compressor.passes.fusions.attention_operands import Source, Target
from compressor.passes.fusions.attention_scores import Scores
from compressor.passes.fusions.dimensions import Size

_PREPARATION = {
    "bsh": 0,
    "bsnd": 1,
    "sbh": 1,
    "bhs": 1,
    "bnsd": 2,
    "bnds": 2,
    "sbnd": 2,
    "(bs)h": 1,
    "(sb)h": 2,
}
"""Nodes between (batch, sequence, heads * size) and another order of axes."""


@dataclass(frozen=True, slots=True)
class Attention:
    """One attention layer, ready to be replaced.

    Attributes:
        softmax: its Softmax.
        context: the product of probabilities and values.
        query, key, value: where they come from.
        target: where the result is read.
        scores: scale and biases.
        heads: number of heads.
        heads_of_keys: as many, or 1 where all heads share their keys and values.
        is_guarded: probabilities that are not a number are replaced by 0 (newer exports of SDPA do so).
    """

    softmax: ir.Node
    context: ir.Node
    query: Source
    key: Source
    value: Source
    target: Target
    scores: Scores
    heads: int
    heads_of_keys: int
    is_guarded: bool

    @property
    def scale(self) -> float:
        """The factor of query x key."""
        return self.scores.scale * self.query.scale * self.key.scale

    @property
    def extent(self) -> Extent:
        """Batch, heads, queries, keys."""
        return self.query.batch, Size.of(self.heads), self.query.length, self.key.length

    @property
    def has_heads_first(self) -> bool:
        """Keys and values are in heads already, as a cache keeps them, and may go in so: with four axes."""
        if self.heads_of_keys != self.heads:
            return False
        return self.value.order == "bnsd" and self.key.order in ("bnsd", "bnds") and self.value.size == self.key.size

    @property
    def nodes_saved(self) -> int:
        """Nodes that go less those that come, without what layers share."""
        guard = 2 if self.is_guarded else 0
        kept = 2 if self.is_guarded and can_mask_whole_rows(self.scores.biases) else 0
        # An Einsum brings both operands and its result into order by itself.
        einsums = sum(node.op_type == "Einsum" for node in (self.scores.product, self.context))
        gone = 3 + 3 * einsums + guard + self.target.steps + len(self.scores.biases) + (self.scores.scale != 1.0)
        new_axes = [_PREPARATION[source.order] - source.steps for source in (self.query, self.key, self.value)]
        if self.heads_of_keys == 1:
            new_axes[1:] = [
                count - (part.order == "bnsd") for count, part in zip(new_axes[1:], (self.key, self.value), strict=True)
            ]
        if self.has_heads_first:
            new_axes[1:] = [self.key.order == "bnds", 0]
        repeats = 2 if self.heads_of_keys != self.heads else 0
        return gone - 1 - kept - repeats - sum(new_axes) - _PREPARATION[self.target.order]
