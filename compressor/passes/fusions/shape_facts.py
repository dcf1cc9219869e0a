"""Know the shape, type and (for shape arithmetic) the content of every value, by name where the number is open.

Exports through TorchScript record no inner shapes, and what others record may be stale, so the facts are worked out
here from the graph's inputs and weights. Rules per operator are in `shape_rules` and `shape_arithmetic`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import onnx_ir as ir

from compressor.passes.fusions.dimensions import MAX_NAME, Size, limited
from compressor.passes.fusions.match import STANDARD_DOMAINS, numbers_of, tensor_of

Shape = tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of one value.

    Attributes:
        shape: size of every axis; None where not even their number is known.
        dtype: element type, where known.
        content: the elements of a small integer or boolean tensor, the last axis fastest; None where unknown.
    """

    shape: Shape | None = None
    dtype: ir.DataType | None = None
    content: tuple[Size | None, ...] | None = None

    @property
    def rank(self) -> int | None:
        """The number of axes, where known."""
        return None if self.shape is None else len(self.shape)


NOTHING = Fact()
MAX_AXES = 16
"""Tensors with more axes are in no pattern; what is known of them is dropped, so that hostile graphs stay cheap."""


class Facts:
    """The facts of all values of a graph and of the graphs inside it.

    Attributes:
        trimmed: values cut from a table of fixed length at an open place (see `shapes_moved.sliced`). They are as long
            as their shape says wherever they meet something of that length, but nothing says that they do.
    """

    def __init__(self) -> None:
        self._facts: dict[ir.Value, Fact] = {}
        self.trimmed: set[ir.Value] = set()

    def __getitem__(self, value: ir.Value | None) -> Fact:
        if value is None:
            return NOTHING
        known = self._facts.get(value)
        if known is None:
            known = self._facts[value] = _stated(value)
        return known

    def __contains__(self, value: ir.Value) -> bool:
        return value in self._facts

    def learn(self, value: ir.Value, fact: Fact) -> None:
        """Remember `fact`, with what the model itself states filling its gaps."""
        if fact.shape is None or fact.dtype is None or _has_fresh_size(value, fact.shape):
            stated = _stated(value)
            shape = _filled_up(value, fact.shape, stated.shape)
            fact = Fact(shape, fact.dtype or stated.dtype, fact.content or stated.content)
        if fact.shape is not None and len(fact.shape) > MAX_AXES:
            fact = replace(fact, shape=None)
        self._facts[value] = fact

    def shape(self, value: ir.Value | None) -> Shape | None:
        """Sizes of the axes of `value`."""
        return self[value].shape

    def dtype(self, value: ir.Value | None) -> ir.DataType | None:
        """Element type of `value`."""
        return self[value].dtype

    def axis(self, value: ir.Value, axis: int) -> Size:
        """The size of one axis; a name of its own where nothing is known."""
        shape = self.shape(value)
        if shape is not None and -len(shape) <= axis < len(shape):
            return shape[axis]
        return Size.of(f"{value.name}[{axis}]")


def fresh_size(node: ir.Node, axis: int) -> Size:
    """The size of an axis of what `node` makes, of which nothing is known but that it has one."""
    return Size.of(f"{node.outputs[0].name}[{axis}]")


def _has_fresh_size(value: ir.Value, shape: Shape) -> bool:
    return any(size == Size.of(f"{value.name}[{axis}]") for axis, size in enumerate(shape))


def _filled_up(value: ir.Value, shape: Shape | None, stated: Shape | None) -> Shape | None:
    """`shape`, with sizes it has no name for taken from what is stated."""
    if shape is None or stated is None or len(shape) != len(stated):
        return stated if shape is None else shape
    pairs = enumerate(zip(shape, stated, strict=True))
    return tuple(other if size == Size.of(f"{value.name}[{axis}]") else size for axis, (size, other) in pairs)


def infer(graph: ir.Graph, opset: int) -> Facts:
    """Work out the facts of `graph` in one walk; an operator without a rule says what the model states of it."""
    facts = Facts()
    numbers: dict[ir.Graph, int] = {}
    for node in nodes_of(graph):
        if isinstance(node.graph, ir.Graph) and node.graph is not graph:
            _forget_names(facts, node.graph, numbers.setdefault(node.graph, len(numbers)))
        learn_node(facts, node, opset)
    return facts


def _forget_names(facts: Facts, inner: ir.Graph, number: int) -> None:
    """Give the inputs of an inner graph sizes of their own: a name there is not the size of that name outside."""
    for value in inner.inputs:
        if value.shape is not None and value not in facts:
            sizes = (
                Size.of(size if isinstance(size, int) else f"{value.name}@{number}[{axis}]")
                for axis, size in enumerate(value.shape)
            )
            facts.learn(value, Fact(tuple(sizes), value.dtype))


def learn_node(facts: Facts, node: ir.Node, opset: int) -> None:
    """Work out the facts of the outputs of one node."""
    from compressor.passes.fusions.shape_rules import facts_of

    found = facts_of(facts, node, opset) if node.domain in (*STANDARD_DOMAINS, "com.microsoft") else ()
    for index, output in enumerate(node.outputs):
        facts.learn(output, found[index] if index < len(found) else NOTHING)
    if _is_trimmed(facts, node):
        facts.trimmed.update(node.outputs)


def _is_trimmed(facts: Facts, node: ir.Node) -> bool:
    """All that `node` reads is constant or trimmed, some of it trimmed; how to view it does not count."""
    read = node.inputs[:1] if node.op_type in _VIEWS else node.inputs
    if not any(value in facts.trimmed for value in read if value is not None):
        return False
    if node.op_type == "Expand" and _has_wanted_sizes(facts, node):
        return False
    return all(value is None or value in facts.trimmed or tensor_of(value) is not None for value in read)


def _has_wanted_sizes(facts: Facts, node: ir.Node) -> bool:
    """Expand fails where a table was cut to a length that is neither 1 nor the one it is asked for."""
    shape, wanted = facts.shape(node.outputs[0]), facts[node.inputs[1]].content
    if shape is None or wanted is None or len(shape) != len(wanted):
        return False
    return all(size.number is not None or size == to for size, to in zip(shape, wanted, strict=True))


_VIEWS = frozenset(["Reshape", "Expand", "Unsqueeze", "Squeeze", "Slice", "Tile", "Pad"])


def nodes_of(graph: ir.Graph) -> Iterator[ir.Node]:
    """The nodes of `graph` and of the graphs inside it, each after those it reads from."""
    yield from ir.traversal.RecursiveGraphIterator(graph)


def _stated(value: ir.Value) -> Fact:
    tensor = tensor_of(value)
    if tensor is not None:
        return _of_tensor(value, tensor)
    if value.shape is None:
        return Fact(dtype=value.dtype)
    sizes = (
        Size.of(size) if isinstance(size, int) else named_size(size.value or f"{value.name}[{axis}]")
        for axis, size in enumerate(value.shape)
    )
    return Fact(tuple(sizes), value.dtype)


def named_size(name: str) -> Size:
    """The size a dimension name stands for; exporters name sums and products, as in "past_length + sequence_length"."""
    try:
        return _evaluated(ast.parse(name.strip(), mode="eval").body) if len(name) <= MAX_NAME else Size.of(name)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last is what a deep nest of brackets gives
        return Size.of(name)


def _evaluated(expression: ast.expr) -> Size:
    """Raise ValueError where it is no formula of sizes."""
    if isinstance(expression, ast.Name):
        return Size.of(expression.id)
    if isinstance(expression, ast.Constant) and type(expression.value) is int:
        return Size.of(expression.value)
    if isinstance(expression, ast.UnaryOp) and isinstance(expression.op, ast.USub):
        return Size.of(0) - _evaluated(expression.operand)
    if isinstance(expression, ast.Call) and isinstance(expression.func, ast.Name) and len(expression.args) == 2:
        word = expression.func.id.lower()
        if word in ("min", "max"):
            return limited(word, *(_evaluated(argument) for argument in expression.args))
    operator = _FORMULAS.get(type(expression.op)) if isinstance(expression, ast.BinOp) else None
    if operator is None or not isinstance(expression, ast.BinOp):
        raise ValueError
    return operator(_evaluated(expression.left), _evaluated(expression.right))


_FORMULAS: dict[type[ast.operator], Callable[[Size, Size], Size]] = {
    ast.Add: Size.__add__,
    ast.Sub: Size.__sub__,
    ast.Mult: Size.__mul__,
    ast.FloorDiv: Size.__floordiv__,
}


def _of_tensor(value: ir.Value, tensor: ir.TensorProtocol) -> Fact:
    shape = tuple(Size.of(int(size)) for size in tensor.shape.numpy())
    if not (tensor.dtype.is_integer() or tensor.dtype == ir.DataType.BOOL):
        return Fact(shape, tensor.dtype)
    numbers = numbers_of(value)
    return Fact(shape, tensor.dtype, None if numbers is None else tuple(Size.of(int(n)) for n in numbers))
