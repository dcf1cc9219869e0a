"""Compare the choices two models make: along the last axis, which entry is the largest, and by how much."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from compressor.evaluation.contract import Array

AMONG = 5
"""How many of the candidate's largest entries the original's choice is looked for in."""

_SUM_TOLERANCE = 1e-3
"""How far from 1 the entries of a distribution may add up to; float16 rounds to 5e-4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """Counts over last-axis rows; they add up over parts of an output.

    Attributes:
        rows: rows that decide something.
        same: those whose largest entry is in the same place.
        listed_rows: rows of more than `AMONG` entries.
        listed: those of them where the original's largest entry is among the candidate's `AMONG` largest.
        divergence: sum over rows of the Kullback-Leibler divergence from the original's distribution, in nats.
        distributions: rows that it was taken of.
    """

    rows: int = 0
    same: int = 0
    listed_rows: int = 0
    listed: int = 0
    divergence: float = 0.0
    distributions: int = 0

    def __add__(self, other: Decisions) -> Decisions:
        names = [field.name for field in fields(self)]
        return Decisions(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def times(self, count: int) -> Decisions:
        """The same counts so many times over; with a negative number, to take them out of a sum."""
        return Decisions(**{field.name: count * getattr(self, field.name) for field in fields(self)})

    @property
    def agreement(self) -> float | None:
        """Share of rows with the same choice."""
        return self.same / self.rows if self.rows else None

    @property
    def listed_agreement(self) -> float | None:
        """Share of rows whose choice is among the candidate's first ones."""
        return self.listed / self.listed_rows if self.listed_rows else None

    @property
    def mean_divergence(self) -> float | None:
        """Mean over rows, in nats."""
        return self.divergence / self.distributions if self.distributions else None


NO_DECISIONS = Decisions()
"""Nothing was decided."""


def equal_entries(equal: Array) -> Decisions:
    """Count entries that are equal or not: integers, truth values, strings."""
    return Decisions(rows=int(equal.size), same=int(np.count_nonzero(equal)))


def compare_choices(original: Array, candidate: Array, *, are_logits: bool) -> Decisions:
    """Compare rows along the last axis of two float64 arrays of one shape; NaN is never the largest.

    Args:
        original: what is right.
        candidate: what is judged.
        are_logits: rows are logits, so that their softmax is compared; else only rows that are distributions are.
    """
    first, second = (np.where(np.isnan(a), -np.inf, a).reshape(-1, a.shape[-1]) for a in (original, candidate))
    choice = first.argmax(axis=-1)[:, None]
    # Counting what is larger takes one look at each row, sorting many. Of equal entries, argmax names the first.
    chosen = np.take_along_axis(second, choice, axis=-1)
    larger = np.count_nonzero(second > chosen, axis=-1)
    has_list = first.shape[-1] > AMONG
    divergence, distributions = _divergence(original, candidate, are_logits)
    return Decisions(
        rows=len(first),
        same=int(np.count_nonzero(second.argmax(axis=-1)[:, None] == choice)),
        listed_rows=len(first) if has_list else 0,
        listed=int(np.count_nonzero(larger < AMONG)) if has_list else 0,
        divergence=divergence,
        distributions=distributions,
    )


def _divergence(original: Array, candidate: Array, are_logits: bool) -> tuple[float, int]:
    first, second = (a.reshape(-1, a.shape[-1]) for a in (original, candidate))
    usable = np.isfinite(first).all(axis=-1) & np.isfinite(second).all(axis=-1)
    if not are_logits:
        usable &= _is_distribution(first) & _is_distribution(second)
    if not usable.any():
        return 0.0, 0
    first, second = first[usable], second[usable]
    if are_logits:
        p, q = _log_softmax(first), _log_softmax(second)
    else:
        # An entry of 0 has no logarithm: in the original it counts for nothing, in the candidate for very much.
        p, q = (np.log(np.maximum(rows, np.finfo(np.float64).tiny)) for rows in (first, second))
    return float(np.sum(np.exp(p) * (p - q))), len(first)


def _is_distribution(rows: Array) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):  # infinities of either sign have no sum, and are none
        found: Array = (rows >= 0).all(axis=-1) & (np.abs(rows.sum(axis=-1) - 1) <= _SUM_TOLERANCE)
    return found


def _log_softmax(rows: Array) -> Array:
    shifted = rows - rows.max(axis=-1, keepdims=True)
    logs: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logs
