"""Read the scores of an attention layer back from its Softmax: the product of query and key, its scale, its biases."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import onnx_ir as ir

from compressor.passes.fusions.dimensions import ONE
from compressor.passes.fusions.match import axes_of, is_operator, made_by, number_of, operands, tensor_of
from compressor.passes.fusions.shape_facts import Facts, Shape


class NotFusable(Exception):
    """An attention layer has a form no rule here covers; the text says which."""


class NotAttention(Exception):
    """A Softmax belongs to something else."""


@dataclass(frozen=True, slots=True)
class Bias:
    """A tensor added to the scores, times a factor.

    Attributes:
        value: the tensor; for a fill, the condition.
        factor: what the graph multiplies it with afterwards.
        fill: None for a plain term; else the number that replaces the scores where `value` is `fills_where`, times
            what the graph multiplies it with afterwards.
        fills_where: the truth value of the condition at which the scores are replaced.
        rank: the number of axes of the scores it is added to.
        apart: the sizes of those axes where there are five: groups, rows of a group, heads, queries, keys.
    """

    value: ir.Value
    factor: float = 1.0
    fill: float | None = None
    fills_where: bool = True
    rank: int = 4
    apart: Shape | None = None

    def scaled(self, factor: float) -> Bias:
        """The term times a number."""
        if self.fill is None:
            return replace(self, factor=self.factor * factor)
        return replace(self, fill=self.fill * factor)


@dataclass(frozen=True, slots=True)
class Scores:
    """What goes into a Softmax: `scale` * `factor` * query x key + biases.

    Attributes:
        product: the MatMul or Einsum of query and key.
        scale: the number that product is multiplied with.
        biases: what is added, outermost last.
        factor: a tensor it is multiplied with, too, of one number for all queries and keys of a head.
        is_lowered: the maximum along the last axis is taken away from all.
    """

    product: ir.Node
    scale: float = 1.0
    biases: tuple[Bias, ...] = ()
    factor: ir.Value | None = None
    is_lowered: bool = False

    def scaled(self, factor: float) -> Scores:
        """The scores times a number."""
        biases = tuple(bias.scaled(factor) for bias in self.biases)
        return replace(self, scale=self.scale * factor, biases=biases)


MAX_DEPTH = 10
"""Operators between product and Softmax; the longest seen in an export is 5."""


def scores_before(facts: Facts, value: ir.Value) -> Scores:
    """Read the scores that `value`, the input of a Softmax, holds.

    Raises:
        NotAttention: no product of two computed tensors is behind `value`.
        NotFusable: there is one, but something between it and the Softmax is read elsewhere or not understood.
    """
    scores = _scores(facts, value, MAX_DEPTH)
    if isinstance(scores, str):
        raise NotFusable(scores)
    if scores is None:
        raise NotAttention
    return scores


def _scores(facts: Facts, value: ir.Value, depth: int, readers: int = 1) -> Scores | str | None:
    node = value.producer()
    if node is None or depth == 0:
        return None
    found: Scores | str | None
    if made_by(value, "MatMul", "Einsum"):
        found = _product(facts, node)
    elif made_by(value, "Mul", "Div"):
        found = _scaled(facts, node, depth)
    elif made_by(value, "Add"):
        found = _biased(facts, node, depth)
    elif made_by(value, "Sub"):
        found = _less(facts, node, depth)
    elif made_by(value, "Where"):
        found = _filled(facts, node, depth)
    elif made_by(value, "Reshape", "Squeeze", "Unsqueeze"):
        found = _viewed(facts, node, depth)
    else:
        found = _through_other(facts, node, depth)
    if isinstance(found, Scores) and (len(value.uses()) != readers or value.is_graph_output()):
        return f"the scores '{value.name}' are read elsewhere, too"
    return found


def _product(facts: Facts, node: ir.Node) -> Scores | None:
    if len(node.inputs) != 2 or any(value is None or tensor_of(value) is not None for value in node.inputs):
        return None
    ranks = [facts[value].rank for value in node.inputs]
    return Scores(node) if ranks[0] == ranks[1] and ranks[0] in (3, 4) else None


def _scaled(facts: Facts, node: ir.Node, depth: int) -> Scores | str | None:
    pairs = [tuple(node.inputs)] if node.op_type == "Div" else list(operands(node))
    for tensor, factor in pairs:
        number = constant_number(facts, factor)
        if tensor is None or number is None or (number == 0 and node.op_type == "Div"):
            continue
        inner = _scores(facts, tensor, depth - 1)
        return inner.scaled(1 / number if node.op_type == "Div" else number) if isinstance(inner, Scores) else inner
    for tensor, factor in operands(node) if node.op_type == "Mul" else ():
        shape = facts.shape(factor)
        inner = _scores(facts, tensor, depth - 1) if shape is not None and shape[-2:] == (ONE, ONE) else None
        if isinstance(inner, Scores) and not inner.biases and inner.factor is None:
            return replace(inner, factor=factor)
    inners = [_scores(facts, tensor, depth - 1) for tensor in node.inputs if tensor is not None]
    return "the scores are multiplied with something that is not a constant number" if any(inners) else None


def _biased(facts: Facts, node: ir.Node, depth: int) -> Scores | str | None:
    refusal = None
    for tensor, bias in operands(node):
        found = _with_bias(facts, node, tensor, bias, 1.0, depth)
        if isinstance(found, Scores):
            return found
        refusal = refusal or found
    return refusal


def _less(facts: Facts, node: ir.Node, depth: int) -> Scores | str | None:
    tensor, less = node.inputs
    if tensor is not None and _is_peak(facts, less, of=tensor):
        # Softmax is the same of scores that are lowered by one number a row; CogView's PB-relax does so.
        inner = _scores(facts, tensor, depth - 1, readers=2)
        return replace(inner, is_lowered=True) if isinstance(inner, Scores) else inner
    return _with_bias(facts, node, tensor, less, -1.0, depth)


def _is_peak(facts: Facts, value: ir.Value | None, *, of: ir.Value) -> bool:
    """`value` is the maximum of each row of `of`, read nowhere else."""
    if value is None or len(value.uses()) != 1 or facts.shape(value) is None:
        return False
    spread = made_by(value, "Unsqueeze")
    peak = made_by(spread.inputs[0] if spread is not None else value, "ReduceMax")
    rank = facts[of].rank
    if peak is None or peak.inputs[0] is not of or rank is None or len(peak.outputs[0].uses()) != 1:
        return False
    is_along_keys = axes_of(peak) in ((-1,), (rank - 1,))
    shape = facts.shape(of)
    return is_along_keys and shape is not None and facts.shape(value) == (*shape[:-1], ONE)


def _with_bias(
    facts: Facts, node: ir.Node, tensor: ir.Value | None, bias: ir.Value | None, factor: float, depth: int
) -> Scores | str | None:
    if tensor is None or bias is None:
        return None
    inner = _scores(facts, tensor, depth - 1)
    if not isinstance(inner, Scores):
        return inner
    term = _placed(facts, node, Bias(bias, factor))
    return replace(inner, biases=(*inner.biases, term))


def _placed(facts: Facts, node: ir.Node, term: Bias) -> Bias:
    """`term` with the axes of the scores that `node` adds it to."""
    shape = facts.shape(node.outputs[0]) or ()
    return replace(term, rank=len(shape), apart=shape if len(shape) == 5 else None)


def _filled(facts: Facts, node: ir.Node, depth: int) -> Scores | str | None:
    condition, chosen, otherwise = node.inputs
    for tensor, other, fills_where in ((otherwise, chosen, True), (chosen, otherwise, False)):
        fill = number_of(other)
        if tensor is None or condition is None or fill is None:
            continue
        inner = _scores(facts, tensor, depth - 1)
        if not isinstance(inner, Scores):
            return inner
        term = _placed(facts, node, Bias(condition, 1.0, fill, fills_where))
        return replace(inner, biases=(*inner.biases, term))
    return None


def _viewed(facts: Facts, node: ir.Node, depth: int) -> Scores | str | None:
    tensor = node.inputs[0]
    before, after = facts.shape(tensor), facts.shape(node.outputs[0])
    if tensor is None or before is None or after is None or before[-2:] != after[-2:]:
        return None
    return _scores(facts, tensor, depth - 1)


def _through_other(facts: Facts, node: ir.Node, depth: int) -> str | None:
    if node.op_type not in ("Cast", "Clip", "Tanh", "Max", "Min") or not node.inputs or node.inputs[0] is None:
        return None
    inner = _scores(facts, node.inputs[0], depth - 1)
    return f"the scores go through {node.op_type} before the Softmax" if inner is not None else None


_REAL_TYPES = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)
_INTEGER_TYPES = (ir.DataType.INT64, ir.DataType.INT32)


def constant_number(facts: Facts, value: ir.Value | None, depth: int = 8) -> float | None:
    """The number `value` has in every run, evaluated through the root and quotient exporters leave in the graph."""
    number = number_of(value)
    if number is not None or value is None or depth == 0:
        return number
    fact = facts[value]
    if fact.content is not None and len(fact.content) == 1 and fact.content[0] is not None:
        exact = fact.content[0].number
        return None if exact is None else float(exact)
    node = made_by(value, "Sqrt", "Reciprocal", "Cast", "Div", "Mul", "Pow", "Identity")
    if node is None or fact.shape is None or len(fact.shape) > 1:
        return None
    numbers = [constant_number(facts, given, depth - 1) for given in node.inputs]
    if None in numbers:
        return None
    if fact.dtype not in _REAL_TYPES:  # a cast to integers drops the fraction, so only whole numbers pass
        whole = numbers[0] if node.op_type == "Cast" and fact.dtype in _INTEGER_TYPES else None
        return whole if whole is not None and whole.is_integer() else None
    return _evaluated(node.op_type, [n for n in numbers if n is not None])


def _evaluated(op_type: str, numbers: list[float]) -> float | None:
    first, last = numbers[0], numbers[-1]
    try:
        match op_type:
            case "Sqrt":
                return math.sqrt(first)
            case "Reciprocal":
                return 1 / first
            case "Div":
                return first / last
            case "Mul":
                return first * last
            case "Pow":
                return float(first**last)
            case _:  # Cast and Identity
                return first
    except (ArithmeticError, ValueError):
        return None


def lies_between_products(softmax: ir.Node) -> bool:
    """A product of two computed tensors is some steps before, and another one a few steps behind."""
    before, behind = [softmax], [softmax]
    for _ in range(MAX_DEPTH):
        made = [p for node in before[:8] for v in node.inputs if v is not None and (p := v.producer()) is not None]
        if any(_is_product(node) for node in made):
            break
        before = [node for node in made if is_operator(node, *_ALONG_THE_WAY)]
    else:
        return False
    for _ in range(4):
        read = [user for node in behind[:8] for v in node.outputs for user, _ in v.uses()]
        if any(_is_product(node) for node in read):
            return True
        behind = [node for node in read if is_operator(node, *_ALONG_THE_WAY, "IsNaN", "Dropout")]
    return False


_ALONG_THE_WAY = (
    *("Add", "Sub", "Mul", "Div", "Neg", "Pow", "Where", "Cast", "Clip", "Min", "Max", "Tanh", "Sqrt", "Reciprocal"),
    *("Reshape", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Slice", "Concat", "Pad", "ReduceMax"),
)
"""Operators that exporters are known to put between the Softmax of attention and its products."""


def _is_product(node: ir.Node) -> bool:
    computed = [value for value in node.inputs if value is not None and tensor_of(value) is None]
    return is_operator(node, "MatMul", "Einsum") and len(computed) == 2
