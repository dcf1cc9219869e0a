"""Find rotations of features in a graph: pairs of features turned by angles whose cosines and sines are given."""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnx_ir as ir

from compressor.passes.fusions.feature_parts import Part, negated, pair, part_of, width
from compressor.passes.fusions.match import int_attribute, is_at_end, made_by, only_user, operands, sole_user
from compressor.passes.fusions.shape_facts import Facts


@dataclass(frozen=True, slots=True)
class Rotation:
    """(x1 * cosine - x2 * sine, x2 * cosine + x1 * sine) of the halves, or of the neighbours, x1 and x2 of `source`.

    Attributes:
        source: what is rotated.
        size: how many of its features are, from the first on; the others stay.
        cosine, sine: of the angles, broadcast to `source`.
        is_interleaved: pairs are neighbours (0 and 1, 2 and 3, ...), not entries of two halves.
        is_repeated: `cosine` and `sine` have an entry for each feature, otherwise one for each pair.
        result: the rotated tensor.
        inner: values between, which nobody else may read.
    """

    source: ir.Value
    size: int
    cosine: ir.Value
    sine: ir.Value
    is_interleaved: bool
    is_repeated: bool
    result: ir.Value
    inner: tuple[ir.Value, ...]

    @property
    def value_read_elsewhere(self) -> ir.Value | None:
        """A value between that has another reader."""
        return next((value for value in self.inner if sole_user(value) is None), None)


def rotation_ending_at(facts: Facts, node: ir.Node) -> Rotation | None:
    """The rotation whose last operator is `node`, in either spelling, or with the features that stay behind it."""
    found = _of_whole(facts, node) if node.op_type == "Add" else _by_halves(facts, node)
    return None if found is None else _with_rest(facts, found)


def _of_whole(facts: Facts, node: ir.Node) -> Rotation | None:
    """source * cosine + quarter * sine, where quarter is source with each pair (x1, x2) made (-x2, x1)."""
    for turned_value, other_value in operands(node):
        turned, other = made_by(turned_value, "Mul"), made_by(other_value, "Mul")
        if turned is None or other is None:
            continue
        for quarter, sine in operands(turned):
            found = _quarter_turn(facts, quarter)
            if found is None:
                continue
            source, is_interleaved = found
            for own, cosine in operands(other):
                size = width(facts, source)
                if own is source and size is not None:
                    inner = (turned_value, other_value, quarter)
                    return Rotation(source, size, cosine, sine, is_interleaved, True, node.outputs[0], inner)
    return None


def _quarter_turn(facts: Facts, value: ir.Value) -> tuple[ir.Value, bool] | None:
    """What each pair (x1, x2) of is (-x2, x1) in `value`, and whether pairs are neighbours."""
    joined = pair(facts, value)
    if joined is None:
        return None
    first, second, is_interleaved = joined
    minus, plus = part_of(facts, negated(first)), part_of(facts, second)
    if minus is None or plus is None or not _are_pairs(plus, minus, is_interleaved):
        return None
    return plus.source, is_interleaved


def _are_pairs(first: Part, second: Part, is_interleaved: bool) -> bool:
    if first.source is not second.source:
        return False
    if is_interleaved:
        return first.is_even and second.is_odd
    return first.is_first_half and second.is_second_half


def _by_halves(facts: Facts, node: ir.Node) -> Rotation | None:
    """Both halves on their own, then put together."""
    joined = pair(facts, node.outputs[0])
    first, second = (made_by(joined[0], "Sub"), made_by(joined[1], "Add")) if joined is not None else (None, None)
    if joined is None or first is None or second is None:
        return None
    products = [made_by(value, "Mul") for value in first.inputs]
    if products[0] is None or products[1] is None:
        return None
    for x1, cosine in operands(products[0]):
        for x2, sine in operands(products[1]):
            one, two = part_of(facts, x1), part_of(facts, x2)
            if one is None or two is None or not _are_pairs(one, two, joined[2]):
                continue
            if not _is_second_half(facts, second, (one, two), (cosine, sine)):
                continue
            read = (joined[0], joined[1], *first.inputs, *second.inputs)
            inner = tuple(value for value in read if value is not None)
            return Rotation(one.source, one.size, cosine, sine, joined[2], False, node.outputs[0], inner)
    return None


def _is_second_half(facts: Facts, node: ir.Node, parts: tuple[Part, Part], angles: tuple[ir.Value, ir.Value]) -> bool:
    """`node` is x2 * cosine + x1 * sine."""
    for left, right in operands(node):
        by_cosine, by_sine = made_by(left, "Mul"), made_by(right, "Mul")
        if by_cosine is None or by_sine is None:
            continue
        second = [part_of(facts, x) for x, factor in operands(by_cosine) if factor is angles[0]]
        first = [part_of(facts, x) for x, factor in operands(by_sine) if factor is angles[1]]
        if parts[1] in second and parts[0] in first:
            return True
    return False


def _with_rest(facts: Facts, found: Rotation) -> Rotation:
    """Take in the cut before and the Concat behind where only the first features are rotated and the others kept."""
    part, joined = part_of(facts, found.source), only_user(found.result, "Concat")
    if part is None or joined is None or len(joined.inputs) != 2 or joined.inputs[0] is not found.result:
        return found
    rest = part_of(facts, joined.inputs[1])
    is_last = is_at_end(int_attribute(joined, "axis", 0), facts[found.result].rank)
    if not is_last or rest is None or rest.source is not part.source or part.features != range(found.size):
        return found
    if rest.features != range(found.size, part.size):
        return found
    return replace(found, source=part.source, result=joined.outputs[0], inner=(*found.inner, found.result))
