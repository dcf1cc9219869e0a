"""Calculate with tensor sizes that are known by name only, such as `batch * 12`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from hashlib import blake2b
from itertools import zip_longest

Monomial = tuple[str, ...]

MAX_NAME = 500
"""Characters of the longest name; formulas of formulas would double it with every node of a hostile graph."""


@dataclass(frozen=True, slots=True)
class Size:
    """A polynomial with integer coefficients over named sizes; two equal polynomials are one size in every run.

    Attributes:
        terms: sorted pairs of a product of names and its coefficient; none stands for 0.
    """

    terms: tuple[tuple[Monomial, int], ...]

    @staticmethod
    def of(value: int | str) -> Size:
        """Make the size of a number, or of a name; one that is too long is replaced by its digest."""
        if isinstance(value, str):
            value = value if len(value) <= MAX_NAME else f"size#{blake2b(value.encode(), digest_size=20).hexdigest()}"
            return Size((((value,), 1),))
        return Size((((), int(value)),) if value else ())

    @property
    def number(self) -> int | None:
        """The value, where it is the same in every run."""
        if not self.terms:
            return 0
        return self.terms[0][1] if len(self.terms) == 1 and not self.terms[0][0] else None

    @property
    def is_never_negative(self) -> bool:
        """No run can give a value below 0, since names stand for sizes of axes."""
        return all(coefficient >= 0 for _, coefficient in self.terms)

    @property
    def is_size(self) -> bool:
        """No run gives a value below 0 in which every axis has at least one element, as in `length - 1`."""
        return all(factor > 0 for names, factor in self.terms if names) and sum(c for _, c in self.terms) >= 0

    def __add__(self, other: Size) -> Size:
        return _collect([*self.terms, *other.terms])

    def __sub__(self, other: Size) -> Size:
        return _collect([*self.terms, *((names, -factor) for names, factor in other.terms)])

    def __mul__(self, other: Size) -> Size:
        return _collect([(tuple(sorted(a + b)), x * y) for a, x in self.terms for b, y in other.terms])

    def divided_by(self, other: Size) -> Size | None:
        """The exact quotient; None where there is none, or none this algebra finds."""
        if self == other and self.terms:
            return ONE
        if len(other.terms) != 1:
            return None
        (names, factor), quotient = other.terms[0], []
        for own, coefficient in self.terms:
            rest = _without(own, names)
            if rest is None or coefficient % factor:
                return None
            quotient.append((rest, coefficient // factor))
        return _collect(quotient)

    def __floordiv__(self, other: Size) -> Size:
        """The quotient rounded down; where that is not a polynomial, a size named after the formula.

        Equal formulas get equal names: whole multiples are taken out, and a quotient of a quotient is made one.
        """
        exact, by = self.divided_by(other), other.number
        if exact is not None or not by or by < 0:
            return exact or Size.of(f"(({self})//({other}))")
        whole = _collect([(names, factor // by) for names, factor in self.terms if not names or factor % by == 0])
        rest = self - whole * other
        if rest.number is not None:
            return whole + Size.of(rest.number // by)
        inner = _QUOTIENT.fullmatch(str(rest)) if len(rest.terms) == 1 else None
        if inner is not None:
            return whole + Size.of(f"(({inner[1]})//({int(inner[2]) * by}))")
        return whole + Size.of(f"(({rest})//({by}))")

    def __str__(self) -> str:
        return " + ".join("*".join([str(c), *m] if c != 1 or not m else m) for m, c in self.terms) or "0"


ONE = Size.of(1)
_QUOTIENT = re.compile(r"\(\((.+)\)//\((\d+)\)\)")
MAX_TERMS = 16
"""Sums longer than this are not sizes of axes; they are cut off so that hostile graphs stay cheap."""


def product(sizes: Iterable[Size]) -> Size:
    """Multiply sizes; the product of none is 1."""
    return reduce(Size.__mul__, sizes, ONE)


def broadcast(left: Size, right: Size) -> Size:
    """The size of two axes combined element by element, for runs in which they fit."""
    if left == right or right == ONE:
        return left
    if left == ONE:
        return right
    if left.number is not None:  # more than one, so the other is this number or 1
        return left
    if right.number is not None:
        return right
    return Size.of(f"max({', '.join(sorted((str(left), str(right))))})")


def broadcast_shapes(shapes: Sequence[tuple[Size, ...] | None]) -> tuple[Size, ...] | None:
    """The shape of several tensors combined element by element."""
    if any(shape is None for shape in shapes):
        return None
    result: tuple[Size, ...] = ()
    for shape in shapes:
        assert shape is not None
        pairs = zip_longest(reversed(result), reversed(shape), fillvalue=ONE)
        result = tuple(reversed([broadcast(left, right) for left, right in pairs]))
    return result


def limited(word: str, *sizes: Size) -> Size:
    """The `word` ("min" or "max") of some sizes; where nothing says which it is, a size named after the formula."""
    return reduce(partial(_limited, word), sizes)


def _limited(word: str, left: Size, right: Size) -> Size:
    for larger, smaller in ((left, right), (right, left)):
        if (larger - smaller).is_size:
            return larger if word == "max" else smaller
    number, other = (right, left) if right.number is not None else (left, right)
    return Size.of(f"{word}({number}, {other})")


def _collect(terms: list[tuple[Monomial, int]]) -> Size:
    sums: dict[Monomial, int] = {}
    for names, coefficient in terms:
        sums[names] = sums.get(names, 0) + coefficient
    kept = tuple(sorted((names, c) for names, c in sums.items() if c))
    if len(kept) > MAX_TERMS or any(len(names) > MAX_TERMS for names, _ in kept):
        # As text: to Python, the hashes of -1 and -2 are the same.
        return Size.of(f"sum#{hash(tuple((names, str(c)) for names, c in kept))}")
    return Size(kept)


def _without(names: Monomial, removed: Monomial) -> Monomial | None:
    rest = list(names)
    for name in removed:
        if name not in rest:
            return None
        rest.remove(name)
    return tuple(rest)
