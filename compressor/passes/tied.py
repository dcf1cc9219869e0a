"""Store a weight once that stands in the model a second time transposed, or under another shape.

Exporters write the output head of a language model as the transpose of its word embedding, although the two are one
parameter. The form kept is the one lookups read: its rows are the head's columns, so int8 scales suit both.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from compressor.model.similarity import permuted_pairs, same_bytes
from compressor.model.size import tensor_bytes
from compressor.passes.scope import Scope, Weight

WORTH_TYING = 1024
"""Bytes from which a weight is worth the node, and its name, that reaches it in its other form."""

_RESHAPE_BY_INPUT = 5
"""First opset in which Reshape takes its shape as an input."""

_ShapeConstants: TypeAlias = dict[tuple[int, ...], Weight]
"""Constants that hold a shape, by that shape."""


def tie_weights(scope: Scope) -> None:
    """Tie the reordered copies among the weights of `scope`; exact copies are expected to be merged already."""
    if scope.opset >= _RESHAPE_BY_INPUT:
        groups = list(same_bytes(_candidates(scope), lambda weight: weight.tensor))
        constants = _shape_constants(scope, {len(weight.tensor.shape) for group in groups for weight in group})
        for group in groups:
            base, *others = sorted(group, key=lambda weight: _preference(scope, weight))
            for weight in others:
                base = _tie(scope, weight, base, constants)
    pairs = permuted_pairs(_candidates(scope), lambda w: w.tensor, lambda w: _preference(scope, w))
    for pair in list(pairs):
        _tie(scope, pair.item, pair.base, tuple(pair.permutation))


def _candidates(scope: Scope) -> list[Weight]:
    return [
        weight
        for weight in scope.weights()
        if tensor_bytes(weight.tensor) >= WORTH_TYING and not weight.value.is_graph_input()
    ]


def _preference(scope: Scope, weight: Weight) -> tuple[int, ...]:
    """Smaller is better to keep: a table that lookups read by row, then as :meth:`Scope.rank` says."""
    is_table = any(
        node.op_type == "Gather" and index == 0 and node.attributes.get_int("axis", 0) == 0
        for node, index in weight.value.uses()
    )
    return (not is_table, *scope.rank(weight))


def _tie(scope: Scope, weight: Weight, base: Weight, by: tuple[int, ...] | _ShapeConstants) -> Weight:
    """Let readers of `weight` read a node that makes it of `base`: a Transpose by a permutation, or else a Reshape."""
    reason = scope.obstacle(weight, base)
    if reason:
        scope.skip(weight, f"is {base.value.name!r} in another form, but {reason}")
        return base
    base = scope.make_visible(base)
    name = weight.value.name or ""
    shape = weight.tensor.shape.numpy()
    made = ir.Value(type=ir.TensorType(weight.tensor.dtype), shape=ir.Shape(shape))
    if isinstance(by, tuple):
        node = ir.node("Transpose", [base.value], attributes={"perm": by}, outputs=[made])
    else:
        node = ir.node("Reshape", [base.value, _shape_constant(scope, shape, name, by)], outputs=[made])
    node.name = scope.free_name(f"{name}/{node.op_type}")
    _insert_early(scope.root, node)
    scope.redirect(weight, made)
    made.name = name
    scope.counts["weights_tied"] += 1
    return base


def _shape_constants(scope: Scope, ranks: Collection[int]) -> _ShapeConstants:
    """Find the root's constants that can be read as shapes of these ranks, once for all ties."""
    found: _ShapeConstants = {}
    for weight in scope.weights() if ranks else ():
        is_constant = weight.held.graph is scope.root and not weight.value.is_graph_input()
        dims = weight.tensor.shape.numpy()
        if is_constant and weight.tensor.dtype == ir.DataType.INT64 and len(dims) == 1 and dims[0] in ranks:
            found.setdefault(tuple(weight.tensor.numpy().tolist()), weight)
    return found


def _shape_constant(scope: Scope, shape: Sequence[int], name: str, constants: _ShapeConstants) -> ir.Value:
    """Take a constant of the root that holds `shape`, or make one: a second of it would be a copy to merge."""
    key = tuple(shape)
    if key in constants:
        return scope.make_visible(constants[key]).value
    constants[key] = scope.add_constant(ir.tensor(np.asarray(shape, dtype=np.int64)), f"{name}_shape")
    return constants[key].value


def _insert_early(root: ir.Graph | ir.Function, node: ir.Node) -> None:
    """Put `node` right after the last of the nodes it reads, or before all where it reads none."""
    read = {id(producer) for value in node.inputs if value is not None and (producer := value.producer())}
    last = None
    for other in root:
        if len(read) == 0:
            break
        if id(other) in read:
            read.remove(id(other))
            last = other
    if last is None:
        root.insert_before(root[0], node)
    else:
        root.insert_after(last, node)
