"""Store equal weights once: every use of a bit-identical copy is redirected to one of them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from compressor.model.equality import equal_groups
from compressor.model.size import tensor_bytes
from compressor.passes.contract import Claim, Pass, PassResult
from compressor.passes.scope import Scope, Weight, scopes
from compressor.passes.tied import tie_weights
from compressor.report import Skip

CONSTANT_NODE = 32
"""Bytes that a Constant node takes besides its tensor and its names."""

WORTH_MOVING = 64
"""Bytes to be saved from which copies in inner graphs are worth an initializer, with a name, in the graph around."""


@dataclass(frozen=True)
class DeduplicateInitializers(Pass):
    """Merge weights that have the same data type, shape and bytes, and tie those that are another's reordered.

    There is no tolerance: 0.0 and -0.0 differ, equal NaN payloads are equal. Copies are found in the main graph, in
    If, Loop and Scan bodies and in Constant nodes, and kept once, in the main graph, where all can see them; function
    bodies see nothing outside themselves, so copies are merged within each. Initializers that callers may override
    (graph inputs) and names of graph outputs are never touched.

    Attributes:
        tie: also store a weight once where it is another's transpose or reshape (word embedding and output head), and
            reach it through a Transpose or Reshape. On by default: the file loses the copy, and the runtime, which
            works such constant nodes out when it loads the model, needs no more memory or time than before.
    """

    name: ClassVar[str] = "deduplicate"
    claim: ClassVar[Claim] = Claim.EXACT

    tie: bool = True

    def run(self, model: ir.Model) -> PassResult:
        """Merge equal weights of `model`; a weight is read only as far as another could still be equal to it."""
        counts: Counter[str] = Counter()
        skipped: list[Skip] = []
        for scope in scopes(model):
            _merge(scope, scope.weights())
            if self.tie:
                tie_weights(scope)
            scope.finish()
            counts.update(scope.counts)
            skipped += scope.skipped
        note = ""
        if counts["weights_tied"]:
            note = "tied weights are one in the file; ONNX Runtime still holds both forms once it has loaded it"
        return PassResult(model=model, counts=dict(counts), skipped=tuple(skipped), note=note)


def merge_equal(model: ir.Model, *, at_most: float = math.inf) -> Counter[str]:
    """Merge equal weights of `at_most` bytes in place, and tie none: what other passes tidy up with."""
    counts: Counter[str] = Counter()
    for scope in scopes(model):
        _merge(scope, [weight for weight in scope.weights() if tensor_bytes(weight.tensor) <= at_most])
        scope.finish()
        counts.update(scope.counts)
    return counts


def _gain(weight: Weight, kept: ir.Value) -> int:
    """Bytes saved when readers of `weight` name `kept` instead: a scalar can be worth less than a longer name."""
    own, other = len(weight.value.name or ""), len(kept.name or "")
    node = weight.held.node
    around = 0 if node is None else len(node.name or "") + CONSTANT_NODE
    return tensor_bytes(weight.tensor) + own + around - len(weight.value.uses()) * (other - own)


def _merge(scope: Scope, weights: list[Weight]) -> None:
    for group in equal_groups(weights, lambda weight: weight.tensor):
        free = [weight for weight in group if scope.is_free(weight)]
        best = min(free, key=scope.rank, default=None)
        if best is None or len(free) < 2:
            continue
        if best.held.graph is not scope.root and sum(_gain(other, best.value) for other in free[1:]) < WORTH_MOVING:
            continue
        kept = scope.make_visible(best)
        for weight in free:
            if weight.value is kept.value or _gain(weight, kept.value) <= 0:
                continue
            reason = scope.obstacle(weight, kept)
            if reason:
                scope.skip(weight, reason)
                continue
            scope.redirect(weight, kept.value)
            scope.counts["initializers_merged" if weight.is_initializer else "constants_merged"] += 1
