"""Replace transformer building blocks by the fused operators ONNX Runtime has for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import onnx_ir as ir

from compressor.errors import OptionError
from compressor.passes.contract import Claim, Pass, PassResult
from compressor.passes.deduplicate import merge_equal
from compressor.passes.fusions import (
    attention_cache,
    gelu,
    grouped_queries,
    layer_normalization,
    loop_weights,
    multi_head_attention,
    plain_shapes,
    rotary_embedding,
    skip_layer_normalization,
)
from compressor.passes.fusions.graph_edit import CONTRIB, SMALL_CONSTANT, GraphEdit
from compressor.passes.fusions.standard.lowering import lower
from compressor.passes.fusions.standard.raising import fuse_raised
from compressor.passes.target import Target

KINDS = (
    "rotary_embedding", "attention", "grouped_queries", "attention_cache", "gelu", "bias_gelu", "layer_normalization",
    "skip_layer_normalization", "skip_rms_normalization",
)  # fmt: skip
"""What can be fused, and left out by name."""

SLOW_KINDS = frozenset({"bias_gelu", "skip_layer_normalization"})
"""Left out by default: their kernels are slower than what ONNX Runtime makes of the parts (decisions 11 and 12)."""

RUNTIME_KINDS = frozenset({"bias_gelu", "skip_layer_normalization", "skip_rms_normalization"})
"""Kinds that the standard has no operator for."""

MOST_ROUNDS = 8
"""Rounds of simplification at most; two do for nearly every export."""

ENGINES = ("onnxscript", "onnxruntime", "onnxruntime_tools")
"""Whom to ask for attention that the rules here leave (see `compressor.passes.engines.choice`)."""


@dataclass(frozen=True)
class FuseTransformer(Pass):
    """Fuse attention, GELU, normalizations and residual additions.

    Attributes:
        without: kinds (see `KINDS`) to leave as they are; by default those that cost speed (see `SLOW_KINDS`).
        engines: other people's optimizers (see `ENGINES`) to ask for attention that the rules
            here leave; all of them, since their results are held to the same claim.
        target: whose operators the result may hold; those of ONNX Runtime too, since they work at every opset.
    """

    name: ClassVar[str] = "fuse"
    claim: ClassVar[Claim] = Claim.EQUIVALENT

    without: frozenset[str] = SLOW_KINDS
    engines: tuple[str, ...] = ENGINES
    target: Target = Target.ORT

    def __post_init__(self) -> None:
        """Refuse what is not there.

        Raises:
            OptionError: `without` or `engines` holds an unknown name.
        """
        for option, known in (("without", KINDS), ("engines", ENGINES)):
            for name in sorted(set(getattr(self, option)) - set(known)):
                raise OptionError(f"fuse: {option} has no {name!r}; choose from {', '.join(known)}")

    def run(self, model: ir.Model) -> PassResult:
        """Fuse everything the rules here can, in one walk per kind of operator."""
        if self.target is Target.ORT:
            return self._fuse(model)
        return fuse_raised(model, replace(self, without=self.without | RUNTIME_KINDS)._fuse)

    def _fuse(self, model: ir.Model) -> PassResult:
        # First, so that nodes which differ in nothing but which copy they read look alike.
        merged = merge_equal(model, at_most=SMALL_CONSTANT)
        edit = GraphEdit(model, self.target)
        edit.counts.update(merged)
        loop_weights.read_outside(edit)
        plain_shapes.simplify(edit)
        if "rotary_embedding" not in self.without:  # before attention, which looks for what it leaves
            rotary_embedding.fuse(edit)
        if "attention" not in self.without:
            multi_head_attention.fuse(edit)
        if "grouped_queries" not in self.without:
            grouped_queries.fuse(edit)
        if "attention_cache" not in self.without:
            attention_cache.fuse(edit)
        if "gelu" not in self.without:
            gelu.fuse(edit)
        if "bias_gelu" not in self.without:
            gelu.fuse_bias(edit)
        skips = frozenset(
            is_centered
            for is_centered, kind in ((True, "skip_layer_normalization"), (False, "skip_rms_normalization"))
            if kind not in self.without
        )
        if "layer_normalization" not in self.without:
            layer_normalization.fuse(edit, with_skip=skips)
        skip_layer_normalization.fuse(edit, skips)
        if self.target is Target.STANDARD:
            edit.skipped += lower(edit)[1]
        edit.drop_unread()
        edit.counts.update(_settle(model))
        if any(node.domain == CONTRIB for node in model.graph.all_nodes()):
            model.graph.opset_imports.setdefault(CONTRIB, 1)
        return PassResult(model=model, counts=dict(edit.counts), skipped=tuple(edit.skipped))

    def alternatives(self, model: ir.Model) -> Iterator[PassResult]:
        """Yield what engines make of attention the rules leave, if that is more; the rules' result; then less and less.

        Each later result leaves one kind of operator as it is, so that one bad fusion does not cost the others.
        """
        own = self.run(model.clone())
        if "attention" not in self.without and self.engines:
            from compressor.passes.engines.choice import CPU_OPERATORS, fuse_more

            allowed = CPU_OPERATORS if self.target is Target.ORT else frozenset[str]()
            better, refusals = fuse_more(model, own, self, self.engines, allowed)
            if better is not None:
                yield better
            own = replace(own, skipped=own.skipped + refusals)
        yield own
        for kind in KINDS:
            if kind not in self.without and own.is_changed:
                yield replace(self, without=self.without | {kind}).run(model.clone())


def _settle(model: ir.Model) -> Counter[str]:
    """Simplify until nothing changes: what was inserted may equal what is there, or make another step possible."""
    counts: Counter[str] = Counter()
    for _ in range(MOST_ROUNDS):
        nodes = model.graph.num_nodes()
        edit = GraphEdit(model)
        plain_shapes.simplify(edit)
        edit.drop_unread()
        counts.update(edit.counts)
        if not edit.counts and model.graph.num_nodes() == nodes:
            break
    return counts
