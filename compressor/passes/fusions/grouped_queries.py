"""Let query heads that share keys and values (grouped-query attention) be further queries of one head.

Exports repeat keys and values for every query head, cache included, which costs more than the attention itself when
one token is generated. With 8 query heads over 2 of keys, this makes 2 heads of 4 times as many queries each: the same
products, and nothing is repeated but the queries' mask. Unlike with com.microsoft.GroupQueryAttention nothing need be
known of the mask, neither that it is causal nor on which side it pads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from compressor.passes.fusions.dimensions import ONE, Size
from compressor.passes.fusions.graph_edit import CONTRIB, GraphEdit
from compressor.passes.fusions.match import made_by

_QUERY, _KEY, _VALUE, _BIAS = 0, 1, 2, 5
"""Inputs of MultiHeadAttention."""

_GROUPS_FIRST = (0, 3, 1, 2, 4)
"""From (batch, sequence, key heads, group, features) to (batch, group, sequence, key heads, features)."""

_GROUPS_LAST = (0, 2, 3, 1, 4)
"""And back."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """Keys or values, each head of which was repeated for a group of query heads.

    Attributes:
        value: (batch, heads, sequence, features) before.
        heads: their number before.
        group: how often each is repeated.
        features: of a head.
    """

    value: ir.Value
    heads: int
    group: int
    features: int


def fuse(edit: GraphEdit) -> None:
    """Undo the repetition before every MultiHeadAttention that has it on both keys and values."""
    biases: dict[tuple[object, ...], ir.Value] = {}
    for node in edit.nodes("MultiHeadAttention"):
        inputs = [*node.inputs, *(None,) * (_BIAS + 1 - len(node.inputs))]
        key, value = _before_repetition(edit, inputs[_KEY]), _before_repetition(edit, inputs[_VALUE])
        if key is None or value is None or (key.heads, key.group) != (value.heads, value.group):
            continue
        if not _is_plain(edit, node, inputs, key):
            continue
        _replace(edit, node, key, value, biases)
        edit.counts["grouped_queries_fused"] += 1


def _before_repetition(edit: GraphEdit, value: ir.Value | None) -> Repeated | None:
    """Keys or values before each head was repeated in place: (b, n, s, d) > (b, n, 1, s, d) > (b, n, g, s, d)."""
    joined = made_by(value, "Reshape")
    copies = made_by(joined.inputs[0] if joined is not None else None, "Expand", "Tile")
    parted = made_by(copies.inputs[0] if copies is not None else None, "Unsqueeze", "Reshape")
    if joined is None or copies is None or parted is None or parted.inputs[0] is None:
        return None
    steps = [parted.inputs[0], parted.outputs[0], copies.outputs[0], joined.outputs[0]]
    plain, apart, repeated, whole = (edit.facts.shape(step) for step in steps)
    if plain is None or len(plain) != 4 or repeated is None or len(repeated) != 5:
        return None
    heads, group, features = plain[1].number, repeated[2].number, plain[3].number
    if not heads or not group or not features or group < 2:
        return None
    batch, _, length, size = plain
    if apart != (batch, plain[1], ONE, length, size) or repeated != (batch, plain[1], Size.of(group), length, size):
        return None
    if whole != (batch, Size.of(heads * group), length, size):
        return None
    return Repeated(parted.inputs[0], heads, group, features)


def _is_plain(edit: GraphEdit, node: ir.Node, inputs: Sequence[ir.Value | None], key: Repeated) -> bool:
    """Nothing goes in but query, key, value and a bias of known shape, and only the result comes out."""
    others = [value for place, value in enumerate(inputs) if place not in (_QUERY, _KEY, _VALUE, _BIAS)]
    if any(value is not None for value in others) or len(node.outputs) != 1 or "unidirectional" in node.attributes:
        return False
    query, bias = edit.facts.shape(inputs[_QUERY]), edit.facts.shape(inputs[_BIAS])
    heads = key.heads * key.group
    if query is None or len(query) != 3 or query[2] != Size.of(heads * key.features):
        return False
    return inputs[_BIAS] is None or (bias is not None and len(bias) == 4 and bias[1] in (ONE, Size.of(heads)))


def _replace(
    edit: GraphEdit, node: ir.Node, key: Repeated, value: Repeated, biases: dict[tuple[object, ...], ir.Value]
) -> None:
    query, bias = node.inputs[_QUERY], node.inputs[_BIAS] if len(node.inputs) > _BIAS else None
    assert query is not None
    queries = _moved(edit, node, query, [0, 0, key.heads, key.group, key.features], _GROUPS_FIRST)
    longer = _reshaped(edit, node, queries, [0, -1, key.heads * key.features])
    inputs: list[ir.Value | None] = [longer, key.value, value.value]
    if bias is not None:
        made = (node.graph, bias, key.heads, key.group)
        if made not in biases:
            biases[made] = _longer_bias(edit, node, bias, key)
        inputs += [None, None, biases[made]]
    attributes = {name: attribute.value for name, attribute in node.attributes.items()} | {"num_heads": key.heads}
    result = node.outputs[0]
    name = f"{result.name}_grouped"
    fused = edit.insert(node, "MultiHeadAttention", inputs, attributes=attributes, domain=CONTRIB, name=name)
    parted = [0, key.group, -1, key.heads, value.features]
    apart = _moved(edit, node, fused.outputs[0], parted, _GROUPS_LAST)
    edit.replace(result, _reshaped(edit, node, apart, [0, 0, key.heads * key.group * value.features]))
    edit.sweep([node])


def _longer_bias(edit: GraphEdit, node: ir.Node, bias: ir.Value, key: Repeated) -> ir.Value:
    """The bias of (batch, heads, queries, keys) for longer queries: one for all heads is repeated, others move."""
    shape = edit.facts.shape(bias)
    assert shape is not None
    if shape[1] != ONE:
        return _reshaped(edit, node, bias, [0, key.heads, -1, 0])
    repeats = edit.integers([1, 1, key.group, 1])
    return edit.insert(node, "Tile", [bias, repeats], name=f"{bias.name}_for_group").outputs[0]


def _moved(edit: GraphEdit, node: ir.Node, value: ir.Value, parts: list[int], perm: tuple[int, ...]) -> ir.Value:
    parted = _reshaped(edit, node, value, parts)
    return edit.insert(node, "Transpose", [parted], attributes={"perm": perm}, name=f"{value.name}_moved").outputs[0]


def _reshaped(edit: GraphEdit, node: ir.Node, value: ir.Value, shape: list[int]) -> ir.Value:
    return edit.insert(node, "Reshape", [value, edit.integers(shape)], name=f"{value.name}_reshaped").outputs[0]
