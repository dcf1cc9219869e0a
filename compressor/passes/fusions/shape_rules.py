"""Say, operator by operator, which shape and type come out of which."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from compressor.passes.fusions import shape_arithmetic as arithmetic
from compressor.passes.fusions import shapes_moved as moving
from compressor.passes.fusions import shapes_multiplied as multiplying
from compressor.passes.fusions import shapes_windowed as windowed
from compressor.passes.fusions.dimensions import ONE, Size, broadcast_shapes
from compressor.passes.fusions.match import axes_of, int_attribute
from compressor.passes.fusions.shape_facts import Fact, Facts, Shape, fresh_size

Rule = Callable[[Facts, ir.Node, int], Sequence[Fact]]
BOOL, INT64 = ir.DataType.BOOL, ir.DataType.INT64


def facts_of(facts: Facts, node: ir.Node, opset: int) -> Sequence[Fact]:
    """Facts of the outputs of `node`, from the first on; none where there is no rule or the inputs are too unclear."""
    if node.op_type in _SAME and node.inputs:
        same = facts[node.inputs[0]]
        return [Fact(same.shape, same.dtype, arithmetic.combined(facts, node))]
    if node.op_type in _ELEMENTWISE:
        return [_elementwise(facts, node)]
    rule = _RULES.get(node.op_type)
    if rule is None:
        return ()
    try:
        return rule(facts, node, opset)
    except (IndexError, ValueError, TypeError):  # an ill-formed node; the checker's to refuse, not ours to know
        return ()


def _elementwise(facts: Facts, node: ir.Node) -> Fact:
    inputs = [facts[value] for value in node.inputs if value is not None]
    shape = broadcast_shapes([fact.shape for fact in inputs])
    typed = {"Where": inputs[1:], "Pow": inputs[:1]}.get(node.op_type, inputs)
    dtype = BOOL if node.op_type in _COMPARISONS else next((f.dtype for f in typed if f.dtype is not None), None)
    return arithmetic.scalar_fact(arithmetic.combined(facts, node), Fact(shape, dtype))


def _cast(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    shape = facts.shape(node.inputs[0])
    return [Fact(shape, ir.DataType(int_attribute(node, "to", 0)), arithmetic.cast(facts, node))]


def _eye_like(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    like = facts[node.inputs[0]]
    return [
        Fact(like.shape, ir.DataType(int_attribute(node, "dtype", 0)) if "dtype" in node.attributes else like.dtype)
    ]


def _shape(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    content = arithmetic.shape_of(facts, node)
    return [Fact(None if content is None else (Size.of(len(content)),), INT64, content)]


def _constant_of_shape(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    dtype = node.attributes["value"].as_tensor().dtype if "value" in node.attributes else ir.DataType.FLOAT
    wanted = moving.listed(facts, node.inputs[0])
    if wanted is None:
        return [Fact(None, dtype)]
    shape = tuple(s if s is not None and s.is_size else fresh_size(node, axis) for axis, s in enumerate(wanted))
    return [Fact(shape, dtype, arithmetic.filled(facts, node))]


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


def _range(facts: Facts, node: ir.Node, _: int) -> Sequence[Fact]:
    start, limit, delta = (facts[value].content for value in node.inputs)
    dtype = facts.dtype(node.inputs[0])
    if start and limit and delta and start[0] is not None and limit[0] is not None:
        step = delta[0].number if delta[0] is not None else None
        length = limit[0] - start[0] if step == 1 else start[0] - limit[0] if step == -1 else None
        if length is not None and length.is_size:
            return [Fact((length,), dtype)]
    return [Fact((fresh_size(node, 0),), dtype)]


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
    "EyeLike": _eye_like,
    "Shape": _shape,
    "ConstantOfShape": _constant_of_shape,
    "Expand": moving.expand,
    "Tile": moving.tile,
    "Pad": windowed.pad,
    "Reshape": moving.reshape,
    "Transpose": moving.transpose,
    "MatMul": multiplying.matmul,
    "Gemm": multiplying.gemm,
    "Gather": moving.gather,
    "GatherND": moving.gather_nd,
    "GatherElements": lambda facts, node, _: [Fact(facts.shape(node.inputs[1]), facts.dtype(node.inputs[0]))],
    "Concat": moving.concat,
    "Split": moving.split,
    "Unsqueeze": moving.unsqueeze,
    "Squeeze": moving.squeeze,
    "Slice": moving.sliced,
    "Flatten": moving.flatten,
    "Range": _range,
    "Conv": windowed.conv,
    "ConvInteger": windowed.conv_integer,
    "MaxPool": windowed.pool,
    "AveragePool": windowed.pool,
    "LpPool": windowed.pool,
    "GlobalAveragePool": windowed.global_pool,
    "GlobalMaxPool": windowed.global_pool,
    "Resize": windowed.resize,
    "Einsum": multiplying.einsum,
    "MultiHeadAttention": multiplying.attention,
    "SkipLayerNormalization": multiplying.skip_normalization,
    "SkipSimplifiedLayerNormalization": multiplying.skip_normalization,
    **dict.fromkeys(("ArgMax", "ArgMin", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"), _reduce),
    **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"), _reduce),
}
