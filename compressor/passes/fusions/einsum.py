"""Read the two products of attention where they are written as Einsum."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir


@dataclass(frozen=True, slots=True)
class ScoreLetters:
    """The axes of query and key, each in b(atch), n (heads), s(equence), d (features).

    Attributes:
        query, key: order of their axes; without b where batch and heads are in one.
        is_query_first: the query is the first operand.
    """

    query: str
    key: str
    is_query_first: bool


@dataclass(frozen=True, slots=True)
class ContextLetters:
    """The axes of the values and of the result, each in b, n, s, d.

    Attributes:
        values, result: order of their axes.
    """

    values: str
    result: str


def score_letters(node: ir.Node) -> ScoreLetters | None:
    """Read query x key; None where the scores do not come out as batch, heads, queries, keys."""
    parts = _parts(node)
    if parts is None or len(parts[2]) not in (3, 4):
        return None
    left, right, out = parts
    lead, query, key = out[:-2], out[-2], out[-1]
    is_query_first = query in left
    first, second = (left, right) if is_query_first else (right, left)
    summed = (set(first) & set(second)) - set(out)
    if len(summed) != 1 or set(first) != {*lead, query, *summed} or set(second) != {*lead, key, *summed}:
        return None
    features = summed.pop()
    return ScoreLetters(_renamed(first, lead, query, features), _renamed(second, lead, key, features), is_query_first)


def context_letters(node: ir.Node) -> ContextLetters | None:
    """Read probabilities x values; None where the probabilities are not in batch, heads, queries, keys."""
    parts = _parts(node)
    if parts is None or len(parts[0]) not in (3, 4):
        return None
    probabilities, values, out = parts
    lead, query, key = probabilities[:-2], probabilities[-2], probabilities[-1]
    free = set(values) - set(probabilities)
    if len(free) != 1 or key in out or set(values) != {*lead, key, *free} or set(out) != {*lead, query, *free}:
        return None
    features = free.pop()
    return ContextLetters(_renamed(values, lead, key, features), _renamed(out, lead, query, features))


def _renamed(letters: str, lead: str, sequence: str, features: str) -> str:
    names = {sequence: "s", features: "d", lead[-1]: "n"}
    return "".join(names.get(letter, "b") for letter in letters)


def _parts(node: ir.Node) -> tuple[str, str, str] | None:
    """The letters of both operands and of the result, where each is written once and none is implied."""
    attribute = node.attributes.get("equation")
    if attribute is None or attribute.is_ref() or len(node.inputs) != 2:
        return None
    inputs, arrow, out = attribute.as_string().replace(" ", "").partition("->")
    left, comma, right = inputs.partition(",")
    if not arrow or not comma or "." in inputs or any(len(set(part)) != len(part) for part in (left, right, out)):
        return None
    return left, right, out
