"""Fuse attention, however it is spelled, to com.microsoft.MultiHeadAttention.

Query, key and value go in as three tensors, so the weights of their projections stay three plain MatMul operands,
which sharing and quantization need. Masks go in as the additive bias the graph itself adds; nothing is assumed of
their meaning.
"""

from __future__ import annotations

import onnx_ir as ir

from compressor.passes.fusions import attention_form
from compressor.passes.fusions.attention_bias import AttentionBiases, check_fits
from compressor.passes.fusions.attention_fill import check_fills
from compressor.passes.fusions.attention_layer import Attention
from compressor.passes.fusions.attention_operands import Source, scored, weighed
from compressor.passes.fusions.attention_probabilities import Probabilities, probabilities_of
from compressor.passes.fusions.attention_scores import (
    NotAttention,
    NotFusable,
    Scores,
    lies_between_products,
    scores_before,
)
from compressor.passes.fusions.dimensions import ONE
from compressor.passes.fusions.graph_edit import GraphEdit, place_of
from compressor.passes.fusions.match import (
    int_attribute,
    is_at_end,
    is_operator,
)
from compressor.passes.target import Target

SUPPORTED_TYPES = (ir.DataType.FLOAT, ir.DataType.FLOAT16)
"""Element types ONNX Runtime's CPU kernel takes."""

FIRST_OPSET_WITH_BIAS = 9
"""Expand came with opset 8, Where with 9."""


def fuse(edit: GraphEdit) -> None:
    """Fuse every attention layer that can be; note the others with the reason."""
    biases = AttentionBiases(edit)
    for softmax in edit.nodes("Softmax"):
        try:
            found = find(edit, softmax)
        except NotFusable as refusal:
            edit.skip(place_of(softmax), str(refusal))
            continue
        except NotAttention:
            if lies_between_products(softmax):
                edit.skip(
                    place_of(softmax), "the Softmax lies between two products, but not as in any attention known here"
                )
            continue
        if lack := edit.lack_of("Attention"):
            edit.skip(place_of(softmax), lack)
            continue
        attention_form.replace(edit, biases, found)
        edit.counts["attention_fused"] += 1


def find(edit: GraphEdit, softmax: ir.Node) -> Attention:
    """Read the attention layer around a Softmax.

    Raises:
        NotAttention: there is none.
        NotFusable: there is one, but not every check holds.
    """
    before = softmax.inputs[0]
    if before is None:
        raise NotAttention
    probabilities = probabilities_of(edit, softmax)
    scores = probabilities.masked(scores_before(edit.facts, before), edit.facts[before].rank)
    _check_scores(edit, softmax, scores, probabilities)
    queries, keys = scored(edit, scores.product, is_swapped=probabilities.is_swapped)
    values, targets = weighed(edit, probabilities.product)
    outer, inner = queries.keys() & targets.keys(), keys.keys() & values.keys()
    # One head of keys and values may serve all heads of the query (multi-query attention); their product repeats it.
    stored = outer & inner or inner & {1}
    if not outer or not stored:
        raise NotFusable("no common number of heads of query, key, value and result follows from the graph")
    heads, of_keys = max(outer & inner or outer), max(stored)
    query = queries[heads] if scores.factor is None else _to_be_multiplied(edit, scores, queries[heads])
    operands = query, keys[of_keys], values[of_keys], targets[heads]
    is_guarded = probabilities.is_guarded
    found = Attention(softmax, probabilities.product, *operands, scores, heads, of_keys, is_guarded)
    _check(edit, found)
    return found


def _check_scores(edit: GraphEdit, softmax: ir.Node, scores: Scores, probabilities: Probabilities) -> None:
    is_swapped, rank = probabilities.is_swapped, edit.facts[softmax.inputs[0]].rank
    axis = int_attribute(softmax, "axis", -1 if edit.opset >= 13 else 1)
    # Before opset 13, Softmax joined all axes from its own on, so any but the last one meant something else.
    is_along_keys = (axis in (-2, (rank or 0) - 2) and edit.opset >= 13) if is_swapped else is_at_end(axis, rank)
    if not is_along_keys:
        raise NotFusable("the Softmax is not along the keys")
    if scores.biases and edit.opset < FIRST_OPSET_WITH_BIAS:
        raise NotFusable(f"opset {edit.opset} has no operators to bring a mask into the shape the fused one takes")
    if is_swapped and (scores.biases or scores.factor is not None or scores.is_lowered):
        raise NotFusable("something is added to scores that are transposed")


def _to_be_multiplied(edit: GraphEdit, scores: Scores, query: Source) -> Source:
    """The query in heads, where the factor of each head can be applied to it instead of to the scores."""
    operand = scores.product.inputs[0]
    shape, factors = edit.facts.shape(operand), edit.facts.shape(scores.factor) or ()
    padded = (*(ONE,) * (4 - len(factors)), *factors)
    is_plain = is_operator(scores.product, "MatMul") and shape is not None and len(shape) == len(padded) == 4
    if operand is None or not is_plain or any(p not in (ONE, s) for p, s in zip(padded[:2], shape or (), strict=False)):
        raise NotFusable("the scores are multiplied with something that is not a constant number")
    return Source(operand, "bnsd", 1.0, query.batch, query.length, query.size)


def _check(edit: GraphEdit, found: Attention) -> None:
    query, key, value = found.query, found.key, found.value
    dtypes = {edit.facts.dtype(source.value) for source in (query, key, value)}
    if len(dtypes) != 1 or not dtypes <= set(SUPPORTED_TYPES):
        raise NotFusable("query, key and value are not all of one type, float32 or float16")
    if not query.batch == key.batch == value.batch:
        raise NotFusable(f"batch sizes differ: {query.batch}, {key.batch}, {value.batch}")
    # Two names may stand for one length, as where a cache brings keys and values with a name each: the product of
    # probabilities and values fails in a run in which they differ. Two numbers that differ fail in every run.
    is_contradiction = key.length != value.length and None not in (key.length.number, value.length.number)
    if query.size != key.size or is_contradiction:
        raise NotFusable(f"lengths of keys and values differ: {key.length}, {value.length}")
    if value.scale != 1.0:
        raise NotFusable("the values are scaled")
    if found.scale == 0.0:
        raise NotFusable("the scale is 0, which the fused operator reads as not given")
    if found.scale < 0.0 and edit.target is Target.STANDARD:
        raise NotFusable("the scale is below 0, which ONNX Runtime does not take in the standard's Attention")
    check_fills(found.scores.biases, dtypes.pop() or ir.DataType.FLOAT)
    for term in found.scores.biases:
        check_fits(edit, term, found.extent)
    if found.nodes_saved < 0:
        raise NotFusable("the heads are not split and merged around the attention, so fusing would add nodes")
