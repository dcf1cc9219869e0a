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
    gelu,
    layer_normalization,
    multi_head_attention,
    plain_shapes,
    skip_layer_normalization,
)
from compressor.passes.fusions.graph_edit import CONTRIB, SMALL_CONSTANT, GraphEdit

KINDS = (
    "attention", "gelu", "bias_gelu", "layer_normalization", "skip_layer_normalization", "skip_rms_normalization"
)  # fmt: skip
"""What can be fused, and left out by name."""

SLOW_KINDS = frozenset({"bias_gelu", "skip_layer_normalization"})
"""Left out by default: their kernels are slower than what ONNX Runtime makes of the parts (decisions 11 and 12)."""

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
    """

    name: ClassVar[str] = "fuse"
    claim: ClassVar[Claim] = Claim.EQUIVALENT

    without: frozenset[str] = SLOW_KINDS
    engines: tuple[str, ...] = ENGINES

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
        # First, so that nodes which differ in nothing but which copy they read look alike.
        merged = merge_equal(model, at_most=SMALL_CONSTANT)
        edit = GraphEdit(model)
        edit.counts.update(merged)
        plain_shapes.simplify(edit)
        if "attention" not in self.without:
            multi_head_attention.fuse(edit)
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
            from compressor.passes.engines.choice import fuse_more

            better, refusals = fuse_more(model, own, self, self.engines)
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
        counts.update(edit.counts)
        if not edit.counts and model.graph.num_nodes() == nodes:
            break
    return counts
