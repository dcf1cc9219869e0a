"""Ask other people's optimizers for attention that is still unfused, and take the best answer that costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import onnx_ir as ir

from compressor.model.size import measure
from compressor.passes.contract import Pass, PassResult
from compressor.passes.engines import onnxruntime_optimizer, onnxruntime_tools_optimizer, onnxscript_fusions
from compressor.passes.engines.workshop import LARGEST_NEW, EngineRefusal
from compressor.passes.fusions.attention_operands import scored
from compressor.passes.fusions.attention_scores import NotAttention, NotFusable, scores_before
from compressor.passes.fusions.graph_edit import CONTRIB, GraphEdit, place_of
from compressor.passes.fusions.match import tensor_of
from compressor.report import Skip

Engine = Callable[[ir.Model, int, int], ir.Model]

ENGINES: dict[str, Engine] = {
    "onnxscript": onnxscript_fusions.optimize,
    "onnxruntime": onnxruntime_optimizer.optimize,
    "onnxruntime_tools": onnxruntime_tools_optimizer.optimize,
}
"""Engines by the name users give them, the quickest first."""

ATTENTION_OPERATORS = frozenset(("Attention", "MultiHeadAttention", "GroupQueryAttention"))

CPU_OPERATORS = ATTENTION_OPERATORS | {
    "BiasGelu",
    "EmbedLayerNormalization",
    "FastGelu",
    "FusedMatMul",
    "Gelu",
    "QuickGelu",
    "RotaryEmbedding",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
}
"""Operators of `com.microsoft` an engine may put in; ONNX Runtime's CPU provider has all of them."""

_PRODUCTS = frozenset(("MatMul", "Gemm", "Gather"))
"""Operators whose weights a later pass can quantize."""


def fuse_more(
    model: ir.Model, own: PassResult, rules: Pass, engines: Sequence[str], allowed: frozenset[str] = CPU_OPERATORS
) -> tuple[PassResult | None, tuple[Skip, ...]]:
    """Let `engines` fuse a copy of `model`, then `rules` what they leave; give the result with most attention fused.

    Nothing is asked where the rules alone, whose result is `own`, left no attention. What the rules make of an engine's
    result may hold the `allowed` operators of `com.microsoft` only. The second value says why an engine that was asked
    did not help.
    """
    unfused = {place_of(node) for node in own.model.graph.all_nodes() if node.op_type == "Softmax"}
    if unfused.isdisjoint(skip.candidate for skip in own.skipped):
        return None, ()
    best, refusals = None, []
    most = _attention_count(own.model)
    heads, width = _heads_and_width(model)
    for name in engines:
        try:
            result = rules.run(ENGINES[name](model, heads, width))
            _check(model, own.model, result.model, allowed)
        except EngineRefusal as refusal:
            refusals.append(Skip(candidate=f"engine {name}", reason=str(refusal)))
            continue
        count = _attention_count(result.model)
        if count <= most:
            refusals.append(Skip(candidate=f"engine {name}", reason="fuses no attention beyond the rules' own"))
            continue
        counts = {**result.counts, "attention_fused": count - _attention_count(model)}
        best, most = replace(result, counts=counts, note=f"attention fused by {name}"), count
    return best, tuple(refusals)


def _heads_and_width(model: ir.Model) -> tuple[int, int]:
    """Number of heads and features of the first attention whose query shows them; zeros where none does."""
    edit = GraphEdit(model.clone())
    for softmax in edit.nodes("Softmax"):
        try:
            assert softmax.inputs[0] is not None
            queries, _ = scored(edit, scores_before(edit.facts, softmax.inputs[0]).product)
        except (NotFusable, NotAttention):
            continue
        if queries:
            heads = max(queries)
            return heads, heads * (queries[heads].size.number or 0)
    return 0, 0


def _attention_count(model: ir.Model) -> int:
    return sum(node.op_type in ATTENTION_OPERATORS for node in model.graph.all_nodes())


def _check(model: ir.Model, own: ir.Model, result: ir.Model, allowed: frozenset[str]) -> None:
    """Refuse results that cost more than they save."""
    before = {node.op_type for node in model.graph.all_nodes() if node.domain == CONTRIB}
    added = {node.op_type for node in result.graph.all_nodes() if node.domain == CONTRIB} - before - allowed
    if added:
        raise EngineRefusal(f"uses operators the result may not hold: {', '.join(sorted(added))}")
    for mine, theirs in ((model.graph.inputs, result.graph.inputs), (model.graph.outputs, result.graph.outputs)):
        if [(v.name, v.type, v.shape) for v in mine] != [(v.name, v.type, v.shape) for v in theirs]:
            raise EngineRefusal("changes the model's inputs or outputs")
    lost = next((value.name for value in _values_read(result) if not _exists(value)), None)
    if lost is not None:
        raise EngineRefusal(f"loses '{lost}', which is still read")
    if measure(result).all_weight_bytes > measure(own).all_weight_bytes + LARGEST_NEW:
        raise EngineRefusal("makes the weights larger")
    if _quantizable_bytes(result) < _quantizable_bytes(own):
        raise EngineRefusal("packs weights, which hides them from quantization")


def _values_read(model: ir.Model) -> list[ir.Value]:
    inputs = [value for node in model.graph.all_nodes() for value in node.inputs if value is not None]
    return [*model.graph.outputs, *inputs]


def _exists(value: ir.Value) -> bool:
    """Something gives the value: a node that is still in its graph, the caller, or a weight."""
    producer = value.producer()
    if producer is not None:
        return producer.graph is not None
    return value.is_graph_input() or value.is_initializer()


def _quantizable_bytes(model: ir.Model) -> int:
    read = {value for node in model.graph if node.op_type in _PRODUCTS for value in node.inputs if value is not None}
    return sum(tensor.nbytes for value in read if (tensor := tensor_of(value)) is not None)
