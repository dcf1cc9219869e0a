"""Follow a graph input to the operators that use it, to learn which values they accept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import onnx_ir as ir

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
_FEW = 64


@dataclass(slots=True)
class Uses:
    """What the graph does with one input.

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


def trace_uses(model: ir.Model, graph_input: ir.Value) -> Uses:
    """Follow `graph_input` through type and shape changes, constant offsets, subgraphs and function calls."""
    found = Uses()
    seen: set[int] = set()
    # Value, constant added on the way, whether nothing but type changes lie between it and the input.
    pending: list[tuple[ir.Value, int, bool]] = [(graph_input, 0, True)]
    while pending and len(seen) < _LIMIT:
        value, offset, plain = pending.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        for use in value.uses():
            _note_use(found, use.node, use.idx, offset)
            if plain:
                _note_sizes(found, use.node, use.idx)
            still_plain = plain and use.node.op_type in _PLAIN
            for target, shift in _carried(model, use.node, use.idx):
                pending.append((target, offset + shift, still_plain))
    return found


def constant_integer(value: ir.Value | None) -> int | None:
    """Read a constant of one element as an integer; None for anything else."""
    tensor = ir.convenience.get_const_tensor(value) if value is not None else None
    if tensor is None or tensor.size != 1 or tensor.dtype == ir.DataType.STRING:
        return None
    number = float(tensor.numpy().reshape(-1)[0])
    return int(number) if number == number and abs(number) < 2**53 else None


def _note_use(found: Uses, node: ir.Node, position: int, offset: int) -> None:
    if node.domain not in _DOMAINS:
        return
    kind = (node.op_type, position)
    table = _TABLES.get(kind, _ROTARY_TABLES.get((node.domain.removeprefix("ai.onnx"), *kind)))
    if table is not None:
        size = _axis_size(_input(node, table), _integer(node, "axis", 0))
        found.limit_index(size - offset if size is not None else None)
    if kind == ("OneHot", 0):
        depth = constant_integer(_input(node, 1))
        found.limit_index(depth - offset if depth is not None else None)
    if node.op_type in _GENERATORS and position == 0 and "vocab_size" in node.attributes:
        found.limit_index(_integer(node, "vocab_size", 0))
    if kind in _MASK_INPUTS or _is_one_minus(node, position) or _is_cast_to_bool(node):
        found.is_switch = True
    if node.op_type in _COMPARISONS:
        constant = constant_integer(_input(node, 1 - position))
        found.is_switch |= constant in (0, 1)
        if constant is not None and node.op_type == "Equal":
            found.compared_to.append(constant - offset)
    if kind in {("MultiHeadAttention", 5), ("Attention", 5)}:
        found.is_added_to_scores = True
    if node.op_type == "Add" and constant_integer(_input(node, 1 - position)) is None:
        found.is_added_to_scores |= _reaches_softmax(node.outputs[0])


def _is_one_minus(node: ir.Node, position: int) -> bool:
    return node.op_type == "Sub" and position == 1 and constant_integer(_input(node, 0)) == 1


def _is_cast_to_bool(node: ir.Node) -> bool:
    return node.op_type == "Cast" and _integer(node, "to", 0) == ir.DataType.BOOL.value


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


def _carried(model: ir.Model, node: ir.Node, position: int) -> Iterator[tuple[ir.Value, int]]:
    """Yield the values that hold the elements of input `position` of `node`, and the constant added to them."""
    function = model.functions.get(node.op_identifier())
    if function is not None:
        if position < len(function.inputs):
            yield function.inputs[position], 0
    elif node.op_type in {"Loop", "Scan", *_GENERATORS}:
        yield from _carried_into_bodies(node, position)
    elif node.domain not in _DOMAINS:
        return
    elif position in _CARRIERS.get(node.op_type, ()):
        yield from ((output, 0) for output in node.outputs)
    elif node.op_type == "Mul" and all(constant_integer(factor) is None for factor in node.inputs):
        yield node.outputs[0], 0  # ids times mask
    elif node.op_type == "Add" or (node.op_type == "Sub" and position == 0):
        constant = constant_integer(_input(node, 1 - position))
        if constant is not None:
            yield node.outputs[0], constant if node.op_type == "Add" else -constant


def _carried_into_bodies(node: ir.Node, position: int) -> Iterator[tuple[ir.Value, int]]:
    """Inputs of a body stand in the order of the node's, except that a Loop's first is its number of rounds."""
    if node.op_type == "Loop" and position == 0:
        return
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH and position < len(attribute.as_graph().inputs):
            yield attribute.as_graph().inputs[position], 0


def _input(node: ir.Node, position: int) -> ir.Value | None:
    return node.inputs[position] if 0 <= position < len(node.inputs) else None


def _integer(node: ir.Node, name: str, default: int) -> int:
    """Read an integer attribute; inside functions it may be a reference to one of the call's."""
    attribute = node.attributes.get(name)
    if attribute is None or attribute.is_ref() or attribute.type != ir.AttributeType.INT:
        return default
    return attribute.as_int()


def _axis_size(value: ir.Value | None, axis: int, depth: int = 8) -> int | None:
    """Size of one axis of `value`, looked up through operators that keep it."""
    if value is None or depth == 0:
        return None
    shape = value.const_value.shape if value.const_value is not None else value.shape
    if isinstance(shape, ir.Shape) and -len(shape) <= axis < len(shape) and isinstance(shape[axis], int):
        return int(shape[axis])  # type: ignore[arg-type]  # narrowed by the line above, which mypy cannot follow
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is not None and -len(tensor.shape) <= axis < len(tensor.shape):
        return int(tensor.shape.numpy()[axis])
    node = value.producer()
    if node is None:
        return None
    if node.op_type in {"Identity", "Cast", "DequantizeLinear", "Dropout", "Mul", "Div"}:
        return _axis_size(_input(node, 0), axis, depth - 1)
    if node.op_type == "Transpose" and "perm" in node.attributes and not node.attributes["perm"].is_ref():
        order = node.attributes["perm"].as_ints()
        return _axis_size(_input(node, 0), order[axis], depth - 1) if -len(order) <= axis < len(order) else None
    return None


def _note_sizes(found: Uses, node: ir.Node, position: int) -> None:
    """Note what the weight beside the input says about its shape."""
    weight = _input(node, 1)
    if position != 0 or weight is None or node.domain not in _DOMAINS:
        return
    if node.op_type in {"Conv", "ConvTranspose", "ConvInteger"}:
        groups = _integer(node, "group", 1)
        channels = _axis_size(weight, 0) if node.op_type == "ConvTranspose" else _axis_size(weight, 1)
        if channels is not None:
            found.sizes[1] = channels * (1 if node.op_type == "ConvTranspose" else groups)
        found.rank = _rank(weight) or found.rank
    if node.op_type in {"LSTM", "GRU", "RNN"}:
        found.rank = 3
        _set_size(found, -1, _axis_size(weight, 2))
    if node.op_type in {"MatMul", "MatMulInteger"}:
        _set_size(found, -1, _axis_size(weight, 0 if _rank(weight) == 1 else -2))
    if node.op_type == "Gemm":
        found.rank = 2
        _set_size(found, 1, _axis_size(weight, 1 if _integer(node, "transB", 0) else 0))
    if node.op_type in {"LayerNormalization", "SkipLayerNormalization"}:
        _set_size(found, -1, _axis_size(weight, -1))
    if node.op_type == "BatchNormalization":
        _set_size(found, 1, _axis_size(weight, 0))


def _set_size(found: Uses, axis: int, size: int | None) -> None:
    if size is not None and size > 0:
        found.sizes[axis] = size


def _rank(value: ir.Value) -> int | None:
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is not None:
        return len(tensor.shape)
    return len(value.shape) if value.shape is not None else None
