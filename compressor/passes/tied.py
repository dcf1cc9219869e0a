"""Store a weight once that stands in the model a second time transposed, or under another shape.

Exporters write the output head of a language model as the transpose of its word embedding, although the two are one
parameter. The form kept is the one lookups read: its rows are the head's columns, so int8 scales suit both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from compressor.model.similarity import permuted_pairs, same_bytes
from compressor.model.size import tensor_bytes
from compressor.passes.scope import Scope, Weight

WORTH_TYING = 1024
"""Bytes from which a weight is worth the node, and its name, that reaches it in its other form."""

_RESHAPE_BY_INPUT = 5
"""First opset in which Reshape takes its shape as an input."""


def tie_weights(scope: Scope) -> None:
    """Tie the reordered copies among the weights of `scope`; exact copies are expected to be merged already."""
    if scope.opset >= _RESHAPE_BY_INPUT:
        for group in same_bytes(_candidates(scope), lambda weight: weight.tensor):
            base, *others = sorted(group, key=lambda weight: _preference(scope, weight))
            for weight in others:
                base = _tie(scope, weight, base, None)
    pairs = permuted_pairs(_candidates(scope), lambda w: w.tensor, lambda w: _preference(scope, w))
    for pair in list(pairs):
        _tie(scope, pair.item, pair.base, pair.permutation)


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


def _tie(scope: Scope, weight: Weight, base: Weight, permutation: Sequence[int] | None) -> Weight:
    """Let readers of `weight` read a node that makes it of `base`: a Transpose, or a Reshape without `permutation`."""
    reason = scope.obstacle(weight, base)
    if reason:
        scope.skip(weight, f"is {base.value.name!r} in another form, but {reason}")
        return base
    base = scope.make_visible(base)
    name = weight.value.name or ""
    shape = weight.tensor.shape.numpy()
    made = ir.Value(type=ir.TensorType(weight.tensor.dtype), shape=ir.Shape(shape))
    if permutation is not None:
        node = ir.node("Transpose", [base.value], attributes={"perm": tuple(permutation)}, outputs=[made])
    else:
        node = ir.node("Reshape", [base.value, _shape_constant(scope, shape, f"{name}_shape")], outputs=[made])
    node.name = scope.free_name(f"{name}/{node.op_type}")
    _insert_early(scope.root, node)
    scope.redirect(weight, made)
    made.name = name
    scope.counts["weights_tied"] += 1
    return base


def _shape_constant(scope: Scope, shape: Sequence[int], wanted: str) -> ir.Value:
    """Find a constant of the root that holds `shape`, or make one: a second of it would be a copy to merge."""
    for weight in scope.weights():
        is_constant = weight.held.graph is scope.root and not weight.value.is_graph_input()
        is_alike = weight.tensor.dtype == ir.DataType.INT64 and weight.tensor.shape.numpy() == (len(shape),)
        if is_constant and is_alike and tuple(weight.tensor.numpy().tolist()) == tuple(shape):
            return scope.make_visible(weight).value
    return scope.add_constant(ir.tensor(np.asarray(shape, dtype=np.int64)), wanted).value


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
