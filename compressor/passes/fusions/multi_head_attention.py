"""Fuse attention, however it is spelled, to com.microsoft.MultiHeadAttention.

Query, key and value go in as three tensors, so the weights of their projections stay three plain MatMul operands, which
sharing and quantization need. Masks go in as the additive bias the graph itself adds; nothing is assumed of their meaning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from compressor.passes.fusions.attention_bias import AttentionBiases, Extent, can_mask_whole_rows, check_fits
from compressor.passes.fusions.attention_scores import NotAttention, NotFusable, Scores, constant_number, scores_before
from compressor.passes.fusions.dimensions import Size, product
from compressor.passes.fusions.graph_edit import CONTRIB, GraphEdit, place_of
from compressor.passes.fusions.layout import Group, Layout, Walk, back_through, forward_through, plain_layout
from compressor.passes.fusions.match import int_attribute, is_at_end, is_number, made_by, operands, sole_user

SUPPORTED_TYPES = (ir.DataType.FLOAT, ir.DataType.FLOAT16)
"""Element types ONNX Runtime's CPU kernel takes."""


@dataclass(frozen=True, slots=True)
class Probabilities:
    """The way from a Softmax to the product with the values.

    Attributes:
        product: the MatMul of probabilities and values.
        is_guarded: rows that are not a number are replaced by 0 on the way (as newer exports of SDPA do).
    """

    product: ir.Node
    is_guarded: bool


@dataclass(frozen=True, slots=True)
class Source:
    """Where a query, key or value comes from, before it was split into heads.

    Attributes:
        value: the tensor.
        order: its axes: ``"bsh"`` heads and features in one, ``"bsnd"`` apart, ``"bnsd"`` heads first.
        scale: the number it is multiplied with between here and the product.
        batch, length, size: sizes of the batch, of the sequence, and of one head.
    """

    value: ir.Value
    order: str
    scale: float
    batch: Size
    length: Size
    size: Size


def fuse(edit: GraphEdit) -> None:
    """Fuse every attention layer that can be; note the others with the reason."""
    biases = AttentionBiases(edit)
    for softmax in edit.nodes("Softmax"):
        if softmax.graph is None:
            continue
        try:
            _fuse_layer(edit, biases, softmax)
        except NotFusable as refusal:
            edit.skip(place_of(softmax), str(refusal))
        except NotAttention:
            continue


def _fuse_layer(edit: GraphEdit, biases: AttentionBiases, softmax: ir.Node) -> None:
    scored = softmax.inputs[0]
    if scored is None:
        raise NotAttention
    probabilities = _probabilities(edit, softmax)
    scores = scores_before(edit.facts, scored)
    if not is_at_end(int_attribute(softmax, "axis", -1 if edit.opset >= 13 else 1), edit.facts[scored].rank):
        raise NotFusable("the Softmax is not along the keys")
    heads, (query, key, value), context = _heads(edit, scores, probabilities.product)
    scale = scores.scale * query.scale * key.scale
    _check(edit, query, key, value, scale * value.scale)
    extent = (query.batch, Size.of(heads), query.length, key.length)
    for term in scores.biases:
        check_fits(edit, term, extent)
    _replace(edit, biases, softmax, scores, probabilities, (query, key, value), context, heads, extent, scale)


def _probabilities(edit: GraphEdit, softmax: ir.Node) -> Probabilities:
    """Follow the probabilities to the product with the values."""
    value, is_guarded = softmax.outputs[0], False
    for _ in range(4):
        users = {id(node): node for node, _ in value.uses()}
        if any(node.op_type == "IsNaN" for node in users.values()):
            value, is_guarded = _behind_guard(value), True
            continue
        products = [node for node in users.values() if node.op_type == "MatMul" and node.inputs[0] is value]
        node = sole_user(value)
        if products and node is None:
            scores_before(edit.facts, softmax.inputs[0])  # type: ignore[arg-type]  # raises NotAttention where it is none
            raise NotFusable(f"the probabilities '{value.name}' are read elsewhere, too")
        if products and node is not None:
            return Probabilities(node, is_guarded)
        shapes = None if node is None else [edit.facts.shape(v) for v in (value, node.outputs[0])]
        if node is None or node.op_type != "Reshape" or shapes is None or None in shapes:
            raise NotAttention
        if shapes[0][-2:] != shapes[1][-2:]:  # type: ignore[index]  # both are known
            raise NotAttention
        value = node.outputs[0]
    raise NotAttention


def _behind_guard(value: ir.Value) -> ir.Value:
    """The result of `Where(IsNaN(x), 0, x)`."""
    users = [node for node, _ in value.uses()]
    test = next(node for node in users if node.op_type == "IsNaN")
    choice = sole_user(test.outputs[0])
    is_guard = (
        len(users) == 2
        and choice is not None
        and choice.op_type == "Where"
        and choice.inputs[0] is test.outputs[0]
        and choice.inputs[2] is value
        and is_number(choice.inputs[1], 0.0)
    )
    if not is_guard or choice is None or value.is_graph_output():
        raise NotFusable(f"the probabilities '{value.name}' are read elsewhere, too")
    return choice.outputs[0]


def _heads(edit: GraphEdit, scores: Scores, product_node: ir.Node) -> tuple[int, tuple[Source, Source, Source], Walk]:
    """Find the largest number of heads by which query, key, value and result are all split alike."""
    query, key = (value for value in scores.product.inputs if value is not None)
    value = product_node.inputs[1]
    if value is None or edit.facts[value].rank not in (3, 4):
        raise NotAttention
    queries = _sources(edit, query, transposed=False)
    keys = _sources(edit, key, transposed=True)
    values = _sources(edit, value, transposed=False)
    contexts = _contexts(edit, product_node.outputs[0])
    common = sorted(queries.keys() & keys.keys() & values.keys(), reverse=True)
    for heads in common:
        if heads in contexts:
            return heads, (queries[heads], keys[heads], values[heads]), contexts[heads]
    if common:
        raise NotFusable(
            "the heads are not merged again right after the product with the values, or it is read elsewhere, too"
        )
    raise NotFusable("no common number of heads of query, key and value follows from the graph")


def _sources(edit: GraphEdit, value: ir.Value, *, transposed: bool) -> dict[int, Source]:
    """Where `value`, an operand of a product, comes from, for every number of heads it can be split by."""
    shape = edit.facts.shape(value)
    assert shape is not None
    layout = plain_layout(shape)
    walk: Walk | None = Walk(layout, value, layout)
    found: dict[int, tuple[int, Source]] = {}
    scale = 1.0
    was_scaled = False
    for _ in range(16):
        if walk is None:
            break
        for heads, rank, source in _readings(walk, scale, transposed=transposed):
            if heads not in found or rank < found[heads][0] or (was_scaled and rank == found[heads][0]):
                found[heads] = rank, source
        factor = _factor_before(edit, walk.value)
        was_scaled = factor is not None
        if factor is not None:
            walk = Walk(walk.start, factor[0], walk.layout)
            scale *= factor[1]
        else:
            walk = back_through(edit.facts, walk)
    return {heads: source for heads, (_, source) in found.items()}


def _readings(walk: Walk, scale: float, *, transposed: bool) -> Iterator[tuple[int, int, Source]]:
    """The ways to read the tensor a walk has come to, by number of heads, the most direct ranked lowest."""
    for batch, heads, length, features in _splits(walk.start, transposed=transposed):
        count, size = _size(heads).number, _size(features)
        if not count or size.number is None:
            continue
        orders = {"bsh": (batch, length, heads + features), "bsnd": (batch, length, heads, features)}
        orders["bnsd"] = (batch, heads, length, features)
        for rank, (order, layout) in enumerate(orders.items()):
            if walk.layout == layout:
                yield count, rank, Source(walk.value, order, scale, _size(batch), _size(length), size)
                break


def _splits(start: Layout, *, transposed: bool = False) -> Iterator[tuple[Group, Group, Group, Group]]:
    """Every way to read the axes of an operand as batch, heads, sequence, features."""
    length, features = (start[-1], start[-2]) if transposed else (start[-2], start[-1])
    if len(start) == 4:
        yield start[0], start[1], length, features
        return
    for cut in range(len(start[0]) + 1):
        yield start[0][:cut], start[0][cut:], length, features


def _factor_before(edit: GraphEdit, value: ir.Value) -> tuple[ir.Value, float] | None:
    """Split `value` into a tensor of the same shape and the constant number it was multiplied with."""
    node = made_by(value, "Mul", "Div")
    if node is None:
        return None
    pairs = [tuple(node.inputs)] if node.op_type == "Div" else list(operands(node))
    for tensor, factor in pairs:
        number = constant_number(edit.facts, factor)
        if tensor is not None and number:
            return tensor, 1 / number if node.op_type == "Div" else number
    return None


def _contexts(edit: GraphEdit, value: ir.Value) -> dict[int, Walk]:
    """Where the result has its heads merged again, for every number of heads; a walk to two axes is a last resort."""
    shape = edit.facts.shape(value)
    if shape is None or len(shape) not in (3, 4):
        raise NotAttention
    layout = plain_layout(shape)
    walk: Walk | None = Walk(layout, value, layout)
    found: dict[int, Walk] = {}
    for _ in range(8):
        if walk is None:
            break
        for batch, heads, length, features in _splits(walk.start):
            count, merged = _size(heads).number, heads + features
            if count and walk.layout in ((batch, length, merged), (batch + length, merged)):
                found.setdefault(count, walk)
        user = sole_user(walk.value)
        walk = forward_through(edit.facts, walk, user) if user is not None else None
    return found


def _check(edit: GraphEdit, query: Source, key: Source, value: Source, scale: float) -> None:
    dtypes = {edit.facts.dtype(source.value) for source in (query, key, value)}
    if len(dtypes) != 1 or not dtypes <= set(SUPPORTED_TYPES):
        raise NotFusable("query, key and value are not all of one type, float32 or float16")
    if not query.batch == key.batch == value.batch:
        raise NotFusable(f"batch sizes differ: {query.batch}, {key.batch}, {value.batch}")
    if query.size != key.size or key.length != value.length:
        raise NotFusable(f"lengths of keys and values differ: {key.length}, {value.length}")
    if value.scale != 1.0:
        raise NotFusable("the values are scaled")
    if scale == 0.0:
        raise NotFusable("the scale is 0, which the fused operator reads as not given")


def _replace(
    edit: GraphEdit,
    biases: AttentionBiases,
    softmax: ir.Node,
    scores: Scores,
    probabilities: Probabilities,
    sources: tuple[Source, Source, Source],
    context: Walk,
    heads: int,
    extent: Extent,
    scale: float,
) -> None:
    merged = context.value
    last = merged.producer()
    assert last is not None
    three = [_as_three_axes(edit, softmax, source, heads) for source in sources[:2]]
    bias = biases.make(scores.biases, extent, three[0], three[1], softmax)
    three.append(_as_three_axes(edit, last, sources[2], heads))
    inputs = [*three, None, None, bias] if bias is not None else three
    attributes: dict[str, int | float] = {"num_heads": heads, "scale": scale}
    fused = edit.insert(
        last, "MultiHeadAttention", inputs, attributes=attributes, domain=CONTRIB, name=f"{merged.name}_fused"
    )
    result = fused.outputs[0]
    if probabilities.is_guarded and can_mask_whole_rows(scores.biases):
        result = _guarded(edit, last, result)
    if len(context.layout) == 2:
        width = _size(context.layout[1]).number
        assert width is not None
        result = edit.insert(last, "Reshape", [result, edit.integers([-1, width])], name=f"{merged.name}_rows").outputs[
            0
        ]
    edit.replace(merged, result)
    edit.sweep([last])
    edit.counts["attention_fused"] += 1


def _as_three_axes(edit: GraphEdit, before: ir.Node, source: Source, heads: int) -> ir.Value:
    """The source as (batch, sequence, heads * size)."""
    value, name = source.value, source.value.name or "head"
    if source.order == "bsh":
        return value
    if source.order == "bnsd":
        value = edit.insert(
            before, "Transpose", [value], attributes={"perm": (0, 2, 1, 3)}, name=f"{name}_by_row"
        ).outputs[0]
    size = source.size.number
    assert size is not None
    return edit.insert(before, "Reshape", [value, edit.integers([0, 0, heads * size])], name=f"{name}_merged").outputs[
        0
    ]


def _guarded(edit: GraphEdit, before: ir.Node, value: ir.Value) -> ir.Value:
    """Give 0 for rows without a number, as the graph did for their probabilities."""
    dtype = edit.facts.dtype(value)
    assert dtype is not None and value.name is not None
    test = edit.insert(before, "IsNaN", [value], name=f"{value.name}_is_nan").outputs[0]
    zero = edit.number(0.0, dtype)
    return edit.insert(before, "Where", [test, zero, value], name=f"{value.name}_guarded").outputs[0]


def _size(group: Group) -> Size:
    return product(axis.size for axis in group)
