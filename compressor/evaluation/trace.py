"""Follow a graph input to the operators that use it, to learn which values they accept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import onnx_ir as ir

from compressor.evaluation.lookup import Calls, axis_size, constant_integer, input_of, integer_attribute, rank_of

# Operators that hand the elements of these inputs on unchanged, apart from type, order and shape.
_CARRIERS: dict[str, tuple[int, ...]] = {
    "Cast": (0,),
    "CastLike": (0,),
    "Clip": (0,),
    "Concat": tuple(range(64)),
    "Dropout": (0,),
    "Expand": (0,),
    "Flatten": (0,),
    "Gather": (0,),
    "GatherElements": (0,),
    "GatherND": (0,),
    "Identity": (0,),
    "Max": tuple(range(8)),
    "Min": tuple(range(8)),
    "Pad": (0,),
    "Reshape": (0,),
    "Slice": (0,),
    "Split": (0,),
    "Squeeze": (0,),
    "Tile": (0,),
    "Transpose": (0,),
    "Unsqueeze": (0,),
    "Where": (1, 2),
}
# (operator, input that holds indices) -> input that is indexed; its axis comes from the attribute `axis`, else 0.
_TABLES: dict[tuple[str, int], int] = {
    ("Gather", 1): 0,
    ("GatherElements", 1): 0,
    ("GatherND", 1): 0,
    ("GatherBlockQuantized", 1): 0,
    ("ATen", 1): 0,
    ("EmbedLayerNormalization", 0): 2,
    ("EmbedLayerNormalization", 1): 4,
    ("EmbedLayerNormalization", 8): 3,
}
_ROTARY_TABLES: dict[tuple[str, str, int], int] = {
    ("com.microsoft", "RotaryEmbedding", 1): 2,
    ("", "RotaryEmbedding", 3): 1,
}
_MASK_INPUTS: set[tuple[str, int]] = {
    ("Where", 0),
    ("And", 0),
    ("And", 1),
    ("Or", 0),
    ("Or", 1),
    ("Not", 0),
    ("Attention", 3),
    ("MultiHeadAttention", 4),
    ("EmbedLayerNormalization", 7),
    ("QAttention", 5),
}
_COMPARISONS = {"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"}
_PLAIN = {"Identity", "Cast", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Dropout"}
_GENERATORS = {"BeamSearch", "GreedySearch", "Sampling"}
# Elsewhere an operator of a known name may mean anything.
_DOMAINS = {"", "ai.onnx", "com.microsoft", "org.pytorch.aten"}
_LIMIT = 20_000
_FAR_TOO_DEEP = 256
_FEW = 64


@dataclass(slots=True)
class Uses:
    """What the graph does with one input; filled while it is traced, and left alone afterwards.

    Attributes:
        is_index: some operator uses the values as indices.
        index_limit: indices must stay below this; None where no table of known size was found.
        is_switch: the values are read as true and false.
        is_added_to_scores: the values are added to what a Softmax normalizes.
        compared_to: constants the values are compared with for equality.
        sizes: axis to size, for axes whose size follows from a weight (axes may count from the end).
        rank: number of axes, where it follows from the operator.
    """

    is_index: bool = False
    index_limit: int | None = None
    is_switch: bool = False
    is_added_to_scores: bool = False
    compared_to: list[int] = field(default_factory=list)
    sizes: dict[int, int] = field(default_factory=dict)
    rank: int | None = None

    def limit_index(self, limit: int | None) -> None:
        """Note a table of `limit` entries; the smallest wins."""
        self.is_index = True
        if limit is not None and limit > 0:
            self.index_limit = limit if self.index_limit is None else min(limit, self.index_limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Somewhere the elements of the input have come to.

    Attributes:
        value: where they are.
        offset: the constant that was added to them on the way.
        is_plain: nothing but type changes lie between the input and here.
        calls: the function calls that led here.
    """

    value: ir.Value
    offset: int
    is_plain: bool
    calls: Calls


def trace_uses(model: ir.Model, graph_input: ir.Value) -> Uses:
    """Follow `graph_input` through type and shape changes, constant offsets, subgraphs and function calls."""
    found = Uses()
    seen: set[tuple[int, Calls]] = set()
    pending = [_Place(value=graph_input, offset=0, is_plain=True, calls=())]
    while pending and len(seen) < _LIMIT:
        place = pending.pop()
        if (id(place.value), place.calls) in seen:
            continue
        seen.add((id(place.value), place.calls))
        for use in place.value.uses():
            _note_use(found, use.node, use.idx, place)
            if place.is_plain:
                _note_sizes(found, use.node, use.idx, place.calls)
            pending.extend(_follow(model, use.node, use.idx, place))
    return found


def _note_use(found: Uses, node: ir.Node, position: int, place: _Place) -> None:
    if node.domain not in _DOMAINS:
        return
    kind = (node.op_type, position)
    table = _TABLES.get(kind, _ROTARY_TABLES.get((node.domain.removeprefix("ai.onnx"), *kind)))
    if table is not None:
        size = axis_size(input_of(node, table), integer_attribute(node, "axis", 0), place.calls)
        found.limit_index(size - place.offset if size is not None else None)
    if kind == ("OneHot", 0):
        depth = constant_integer(input_of(node, 1), place.calls)
        found.limit_index(depth - place.offset if depth is not None else None)
    if node.op_type in _GENERATORS and position == 0 and "vocab_size" in node.attributes:
        found.limit_index(integer_attribute(node, "vocab_size", 0))
    if kind in _MASK_INPUTS or _is_one_minus(node, position) or _is_cast_to_bool(node):
        found.is_switch = True
    if node.op_type in _COMPARISONS:
        constant = constant_integer(input_of(node, 1 - position), place.calls)
        found.is_switch |= constant in (0, 1)
        if constant is not None and node.op_type == "Equal":
            found.compared_to.append(constant - place.offset)
    if kind in {("MultiHeadAttention", 5), ("Attention", 5)}:
        found.is_added_to_scores = True
    if node.op_type == "Add" and constant_integer(input_of(node, 1 - position), place.calls) is None:
        found.is_added_to_scores |= _reaches_softmax(node.outputs[0])


def _is_one_minus(node: ir.Node, position: int) -> bool:
    return node.op_type == "Sub" and position == 1 and constant_integer(input_of(node, 0)) == 1


def _is_cast_to_bool(node: ir.Node) -> bool:
    return node.op_type == "Cast" and integer_attribute(node, "to", 0) == ir.DataType.BOOL.value


def _reaches_softmax(value: ir.Value) -> bool:
    """Look a few operators ahead; scores are masked right before they are normalized."""
    ahead, seen = [value], {id(value)}
    for _ in range(5):
        uses = [use for reached in ahead for use in reached.uses()][:_FEW]
        if any(use.node.op_type == "Softmax" for use in uses):
            return True
        carriers = [u for u in uses if u.node.op_type == "Add" or u.idx in _CARRIERS.get(u.node.op_type, ())]
        ahead = [output for use in carriers for output in use.node.outputs if id(output) not in seen]
        seen.update(map(id, ahead))
    return False


def _follow(model: ir.Model, node: ir.Node, position: int, place: _Place) -> Iterator[_Place]:
    """Yield where the elements in input `position` of `node` go on to."""
    function = model.functions.get(node.op_identifier())
    if function is not None:
        if position < len(function.inputs) and len(place.calls) < _FAR_TOO_DEEP:
            bound = zip(function.inputs, node.inputs, strict=False)
            calls = (*place.calls, *((inner, outer) for inner, outer in bound if outer is not None))
            yield replace(place, value=function.inputs[position], calls=calls)
        return
    is_plain = place.is_plain and node.op_type in _PLAIN
    for value, shift in _carried(node, position, place.calls):
        yield replace(place, value=value, offset=place.offset + shift, is_plain=is_plain)


def _carried(node: ir.Node, position: int, calls: Calls) -> Iterator[tuple[ir.Value, int]]:
    """Yield the values that hold the elements of input `position`, and the constant added to them."""
    if node.op_type in {"Loop", "Scan", *_GENERATORS}:
        yield from _carried_into_bodies(node, position)
    elif node.domain not in _DOMAINS:
        return
    elif position in _CARRIERS.get(node.op_type, ()):
        yield from ((output, 0) for output in node.outputs)
    elif node.op_type == "Mul" and all(constant_integer(factor, calls) is None for factor in node.inputs):
        yield node.outputs[0], 0  # ids times mask
    elif node.op_type == "Add" or (node.op_type == "Sub" and position == 0):
        constant = constant_integer(input_of(node, 1 - position), calls)
        if constant is not None:
            yield node.outputs[0], constant if node.op_type == "Add" else -constant


def _carried_into_bodies(node: ir.Node, position: int) -> Iterator[tuple[ir.Value, int]]:
    """Inputs of a body stand in the order of the node's, except that a Loop's first is its number of rounds."""
    if node.op_type == "Loop" and position == 0:
        return
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH and position < len(attribute.as_graph().inputs):
            yield attribute.as_graph().inputs[position], 0


def _note_sizes(found: Uses, node: ir.Node, position: int, calls: Calls) -> None:
    """Note what the weight beside the input says about its shape."""
    weight = input_of(node, 1)
    if position != 0 or weight is None or node.domain not in _DOMAINS:
        return
    if node.op_type in {"Conv", "ConvTranspose", "ConvInteger"}:
        groups = integer_attribute(node, "group", 1)
        channels = axis_size(weight, 0, calls) if node.op_type == "ConvTranspose" else axis_size(weight, 1, calls)
        if channels is not None:
            found.sizes[1] = channels * (1 if node.op_type == "ConvTranspose" else groups)
        found.rank = rank_of(weight) or found.rank
    if node.op_type in {"LSTM", "GRU", "RNN"}:
        found.rank = 3
        _set_size(found, -1, axis_size(weight, 2, calls))
    if node.op_type in {"MatMul", "MatMulInteger"}:
        _set_size(found, -1, axis_size(weight, 0 if rank_of(weight) == 1 else -2, calls))
    if node.op_type == "Gemm":
        found.rank = 2
        _set_size(found, 1, axis_size(weight, 1 if integer_attribute(node, "transB", 0) else 0, calls))
    if node.op_type in {"LayerNormalization", "SkipLayerNormalization"}:
        _set_size(found, -1, axis_size(weight, -1, calls))
    if node.op_type == "BatchNormalization":
        _set_size(found, 1, axis_size(weight, 0, calls))


def _set_size(found: Uses, axis: int, size: int | None) -> None:
    if size is not None and size > 0:
        found.sizes[axis] = size
