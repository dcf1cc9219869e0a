"""Fuse a model with the standard's operators alone: raise its opset as far as they need, and no further."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import onnx_ir as ir

from compressor.passes.contract import PassResult
from compressor.passes.fusions.graph_edit import CONTRIB, GraphEdit, place_of
from compressor.passes.fusions.match import STANDARD_DOMAINS
from compressor.passes.fusions.standard.lowering import has_runtime_operators, lower
from compressor.passes.fusions.standard.opset import raise_opset
from compressor.passes.target import FIRST_OPSETS, lack_of
from compressor.report import Skip


def fuse_raised(model: ir.Model, fuse: Callable[[ir.Model], PassResult]) -> PassResult:
    """Let `fuse` work on `model` at the lowest opset at which it fuses all that it does at the newest."""
    source, foreign = _opset(model), _operators(model, CONTRIB)
    raised = model.clone()
    outcome = raise_opset(raised)
    result = _fuse(raised, fuse)
    needed = _needed(model, result.model)
    if needed < outcome.opset:
        raise_opset(model, needed)
        result = _fuse(model, fuse)
    added = _operators(result.model, CONTRIB) - foreign
    assert not added, f"fusing put in operators of ONNX Runtime: {', '.join(added)}"
    reached = _opset(result.model)
    if reached > source:
        result = replace(result, note=f"the opset was raised from {source} to {reached}")
    refusals = [*_in_functions(result.model)]
    lacks = {lack_of(op_type, reached) for op_type in FIRST_OPSETS} - {""}
    if outcome.obstacle and any(skip.reason in lacks for skip in result.skipped):
        reason = f"is raised to {reached} at most: {outcome.obstacle}"
        refusals.append(Skip(candidate=f"opset {source}", reason=reason))
    return replace(result, skipped=(*result.skipped, *refusals))


def _fuse(model: ir.Model, fuse: Callable[[ir.Model], PassResult]) -> PassResult:
    """Lower what `model` has of ONNX Runtime's operators, so that `fuse` finds the standard's."""
    lowered = lower(GraphEdit(model))[0] if has_runtime_operators(model.graph) else 0
    result = fuse(model)
    if not lowered:
        return result
    if not _operators(result.model, CONTRIB) and not _in_functions(result.model):
        result.model.graph.opset_imports.pop(CONTRIB, None)
    return replace(result, counts={"runtime_operators_lowered": lowered, **result.counts})


def _in_functions(model: ir.Model) -> list[Skip]:
    """Operators of ONNX Runtime where fusing does not look."""
    nodes = [node for function in model.functions.values() for node in function.all_nodes() if node.domain == CONTRIB]
    return [Skip(candidate=place_of(node), reason="is inside a function, which is not fused") for node in nodes]


def _needed(before: ir.Model, after: ir.Model) -> int:
    """The lowest opset that has every operator of which there are more now."""
    more = _operators(after, *STANDARD_DOMAINS) - _operators(before, *STANDARD_DOMAINS)
    return max((FIRST_OPSETS[op_type] for op_type in more if op_type in FIRST_OPSETS), default=0)


def _operators(model: ir.Model, *domains: str) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.all_nodes() if node.domain in domains)


def _opset(model: ir.Model) -> int:
    return next((model.graph.opset_imports[d] for d in STANDARD_DOMAINS if d in model.graph.opset_imports), 0)
