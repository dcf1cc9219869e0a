"""Write an attention layer as com.microsoft.MultiHeadAttention."""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from compressor.passes.fusions.attention_bias import AttentionBiases, can_mask_whole_rows
from compressor.passes.fusions.attention_layer import Attention
from compressor.passes.fusions.attention_operands import Source
from compressor.passes.fusions.graph_edit import CONTRIB, GraphEdit

_TO_SEQUENCE_SECOND = {
    "sbh": (1, 0, 2),
    "bhs": (0, 2, 1),
    "bnsd": (0, 2, 1, 3),
    "bnds": (0, 3, 1, 2),
    "sbnd": (1, 0, 2, 3),
}
"""How to turn sources (see `Source`) that do not begin with batch and sequence."""


def replace(edit: GraphEdit, biases: AttentionBiases, found: Attention) -> None:
    """Put one operator in the place of an attention layer."""
    merged = found.target.value
    last = merged.producer()
    assert last is not None
    query = _as_three_axes(edit, found.softmax, _multiplied(edit, found), found.heads)
    if found.has_heads_first:
        key, value = _as_four_axes(edit, found.softmax, found.key), found.value.value
    else:
        key, value = (_as_three_axes(edit, last, source, found.heads_of_keys) for source in (found.key, found.value))
        if found.heads_of_keys != found.heads:
            key, value = (_repeated(edit, last, part, found.heads) for part in (key, value))
    bias = biases.make(
        found.scores.biases, found.extent, (query, 1), (found.key.value, found.key.order.index("s")), found.softmax
    )
    fused = edit.insert(
        last,
        "MultiHeadAttention",
        [query, key, value] if bias is None else [query, key, value, None, None, bias],
        attributes={"num_heads": found.heads, "scale": found.scale},
        domain=CONTRIB,
        name=f"{merged.name}_fused",
    )
    result = fused.outputs[0]
    if found.is_guarded and can_mask_whole_rows(found.scores.biases):
        result = _guarded(edit, last, result)
    edit.replace(merged, _in_order(edit, last, result, found))
    edit.sweep([last])


def _multiplied(edit: GraphEdit, found: Attention) -> Source:
    """The query, times the factor of its head if there is one."""
    query, factor = found.query, found.scores.factor
    if factor is None:
        return query
    product = edit.insert(found.softmax, "Mul", [query.value, factor], name=f"{query.value.name}_scaled")
    return dataclasses.replace(query, value=product.outputs[0])


def _as_three_axes(edit: GraphEdit, before: ir.Node, source: Source, heads: int) -> ir.Value:
    """The source as (batch, sequence, heads * size)."""
    value, name, size = source.value, source.value.name or "head", source.size.number
    assert size is not None
    if heads == 1 and source.order == "bnsd":  # no elements move where there is one head only
        return _reshaped(edit, before, value, [0, -1, size], name)
    if source.order in _TO_SEQUENCE_SECOND:
        value = _transposed(edit, before, value, _TO_SEQUENCE_SECOND[source.order], name)
    return value if "h" in source.order else _reshaped(edit, before, value, [0, 0, heads * size], name)


def _repeated(edit: GraphEdit, before: ir.Node, value: ir.Value, heads: int) -> ir.Value:
    """The only head as often as the query has heads."""
    times = edit.integers([1, 1, heads])
    return edit.insert(before, "Tile", [value, times], name=f"{value.name}_repeated").outputs[0]


def _as_four_axes(edit: GraphEdit, before: ir.Node, source: Source) -> ir.Value:
    """The source as (batch, heads, sequence, size)."""
    if source.order == "bnsd":
        return source.value
    return _transposed(edit, before, source.value, (0, 1, 3, 2), source.value.name or "key")


def _in_order(edit: GraphEdit, before: ir.Node, value: ir.Value, found: Attention) -> ir.Value:
    """Bring (batch, sequence, heads * size) into the order the result is read in."""
    order, size, name = found.target.order, found.target.size.number, value.name or "context"
    assert size is not None
    if order in ("sbh", "sbnd", "(sb)h"):
        value = _transposed(edit, before, value, (1, 0, 2), name)
    if order == "bhs":
        return _transposed(edit, before, value, (0, 2, 1), name)
    if order.startswith("("):
        value = _reshaped(edit, before, value, [-1, found.heads * size], name)
    if order in ("bsnd", "bnsd", "sbnd"):
        value = _reshaped(edit, before, value, [0, 0, found.heads, size], name)
    return _transposed(edit, before, value, (0, 2, 1, 3), name) if order == "bnsd" else value


def _transposed(edit: GraphEdit, before: ir.Node, value: ir.Value, perm: tuple[int, ...], name: str) -> ir.Value:
    return edit.insert(before, "Transpose", [value], attributes={"perm": perm}, name=f"{name}_transposed").outputs[0]


def _reshaped(edit: GraphEdit, before: ir.Node, value: ir.Value, shape: list[int], name: str) -> ir.Value:
    return edit.insert(before, "Reshape", [value, edit.integers(shape)], name=f"{name}_reshaped").outputs[0]


def _guarded(edit: GraphEdit, before: ir.Node, value: ir.Value) -> ir.Value:
    """Give 0 for rows without a number, as the graph did for their probabilities.

    The graph tests probabilities, this tests results: they differ where a value itself is not a number, which the graph
    would pass on.
    """
    dtype = edit.facts.dtype(value)
    assert dtype is not None
    test = edit.insert(before, "IsNaN", [value], name=f"{value.name}_is_nan").outputs[0]
    zero = edit.number(0.0, dtype)
    return edit.insert(before, "Where", [test, zero, value], name=f"{value.name}_guarded").outputs[0]
