"""Fuse a model with the standard's operators alone: raise its opset as far as they need, and no further."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import onnx_ir as ir

from compressor.passes.contract import PassResult
from compressor.passes.fusions.graph_edit import CONTRIB, GraphEdit
from compressor.passes.fusions.match import STANDARD_DOMAINS
from compressor.passes.fusions.standard.lowering import lower
from compressor.passes.fusions.standard.opset import raise_opset
from compressor.passes.fusions.target import FIRST_OPSETS, lack_of
from compressor.report import Skip


def fuse_raised(model: ir.Model, fuse: Callable[[ir.Model], PassResult]) -> PassResult:
    """Let `fuse` work on `model` at the lowest opset at which it fuses all that it does at the newest."""
    source = _opset(model)
    raised = model.clone()
    outcome = raise_opset(raised)
    result = _fuse(raised, fuse)
    needed = _needed(model, result.model)
    if needed < outcome.opset:
        raise_opset(model, needed)
        result = _fuse(model, fuse)
    reached = _opset(result.model)
    if reached > source:
        result = replace(result, note=f"the opset was raised from {source} to {reached}")
    lacks = {lack_of(op_type, reached) for op_type in FIRST_OPSETS} - {""}
    if outcome.obstacle and any(skip.reason in lacks for skip in result.skipped):
        refusal = Skip(candidate=f"opset {source}", reason=f"is raised to {reached} at most: {outcome.obstacle}")
        result = replace(result, skipped=(*result.skipped, refusal))
    return result


def _fuse(model: ir.Model, fuse: Callable[[ir.Model], PassResult]) -> PassResult:
    """Lower what `model` has of ONNX Runtime's operators, so that `fuse` finds the standard's."""
    lowered, _ = lower(GraphEdit(model))
    result = fuse(model)
    if not lowered:
        return result
    in_functions = [node for function in model.functions.values() for node in function.all_nodes()]
    if not any(node.domain == CONTRIB for node in (*model.graph.all_nodes(), *in_functions)):
        model.graph.opset_imports.pop(CONTRIB, None)
    return replace(result, counts={"runtime_operators_lowered": lowered, **result.counts})


def _needed(before: ir.Model, after: ir.Model) -> int:
    """The lowest opset that has every operator of which there are more now."""
    more = _fused_operators(after) - _fused_operators(before)
    return max((FIRST_OPSETS[op_type] for op_type in more), default=0)


def _fused_operators(model: ir.Model) -> Counter[str]:
    nodes = (node for node in model.graph.all_nodes() if node.domain in STANDARD_DOMAINS)
    return Counter(node.op_type for node in nodes if node.op_type in FIRST_OPSETS)


def _opset(model: ir.Model) -> int:
    return next((model.graph.opset_imports[d] for d in STANDARD_DOMAINS if d in model.graph.opset_imports), 0)
