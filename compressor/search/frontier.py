"""Order the choices of a scheme for every weight, so that a search has one dial to turn instead of thousands.

Each weight has a few forms, each with its bytes and the noise it is expected to add. The forms worth having lie on the
lower convex hull of noise over bytes; a step from one to the next smaller buys bytes for noise at a price. Taking all
steps of all weights in the order of their prices gives, after every step, the assignment with the least expected noise
for its size (Lagrange multipliers: H. Everett, "Generalized Lagrange multiplier method for solving problems of optimum
allocation of resources", 1963; for bit allocation: Y. Shoham and A. Gersho, 1988).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

Label = TypeVar("Label")


@dataclass(frozen=True, slots=True)
class Form(Generic[Label]):
    """One way to store a weight.

    Attributes:
        label: what it is.
        size: its bytes, with everything that comes with it.
        noise: what it is expected to add to the outputs, on a scale that all weights share.
    """

    label: Label
    size: int
    noise: float


@dataclass(frozen=True, slots=True)
class Step(Generic[Label]):
    """One weight goes from one form to the next smaller one worth having."""

    weight: str
    form: Form[Label]
    saved: int
    price: float


@dataclass(frozen=True, slots=True)
class Frontier(Generic[Label]):
    """All assignments worth trying, from the largest and cleanest to the smallest and noisiest.

    Attributes:
        start: the cleanest form of every weight.
        steps: in the order of their prices; position `k` of the frontier is where the first `k` are taken.
    """

    start: Mapping[str, Form[Label]]
    steps: tuple[Step[Label], ...]

    def at(self, position: int) -> dict[str, Form[Label]]:
        """The form of every weight when the first `position` steps are taken."""
        chosen = dict(self.start)
        for step in self.steps[:position]:
            chosen[step.weight] = step.form
        return chosen

    def size(self, position: int) -> int:
        """Bytes of all weights there."""
        return sum(form.size for form in self.start.values()) - sum(step.saved for step in self.steps[:position])


def find_frontier(forms: Mapping[str, Sequence[Form[Label]]]) -> Frontier[Label]:
    """Order the steps of all weights by price.

    Args:
        forms: for each weight the forms it can take, at least one.
    """
    hulls = {weight: _hull(choices) for weight, choices in forms.items()}
    # The prices along one hull rise, so merging keeps the steps of each weight in their order.
    steps = heapq.merge(*(_steps(weight, hull) for weight, hull in hulls.items()), key=lambda step: step.price)
    return Frontier({weight: hull[0] for weight, hull in hulls.items()}, tuple(steps))


def _hull(forms: Sequence[Form[Label]]) -> list[Form[Label]]:
    """The forms worth having, the largest first: none smaller has less noise, and prices rise from step to step."""
    hull: list[Form[Label]] = []
    for form in sorted(forms, key=lambda form: (form.noise, form.size)):
        if hull and form.size >= hull[-1].size:
            continue
        while len(hull) > 1 and _price(hull[-1], form) <= _price(hull[-2], hull[-1]):
            hull.pop()
        hull.append(form)
    return hull


def _steps(weight: str, hull: Sequence[Form[Label]]) -> Iterator[Step[Label]]:
    for larger, smaller in pairwise(hull):
        yield Step(weight, smaller, larger.size - smaller.size, _price(larger, smaller))


def _price(larger: Form[Label], smaller: Form[Label]) -> float:
    """Noise bought for each byte saved."""
    return (smaller.noise - larger.noise) / (larger.size - smaller.size)
