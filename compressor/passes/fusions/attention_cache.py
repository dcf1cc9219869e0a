"""Let MultiHeadAttention append new keys and values to the cache itself.

Decoders with a cache append with Concat, after bringing what is new into the cache's order of axes. The operator takes
cache and new keys and values as they are, and gives the longer cache as further outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from compressor.passes.fusions.dimensions import Size
from compressor.passes.fusions.graph_edit import CONTRIB, GraphEdit
from compressor.passes.fusions.match import int_attribute, ints_attribute, made_by

_KEY, _VALUE, _BIAS = 1, 2, 5
"""Inputs of MultiHeadAttention; those for the cache come after the bias."""

_HEADS_FIRST = (0, 2, 1, 3)


@dataclass(frozen=True, slots=True)
class Appended:
    """Keys or values of earlier tokens with those of new ones behind.

    Attributes:
        past: (batch, heads, earlier tokens, features).
        new: (batch, new tokens, heads * features).
        present: both, as (batch, heads, all tokens, features).
    """

    past: ir.Value
    new: ir.Value
    present: ir.Value


def fuse(edit: GraphEdit) -> None:
    """Take in the cache of every MultiHeadAttention that has one for both keys and values."""
    for node in edit.nodes("MultiHeadAttention"):
        if not _is_plain(node):
            continue
        key, value = _appended(edit, node, _KEY), _appended(edit, node, _VALUE)
        if key is None or value is None or edit.facts.shape(key.new) != edit.facts.shape(value.new):
            continue
        _replace(edit, node, key, value)
        edit.counts["attention_caches_fused"] += 1


def _is_plain(node: ir.Node) -> bool:
    """Nothing goes in but query, key, value and a bias of the scores; with a cache, a flag would hide other keys."""
    others = [value for place, value in enumerate(node.inputs) if place > _VALUE and place != _BIAS]
    is_one_way = int_attribute(node, "unidirectional", 0) != 0
    return not is_one_way and len(node.outputs) == 1 and all(value is None for value in others)


def _appended(edit: GraphEdit, node: ir.Node, place: int) -> Appended | None:
    joined = made_by(node.inputs[place], "Concat")
    if joined is None or joined.graph is not node.graph or len(joined.inputs) != 2:
        return None
    if int_attribute(joined, "axis", 0) not in (2, -2) or len(joined.outputs[0].uses()) != 1:
        return None
    past, swapped = joined.inputs[0], made_by(joined.inputs[1], "Transpose")
    if past is None or swapped is None or ints_attribute(swapped, "perm") != _HEADS_FIRST:
        return None
    split = made_by(swapped.inputs[0], "Reshape")
    new = split.inputs[0] if split is not None else None
    heads, flat = edit.facts.shape(swapped.inputs[0]), edit.facts.shape(new)
    if new is None or heads is None or len(heads) != 4 or flat != (*heads[:2], heads[2] * heads[3]):
        return None
    is_for_node = heads[2] == Size.of(int_attribute(node, "num_heads", 0))
    return Appended(past, new, joined.outputs[0]) if is_for_node else None


def _replace(edit: GraphEdit, node: ir.Node, key: Appended, value: Appended) -> None:
    joins = [key.present.producer(), value.present.producer()]
    inputs = [node.inputs[0], key.new, value.new, None, None, node.inputs[_BIAS] if len(node.inputs) > _BIAS else None]
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    fused = edit.insert(
        node,
        "MultiHeadAttention",
        [*inputs, key.past, value.past],
        attributes=attributes,
        domain=CONTRIB,
        name=f"{node.outputs[0].name}_cached",
        num_outputs=3,
    )
    for old, new in zip((node.outputs[0], key.present, value.present), fused.outputs, strict=True):
        edit.replace(old, new)
    edit.sweep([node, *joins])
