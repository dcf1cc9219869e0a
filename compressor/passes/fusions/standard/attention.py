"""Lower ONNX Runtime's MultiHeadAttention to the standard's Attention.

Both take query, key and value as (batch, sequence, heads * size), a mask that is added to the scores as (1 or batch, 1
or heads, queries, keys), and a cache as (batch, heads, sequence, size). They differ where keys and values come as
heads: the standard then wants the query so too, and gives the result so.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from compressor.passes.fusions.graph_edit import GraphEdit
from compressor.passes.fusions.match import float_attribute, int_attribute
from compressor.passes.fusions.standard.masks import without_lowest
from compressor.passes.fusions.standard.operands import NotLowerable, check_opset, check_unread, inputs_of, is_read


@dataclass(frozen=True, slots=True)
class _Operands:
    """What a MultiHeadAttention reads that the standard's operator can, too."""

    query: ir.Value
    key: ir.Value
    value: ir.Value
    packed_bias: ir.Value | None
    mask: ir.Value | None
    past: tuple[ir.Value | None, ir.Value | None]


def lower(edit: GraphEdit, node: ir.Node) -> None:
    """Lower one MultiHeadAttention.

    Raises:
        NotLowerable: it says something that the standard's operator cannot.
    """
    check_opset(edit, "Attention")
    check_unread(node, 3)
    given = _operands(edit, node)
    attributes = _attributes(edit, node, given)
    query, key, value = _biased(edit, node, given)
    has_heads = edit.facts[key].rank == 4
    heads = attributes["q_num_heads"]
    if has_heads:
        query = _in_heads(edit, node, query, int(heads))
    else:
        _state_width(edit, value)
    mask = None if given.mask is None else without_lowest(edit, node, given.mask)
    inputs = [query, key, value, mask, *given.past]
    while inputs[-1] is None:
        inputs.pop()
    name = node.outputs[0].name or "attention"
    keeps = any(past is not None for past in given.past) or is_read(node, 1) or is_read(node, 2)
    made = edit.insert(
        node, "Attention", inputs, attributes=attributes, name=f"{name}_attended", num_outputs=3 if keeps else 1
    )
    result = _merged(edit, node, made.outputs[0]) if has_heads else made.outputs[0]
    for output, kept in zip(node.outputs, (result, *made.outputs[1:]), strict=False):
        edit.replace(output, kept)
    edit.sweep([node])


def _operands(edit: GraphEdit, node: ir.Node) -> _Operands:
    query, key, value, bias, padding, mask, *past = inputs_of(node, 8)
    if query is None or key is None or value is None or edit.facts[query].rank != 3:
        raise NotLowerable("MultiHeadAttention reads query, key and value packed")
    ranks = {edit.facts[key].rank, edit.facts[value].rank}
    if len(ranks) != 1 or not ranks <= {3, 4}:
        raise NotLowerable("MultiHeadAttention reads keys and values of forms that are not known")
    if padding is not None:
        raise NotLowerable("MultiHeadAttention has a mask of keys, the standard's Attention one of scores")
    if any(given is not None for given in list(node.inputs)[8:]):
        raise NotLowerable("MultiHeadAttention keeps its cache in a buffer, which the standard's does not")
    return _Operands(query, key, value, bias, mask, (past[0], past[1]))


def _attributes(edit: GraphEdit, node: ir.Node, given: _Operands) -> dict[str, int | float]:
    heads = int_attribute(node, "num_heads", 0)
    attributes: dict[str, int | float] = {"q_num_heads": heads, "kv_num_heads": heads}
    scale = float_attribute(node, "scale", 0.0)
    if scale < 0:
        raise NotLowerable("MultiHeadAttention has a scale below 0, which ONNX Runtime refuses in the standard's")
    if scale:  # 0 stands for one over the root of the head's size, which both take where nothing is said
        attributes["scale"] = scale
    if int_attribute(node, "unidirectional", 0):
        lengths = [edit.facts.axis(value, -2) for value in (given.query, given.key)]
        if given.past[0] is not None or lengths[0] != lengths[1]:
            raise NotLowerable("MultiHeadAttention looks back only, over keys of another length than the queries")
        attributes["is_causal"] = 1
    return attributes


def _biased(edit: GraphEdit, node: ir.Node, given: _Operands) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Query, key and value, each with its part of the bias."""
    if given.packed_bias is None:
        return given.query, given.key, given.value
    sources = (given.query, given.key, given.value)
    widths = [edit.facts.axis(value, -1).number for value in sources]
    known = [width for width in widths if width is not None]
    if len(known) != len(sources) or edit.facts[given.key].rank != 3:
        raise NotLowerable("MultiHeadAttention adds biases whose parts are not known")
    name = given.packed_bias.name or "bias"
    parts = edit.insert(
        node, "Split", [given.packed_bias, edit.integers(known)], attributes={"axis": 0}, name=f"{name}_part",
        num_outputs=3,
    ).outputs  # fmt: skip
    query, key, value = (
        edit.insert(node, "Add", [source, part], name=f"{source.name}_biased").outputs[0]
        for source, part in zip(sources, parts, strict=True)
    )
    return query, key, value


def _state_width(edit: GraphEdit, value: ir.Value) -> None:
    """Write down how wide the values (batch, sequence, heads * size) are, where the model does not.

    The standard's shape inference (onnx 1.23) takes an open width for 0, gives the result a width of 0, and ONNX
    Runtime then refuses the product behind it.
    """
    width, dtype = edit.facts.axis(value, -1).number, edit.facts.dtype(value)
    is_stated = value.shape is not None and isinstance(value.shape[-1], int)
    if width is not None and dtype is not None and not is_stated:
        value.type = ir.TensorType(dtype)
        value.shape = ir.Shape([*(value.shape[:-1] if value.shape is not None else (None, None)), width])


def _in_heads(edit: GraphEdit, node: ir.Node, value: ir.Value, heads: int) -> ir.Value:
    """(batch, sequence, heads * size) as (batch, heads, sequence, size)."""
    width = edit.facts.axis(value, -1).number
    size = -1 if width is None else width // heads
    parted = edit.insert(node, "Reshape", [value, edit.integers([0, 0, heads, size])], name=f"{value.name}_heads")
    perm = (0, 2, 1, 3)
    name = f"{value.name}_heads_first"
    return edit.insert(node, "Transpose", [parted.outputs[0]], attributes={"perm": perm}, name=name).outputs[0]


def _merged(edit: GraphEdit, node: ir.Node, value: ir.Value) -> ir.Value:
    """(batch, heads, sequence, size) as (batch, sequence, heads * size)."""
    heads, size = edit.facts.axis(value, 1).number, edit.facts.axis(value, 3).number
    width = -1 if heads is None or size is None else heads * size
    perm = (0, 2, 1, 3)
    turned = edit.insert(node, "Transpose", [value], attributes={"perm": perm}, name=f"{value.name}_heads_last")
    return edit.insert(
        node, "Reshape", [turned.outputs[0], edit.integers([0, 0, width])], name=f"{value.name}_merged"
    ).outputs[0]
