"""Follow the probabilities of attention from the Softmax to their product with the values."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import onnx_ir as ir

from compressor.passes.fusions.attention_fill import check_masks
from compressor.passes.fusions.attention_scores import (
    NotAttention,
    NotFusable,
    Scores,
    lies_between_products,
    scores_before,
)
from compressor.passes.fusions.graph_edit import GraphEdit
from compressor.passes.fusions.match import is_number, is_operator, is_swap, only_user, sole_user


@dataclass(frozen=True, slots=True)
class Probabilities:
    """What becomes of the probabilities.

    Attributes:
        product: their product with the values.
        is_guarded: those that are not a number are replaced by 0, be it because their condition says so.
        is_swapped: they are transposed.
        zeroed: a condition, and the truth value at which they are replaced by 0.
    """

    product: ir.Node
    is_guarded: bool = False
    is_swapped: bool = False
    zeroed: tuple[ir.Value, bool] | None = None

    def masked(self, scores: Scores, rank: int | None) -> Scores:
        """Replace scores by minus infinity whose probabilities are replaced by 0, so that rows of them give 0, too.

        Raises:
            NotFusable: the condition is not that of a mask of the scores, of `rank` axes.
        """
        if self.zeroed is None:
            return scores
        masks = [
            t for t in scores.biases if t.fill is not None and (t.value, t.fills_where, t.rank) == (*self.zeroed, rank)
        ]
        if not masks:
            raise NotFusable("the probabilities go through Where before the product with the values")
        check_masks(masks)  # a milder fill would take a share of the probabilities, which is lost when it becomes 0
        terms = (replace(term, fill=-math.inf) if term in masks else term for term in scores.biases)
        return replace(scores, biases=tuple(terms))


def probabilities_of(edit: GraphEdit, softmax: ir.Node) -> Probabilities:
    """Follow the result of a Softmax to its product with the values.

    Raises:
        NotAttention: there is none.
        NotFusable: there is one, but something else becomes of the probabilities, too.
    """
    value, is_guarded, is_swapped, zeroed = softmax.outputs[0], False, False, None
    for _ in range(4):
        users = [node for node, _ in value.uses()]
        if any(is_operator(node, "IsNaN") for node in users):
            value, is_guarded = _behind_guard(value), True
            continue
        if (split := _zeroed(value)) is not None and zeroed is None:
            (value, zeroed), is_guarded = split, True
            continue
        if not any(is_operator(node, "MatMul", "Einsum") and node.inputs[0] is value for node in users):
            turned = only_user(value, "Transpose")
            if turned is not None and is_swap(turned):
                value, is_swapped = turned.outputs[0], not is_swapped
            else:
                value = _behind_view(edit, softmax, value)
            continue
        node = sole_user(value)
        if node is None:
            assert softmax.inputs[0] is not None
            scores_before(edit.facts, softmax.inputs[0])  # raises NotAttention where it is none
            raise NotFusable(f"the probabilities '{value.name}' are read elsewhere, too")
        return Probabilities(node, is_guarded, is_swapped, zeroed)
    raise NotAttention


def _zeroed(value: ir.Value) -> tuple[ir.Value, tuple[ir.Value, bool]] | None:
    """Split `Where(condition, 0, value)` into its result and its condition."""
    choice = only_user(value, "Where")
    if choice is None or choice.inputs[0] is None:
        return None
    for fill, other, at in ((choice.inputs[1], choice.inputs[2], True), (choice.inputs[2], choice.inputs[1], False)):
        if other is value and is_number(fill, 0.0):
            return choice.outputs[0], (choice.inputs[0], at)
    return None


def _behind_guard(value: ir.Value) -> ir.Value:
    """The result of `Where(IsNaN(x), 0, x)`."""
    users = [node for node, _ in value.uses()]
    test = next(node for node in users if is_operator(node, "IsNaN"))
    choice = sole_user(test.outputs[0])
    is_guard = (
        len(users) == 2
        and choice is not None
        and is_operator(choice, "Where")
        and choice.inputs[0] is test.outputs[0]
        and choice.inputs[2] is value
        and is_number(choice.inputs[1], 0.0)
    )
    if not is_guard or choice is None or value.is_graph_output():
        raise NotFusable(f"the probabilities '{value.name}' are read elsewhere, too")
    return choice.outputs[0]


def _behind_view(edit: GraphEdit, softmax: ir.Node, value: ir.Value) -> ir.Value:
    """The result of a Reshape that only joins or parts batch and heads."""
    node = sole_user(value)
    if node is None:
        raise NotAttention
    before, after = edit.facts.shape(value), edit.facts.shape(node.outputs[0])
    if is_operator(node, "Reshape") and before is not None and after is not None and before[-2:] == after[-2:]:
        return node.outputs[0]
    if lies_between_products(softmax):
        raise NotFusable(f"the probabilities go through {node.op_type} before the product with the values")
    raise NotAttention
