"""Say, operator by operator, which shape and type come out of which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest

import onnx_ir as ir

from compressor.passes.fusions import shape_arithmetic as arithmetic
from compressor.passes.fusions.dimensions import ONE, Size, broadcast, product
from compressor.passes.fusions.match import axes_of, int_attribute, ints_attribute
from compressor.passes.fusions.shape_facts import NOTHING, Fact, Facts, Shape

Rule = Callable[[Facts, ir.Node, int], Sequence[Fact]]
BOOL, INT64 = ir.DataType.BOOL, ir.DataType.INT64


def facts_of(facts: Facts, node: ir.Node, opset: int) -> Sequence[Fact]:
    """Facts of the outputs of `node`, from the first on; none where there is no rule or the inputs are too unclear."""
    if node.op_type in _SAME and node.inputs:
        same = facts[node.inputs[0]]
        return [Fact(same.shape, same.dtype, same.content if node.op_type == "Identity" else None)]
    if node.op_type in _ELEMENTWISE:
        return [_elementwise(facts, node)]
    rule = _RULES.get(node.op_type)
    if rule is None:
        return ()
    try:
        return rule(facts, node, opset)
    except (IndexError, ValueError, TypeError):  # an ill-formed node; the checker's to refuse, not ours to know
        return ()


def broadcast_shapes(shapes: Sequence[Shape | None]) -> Shape | None:
    """The shape of several tensors combined element by element."""
    if any(shape is None for shape in shapes):
        return None
    result: Shape = ()
    for shape in shapes:
        assert shape is not None
        pairs = zip_longest(reversed(result), reversed(shape), fillvalue=ONE)
        result = tuple(reversed([broadcast(left, right) for left, right in pairs]))
    return result


def _elementwise(facts: Facts, node: ir.Node) -> Fact:
    inputs = [facts[value] for value in node.inputs if value is not None]
    shape = broadcast_shapes([fact.shape for fact in inputs])
    typed = inputs[1:] if node.op_type == "Where" else inputs
    dtype = BOOL if node.op_type in _COMPARISONS else next((f.dtype for f in typed if f.dtype is not None), None)
    return arithmetic.scalar_fact(arithmetic.combined(facts, node), Fact(shape, dtype))


def _cast(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    shape = facts.shape(node.inputs[0])
    return [Fact(shape, ir.DataType(int_attribute(node, "to", 0)), arithmetic.cast(facts, node))]


def _shape(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    content = arithmetic.shape_of(facts, node)
    return [Fact(None if content is None else (Size.of(len(content)),), INT64, content)]


def _constant_of_shape(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    dtype = node.attributes["value"].as_tensor().dtype if "value" in node.attributes else ir.DataType.FLOAT
    return [Fact(_sizes(facts, node.inputs[0]), dtype, arithmetic.filled(facts, node))]


def _tile(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, repeats = facts[node.inputs[0]], _sizes(facts, node.inputs[1])
    if data.shape is None or repeats is None or len(repeats) != len(data.shape):
        return [Fact(None, data.dtype)]
    return [Fact(tuple(size * times for size, times in zip(data.shape, repeats, strict=True)), data.dtype)]


def _pad(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data = facts[node.inputs[0]]
    pads = facts[node.inputs[1]].content if len(node.inputs) == 2 else None
    if data.shape is None or pads is None or None in pads or len(pads) != 2 * len(data.shape):
        return [Fact(None, data.dtype)]
    rank = len(data.shape)
    added = [(pads[axis] or ONE) + (pads[axis + rank] or ONE) for axis in range(rank)]  # none of them is None
    return [Fact(tuple(size + more for size, more in zip(data.shape, added, strict=True)), data.dtype)]


def _expand(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data = facts[node.inputs[0]]
    return [Fact(broadcast_shapes([data.shape, _sizes(facts, node.inputs[1])]), data.dtype)]


def _reshape(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, target = facts[node.inputs[0]], facts[node.inputs[1]]
    if target.content is None:
        return [Fact(None, data.dtype)]
    keeps_zero = bool(int_attribute(node, "allowzero", 0))
    return [Fact(reshaped(data.shape, target.content, keeps_zero), data.dtype, data.content)]


def reshaped(shape: Shape | None, target: arithmetic.Content, keeps_zero: bool) -> Shape | None:
    """The shape a Reshape gives; `keeps_zero` is the attribute `allowzero`."""
    sizes: list[Size | None] = []
    for axis, size in enumerate(target):
        if size is not None and size.number == 0 and not keeps_zero:
            size = shape[axis] if shape is not None and axis < len(shape) else None
            if size is None:
                return None
        if size is None or (not size.is_never_negative and size.number != -1):
            return None
        sizes.append(None if size.number == -1 else size)
    if None not in sizes:
        return tuple(size for size in sizes if size is not None)
    if shape is None or sizes.count(None) > 1:
        return None
    rest = _quotient(list(shape), [size for size in sizes if size is not None])
    return None if rest is None else tuple(rest if size is None else size for size in sizes)


def _quotient(whole: list[Size], parts: list[Size]) -> Size | None:
    for part in list(parts):  # cancel first: a sum such as past + sequence divides nothing but itself
        if part in whole:
            whole.remove(part)
            parts.remove(part)
    return product(whole).divided_by(product(parts))


def _transpose(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data = facts[node.inputs[0]]
    if data.shape is None:
        return [Fact(None, data.dtype)]
    perm = ints_attribute(node, "perm") or tuple(reversed(range(len(data.shape))))
    return [Fact(tuple(data.shape[axis] for axis in perm), data.dtype)]


def _matmul(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    left, right = facts[node.inputs[0]], facts[node.inputs[1]]
    if left.shape is None or right.shape is None or min(len(left.shape), len(right.shape)) < 2:
        return [Fact(None, left.dtype)]
    batch = broadcast_shapes([left.shape[:-2], right.shape[:-2]])
    return [Fact(None if batch is None else (*batch, left.shape[-2], right.shape[-1]), left.dtype)]


def _gemm(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    left, right = facts[node.inputs[0]], facts[node.inputs[1]]
    if left.rank != 2 or right.rank != 2 or left.shape is None or right.shape is None:
        return [Fact(None, left.dtype)]
    rows = left.shape[1 if int_attribute(node, "transA", 0) else 0]
    return [Fact((rows, right.shape[0 if int_attribute(node, "transB", 0) else 1]), left.dtype)]


def _gather(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, indices = facts[node.inputs[0]], facts[node.inputs[1]]
    if data.shape is None or indices.shape is None:
        return [Fact(None, data.dtype)]
    axis = int_attribute(node, "axis", 0) % len(data.shape)
    shape = (*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :])
    return [arithmetic.scalar_fact(arithmetic.gathered(facts, node), Fact(shape, data.dtype))]


def _concat(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    parts = [facts[value] for value in node.inputs]
    dtype, first = parts[0].dtype, parts[0].shape
    if first is None or any(part.rank != len(first) for part in parts):
        return [Fact(None, dtype)]
    axis = int_attribute(node, "axis", 0) % len(first)
    total = Size.of(0)
    for part in parts:
        assert part.shape is not None
        total = total + part.shape[axis]
    content = arithmetic.concatenated(facts, node) if len(first) == 1 else None
    return [Fact((*first[:axis], total, *first[axis + 1 :]), dtype, content)]


def _split(facts: Facts, node: ir.Node, opset: int) -> Sequence[Fact]:
    data, count = facts[node.inputs[0]], len(node.outputs)
    if data.shape is None:
        return [Fact(None, data.dtype)] * count
    axis = int_attribute(node, "axis", 0) % len(data.shape)
    sizes: Sequence[Size | None] | None = None
    if given := ints_attribute(node, "split"):
        sizes = [Size.of(size) for size in given]
    elif len(node.inputs) > 1 and node.inputs[1] is not None:
        sizes = facts[node.inputs[1]].content
    elif (each := data.shape[axis].divided_by(Size.of(count))) is not None:
        sizes = [each] * count
    if sizes is None or len(sizes) != count:
        return [Fact(None, data.dtype)] * count
    return [
        Fact(None if size is None else (*data.shape[:axis], size, *data.shape[axis + 1 :]), data.dtype)
        for size in sizes
    ]


def _unsqueeze(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, axes = facts[node.inputs[0]], axes_of(node)
    if data.shape is None or axes is None:
        return [Fact(None, data.dtype)]
    rank = len(data.shape) + len(axes)
    added, sizes = {axis % rank for axis in axes}, iter(data.shape)
    shape = tuple(ONE if axis in added else next(sizes) for axis in range(rank))
    return [arithmetic.scalar_fact(data.content, Fact(shape, data.dtype))]


def _squeeze(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, axes = facts[node.inputs[0]], axes_of(node)
    if data.shape is not None and len(node.inputs) < 2 and axes is None:  # all axes of size 1, where each size is known
        is_known = all(size.number is not None for size in data.shape)
        axes = tuple(axis for axis, size in enumerate(data.shape) if size == ONE) if is_known else None
    if data.shape is None or axes is None:
        return [Fact(None, data.dtype)]
    removed = {axis % len(data.shape) for axis in axes}
    shape = tuple(size for axis, size in enumerate(data.shape) if axis not in removed)
    return [arithmetic.scalar_fact(data.content, Fact(shape, data.dtype))]


def _slice(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data = facts[node.inputs[0]]
    bounds = _slice_bounds(facts, node)
    if data.shape is None or bounds is None:
        return [Fact(None, data.dtype)]
    shape = list(data.shape)
    for axis, start, end, step in bounds:
        axis %= len(shape)
        name = f"{node.outputs[0].name}[{axis}]"
        shape[axis] = _sliced_size(shape[axis], start, end, step) or Size.of(name)
    content = data.content
    if content is not None:
        _, first, last, by = bounds[0]
        known = first is not None and last is not None and None not in (first.number, last.number)
        content = arithmetic.sliced(content, first.number or 0, last.number or 0, by) if known else None  # type: ignore[union-attr]  # both are known here
    return [arithmetic.scalar_fact(content, Fact(tuple(shape), data.dtype))]


def _slice_bounds(facts: Facts, node: ir.Node) -> list[tuple[int, Size | None, Size | None, int]] | None:
    if "starts" in node.attributes:  # opset < 10
        starts = [Size.of(n) for n in ints_attribute(node, "starts") or ()]
        ends = [Size.of(n) for n in ints_attribute(node, "ends") or ()]
        axes = ints_attribute(node, "axes") or tuple(range(len(starts)))
        return [(a, s, e, 1) for a, s, e in zip(axes, starts, ends, strict=True)]
    contents = [facts[value].content if value is not None else None for value in node.inputs[1:]]
    lengths = [facts.shape(value) for value in node.inputs[1:3]]
    count = next((len(c) for c in contents if c is not None), None)
    if count is None or len(contents) < 2 or None in lengths:
        return None
    unknown = (None,) * count
    given_axes = contents[2] if len(contents) > 2 and node.inputs[3] is not None else None
    given_steps = contents[3] if len(contents) > 3 and node.inputs[4] is not None else None
    axes = [a.number for a in given_axes if a is not None] if given_axes else list(range(count))  # type: ignore[assignment]  # ints, checked below
    steps = [s.number for s in given_steps if s is not None] if given_steps else [1] * count
    if len(axes) != count or len(steps) != count or None in axes or None in steps:
        return None
    return list(zip(axes, contents[0] or unknown, contents[1] or unknown, steps, strict=True))  # type: ignore[arg-type]  # no None left


def _sliced_size(size: Size, start: Size | None, end: Size | None, step: int) -> Size | None:
    if start is None or end is None or step < 1:
        return None
    if size.number is not None and start.number is not None and end.number is not None:
        return Size.of(len(range(*slice(start.number, end.number, step).indices(size.number))))
    if step != 1:
        return None
    is_open = end == size or (end.number is not None and end.number >= 2**31 - 1)
    if is_open and start.number is not None:
        return size if start.number == 0 else None
    # An end beyond the axis is cut to it; whatever is then added to the slice would not fit, so no run gets there.
    return end - start if start.is_never_negative and end.is_never_negative and end.number is None else None


def _reduce(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data = facts[node.inputs[0]]
    keep = bool(int_attribute(node, "keepdims", 1))
    dtype = INT64 if node.op_type in ("ArgMax", "ArgMin") else data.dtype
    axes = (int_attribute(node, "axis", 0),) if node.op_type in ("ArgMax", "ArgMin") else axes_of(node)
    if data.shape is None or (axes is None and len(node.inputs) > 1) or int_attribute(node, "noop_with_empty_axes", 0):
        return (
            [Fact(data.shape if axes == () else None, dtype)] if not axes else [_reduced(data.shape, axes, keep, dtype)]
        )
    return [_reduced(data.shape, axes or tuple(range(len(data.shape))), keep, dtype)]


def _reduced(shape: Shape | None, axes: Sequence[int], keep: bool, dtype: ir.DataType | None) -> Fact:
    if shape is None:
        return Fact(None, dtype)
    gone = {axis % len(shape) for axis in axes}
    return Fact(tuple(ONE if a in gone else s for a, s in enumerate(shape) if keep or a not in gone), dtype)


def _flatten(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, axis = facts[node.inputs[0]], int_attribute(node, "axis", 1)
    if data.shape is None:
        return [Fact(None, data.dtype)]
    axis = axis if axis >= 0 else axis + len(data.shape)
    return [Fact((product(data.shape[:axis]), product(data.shape[axis:])), data.dtype)]


def _range(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    start, limit, delta = (facts[value].content for value in node.inputs)
    dtype = facts.dtype(node.inputs[0])
    if start and limit and delta and start[0] is not None and limit[0] is not None and delta[0] == ONE:
        length = limit[0] - start[0]
        if length.is_never_negative:
            return [Fact((length,), dtype)]
    return [Fact((Size.of(f"{node.outputs[0].name}[0]"),), dtype)]


def _conv(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    data, weight = facts[node.inputs[0]], facts[node.inputs[1]]
    if data.shape is None or weight.shape is None:
        return [Fact(None, data.dtype)]
    spatial = len(data.shape) - 2
    kernel = [size.number for size in weight.shape[2:]]
    strides = ints_attribute(node, "strides") or (1,) * spatial
    dilations = ints_attribute(node, "dilations") or (1,) * spatial
    pads = ints_attribute(node, "pads") or (0,) * (2 * spatial)
    sizes = []
    for axis in range(spatial):
        size, width = data.shape[axis + 2].number, kernel[axis]
        if size is None or width is None or "auto_pad" in node.attributes:
            sizes.append(Size.of(f"{node.outputs[0].name}[{axis + 2}]"))
            continue
        room = size + pads[axis] + pads[axis + spatial] - dilations[axis] * (width - 1) - 1
        sizes.append(Size.of(room // strides[axis] + 1))
    return [Fact((data.shape[0], weight.shape[0], *sizes), data.dtype)]


def _einsum(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    equation = node.attributes["equation"].as_string().replace(" ", "")
    left, _arrow, right = equation.partition("->")
    sizes: dict[str, Size] = {}
    for letters, value in zip(left.split(","), node.inputs, strict=True):
        shape = facts.shape(value)
        if shape is None or len(letters) != len(shape) or "." in equation or not right:
            return [Fact(None, facts.dtype(node.inputs[0]))]
        for letter, size in zip(letters, shape, strict=True):
            sizes[letter] = broadcast(sizes[letter], size) if letter in sizes else size
    return [Fact(tuple(sizes[letter] for letter in right), facts.dtype(node.inputs[0]))]


def _attention(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    query, value = facts[node.inputs[0]], facts[node.inputs[2]]
    if query.rank != 3 or query.shape is None or value.shape is None or value.rank not in (3, 4):
        return [Fact(None, query.dtype)]
    if value.rank == 4:  # heads first, of the query's size
        return [Fact(query.shape, query.dtype)]
    return [Fact((*query.shape[:2], value.shape[2]), query.dtype)]


def _skip_normalization(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    fact = Fact(facts.shape(node.inputs[0]), facts.dtype(node.inputs[0]))
    return [fact, NOTHING, NOTHING, fact]


def _sizes(facts: Facts, value: ir.Value | None) -> Shape | None:
    content = facts[value].content
    if content is None or any(size is None or not size.is_never_negative for size in content):
        return None
    return tuple(size for size in content if size is not None)


_COMPARISONS = frozenset(["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor"])
_ELEMENTWISE = _COMPARISONS | frozenset(
    [
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Pow",
        "Mod",
        "Min",
        "Max",
        "Sum",
        "Mean",
        "Where",
        "PRelu",
        "BitwiseAnd",
        "BitwiseOr",
        "BiasGelu",
    ]
)
_SAME = frozenset(
    [
        "Identity",
        "Relu",
        "Tanh",
        "Erf",
        "Sqrt",
        "Neg",
        "Abs",
        "Exp",
        "Log",
        "Sigmoid",
        "Softmax",
        "LogSoftmax",
        "Dropout",
        "Clip",
        "Gelu",
        "Sin",
        "Cos",
        "Floor",
        "Ceil",
        "Round",
        "Reciprocal",
        "Softplus",
        "LeakyRelu",
        "Elu",
        "HardSigmoid",
        "HardSwish",
        "CumSum",
        "Not",
        "LayerNormalization",
        "RMSNormalization",
        "Trilu",
        "Sign",
        "SimplifiedLayerNormalization",
        "QuickGelu",
        "FastGelu",
        "BatchNormalization",
        "InstanceNormalization",
        "GroupNormalization",
        "ScatterND",
        "ScatterElements",
        "CastLike",
        "LpNormalization",
        "Hardmax",
        "Mish",
        "Swish",
        "Selu",
        "Celu",
        "RotaryEmbedding",
    ]
)
_RULES: dict[str, Rule] = {
    "Cast": _cast,
    "IsNaN": lambda facts, node, _: [Fact(facts.shape(node.inputs[0]), BOOL)],
    "IsInf": lambda facts, node, _: [Fact(facts.shape(node.inputs[0]), BOOL)],
    "Shape": _shape,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Tile": _tile,
    "Pad": _pad,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Gather": _gather,
    "GatherElements": lambda facts, node, _: [Fact(facts.shape(node.inputs[1]), facts.dtype(node.inputs[0]))],
    "Concat": _concat,
    "Split": _split,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Slice": _slice,
    "Flatten": _flatten,
    "Range": _range,
    "Conv": _conv,
    "Einsum": _einsum,
    "MultiHeadAttention": _attention,
    "SkipLayerNormalization": _skip_normalization,
    "SkipSimplifiedLayerNormalization": _skip_normalization,
    **dict.fromkeys(("ArgMax", "ArgMin", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"), _reduce),
    **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"), _reduce),
}
