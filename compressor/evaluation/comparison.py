"""Compare two arrays of one type and shape, row by row, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from compressor.evaluation.contract import Array
from compressor.evaluation.decisions import NO_DECISIONS, Decisions, compare_choices, equal_entries

_BLOCK_ELEMENTS = 1 << 20
"""Elements compared at once: 8 MB in float64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What one comparison, or several merged, found.

    Attributes:
        bit_identical: the bytes are the same, so -0.0 is not 0.0 and NaNs differ by their payload.
        cosines: cosine similarity of each row that has entries; empty for types other than floating point.
        signal: sum of squares of the original; None for non-numeric types.
        noise: sum of squares of the difference.
        max_abs: largest absolute difference; None for non-numeric types.
        peak: largest absolute value of the original.
        decisions: choices along the last axis; of integers, truth values and strings, entries that are equal or not.
        unmatched: entries that are not finite in one array and different in the other.
    """

    bit_identical: bool = True
    cosines: tuple[float, ...] = ()
    signal: float | None = None
    noise: float | None = None
    max_abs: float | None = None
    peak: float = 0.0
    decisions: Decisions = NO_DECISIONS
    unmatched: int = 0

    @property
    def cosine_mean(self) -> float | None:
        """Mean over rows."""
        return math.fsum(self.cosines) / len(self.cosines) if self.cosines else None

    @property
    def cosine_min(self) -> float | None:
        """The worst row."""
        return min(self.cosines, default=None)

    @property
    def sqnr_db(self) -> float | None:
        """Signal to quantization noise ratio; infinite without noise, minus infinite without signal."""
        if self.signal is None or self.noise is None or not math.isfinite(self.signal + self.noise):
            return None
        if self.noise == 0:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal > 0 else -math.inf

    @property
    def max_rel(self) -> float | None:
        """Largest difference relative to the original's largest value; infinite where that value is 0."""
        if self.max_abs is None:
            return None
        if self.max_abs == 0:
            return 0.0
        return self.max_abs / self.peak if self.peak > 0 else math.inf


def compare_arrays(
    original: Array, candidate: Array, *, undefined: Array | None = None, are_logits: bool = False
) -> Comparison:
    """Compare two arrays of the same type and shape.

    Args:
        original: what is right.
        candidate: what is judged.
        undefined: truth values that broadcast to the shape, where floating-point entries count for bit identity only.
        are_logits: the last axis holds logits.
    """
    identical = Comparison(bit_identical=_have_same_bytes(original, candidate))
    if is_floating(original.dtype):
        return merge([*_compare_defined(original, candidate, undefined, are_logits), identical])
    if original.dtype.kind in "OUSTb":
        return merge([_compare_entries(original, candidate), identical])
    return merge([*(_compare_integers(a, b) for a, b in _blocks(original, candidate)), identical])


def merge(found: Sequence[Comparison]) -> Comparison:
    """Join comparisons of parts of one output."""
    return Comparison(
        bit_identical=all(part.bit_identical for part in found),
        cosines=tuple(cosine for part in found for cosine in part.cosines),
        signal=_join([part.signal for part in found], math.fsum),
        noise=_join([part.noise for part in found], math.fsum),
        max_abs=_join([part.max_abs for part in found], max),
        peak=max((part.peak for part in found), default=0.0),
        decisions=sum((part.decisions for part in found), NO_DECISIONS),
        unmatched=sum(part.unmatched for part in found),
    )


def is_floating(dtype: np.dtype[Any]) -> bool:
    """Tell floating point, the small machine-learning types and complex numbers from everything else."""
    if dtype.kind in "fc":
        return True
    try:
        ml_dtypes.finfo(dtype)
    except ValueError:
        return False
    return True


def _have_same_bytes(original: Array, candidate: Array) -> bool:
    if original.dtype.kind == "O":
        return bool(original.tolist() == candidate.tolist())
    first, second = np.ascontiguousarray(original), np.ascontiguousarray(candidate)
    return bool(np.array_equal(first.reshape(-1).view(np.uint8), second.reshape(-1).view(np.uint8)))


def _blocks(original: Array, candidate: Array) -> Iterator[tuple[Array, Array]]:
    """Cut both along the first axis. A row of one entry has no direction: then everything is one row."""
    entries = math.prod(original.shape[1:])
    if entries < 2 or original.ndim < 2 or original.size == 0:
        yield original.reshape(1, -1), candidate.reshape(1, -1)
        return
    step = max(1, _BLOCK_ELEMENTS // entries)
    for start in range(0, original.shape[0], step):
        yield original[start : start + step], candidate[start : start + step]


def _compare_defined(
    original: Array, candidate: Array, undefined: Array | None, are_logits: bool
) -> Iterator[Comparison]:
    is_decision = original.ndim > 1 and original.shape[-1] > 1 and original.size > 0
    if undefined is not None:
        original, candidate = (np.where(undefined, np.zeros_like(a[:1]), a) for a in (original, candidate))
    for first, second in _blocks(original, candidate):
        yield _compare_floats(first, second, is_decision=is_decision, are_logits=are_logits)
    if undefined is not None and is_decision:
        # Entries set to zero agree; that is no merit.
        ignored = int(np.count_nonzero(np.broadcast_to(undefined, original.shape)[..., 0]))
        zeros = np.zeros((1, original.shape[-1]))
        one = compare_choices(zeros, zeros, are_logits=are_logits)
        yield Comparison(decisions=one.times(-ignored))


def _compare_floats(original: Array, candidate: Array, *, is_decision: bool, are_logits: bool) -> Comparison:
    first, second = _to_float64(original), _to_float64(candidate)
    finite = np.isfinite(first) & np.isfinite(second)
    unmatched = 0
    decisions = compare_choices(first, second, are_logits=are_logits) if is_decision else NO_DECISIONS
    if not finite.all():
        same = (first == second) | (np.isnan(first) & np.isnan(second))
        unmatched = int(np.count_nonzero(~finite & ~same))
        first, second = np.where(finite, first, 0.0), np.where(finite, second, 0.0)
    with np.errstate(over="ignore"):  # squares of float64 beyond 1e154: the ratio is then not given
        difference = np.abs(first - second)
        signal, noise = float(np.sum(first * first)), float(np.sum(difference * difference))
    return Comparison(
        cosines=_cosines(first, second),
        signal=signal,
        noise=noise,
        max_abs=float(difference.max(initial=0.0)),
        peak=float(np.abs(first).max(initial=0.0)),
        decisions=decisions,
        unmatched=unmatched,
    )


def _cosines(first: Array, second: Array) -> tuple[float, ...]:
    """Cosine of each row with two entries or more; two rows of zeros are equal, one of them alone is not."""
    rows = (len(first), -1) if first.size else (0, 2)
    x: Array = first.reshape(rows)
    y: Array = second.reshape(rows)
    if x.shape[1] < 2:
        return ()
    # Scaled by their largest entries, so that squares neither overflow nor vanish.
    x_peak, y_peak = np.abs(x).max(axis=1, keepdims=True), np.abs(y).max(axis=1, keepdims=True)
    x, y = x / np.where(x_peak > 0, x_peak, 1), y / np.where(y_peak > 0, y_peak, 1)
    lengths = np.sqrt(np.sum(x * x, axis=1) * np.sum(y * y, axis=1))
    both_zero = (x_peak[:, 0] == 0) & (y_peak[:, 0] == 0)
    cosines = np.where(lengths > 0, np.sum(x * y, axis=1) / np.where(lengths > 0, lengths, 1), both_zero)
    return tuple(float(cosine) for cosine in np.clip(cosines, -1.0, 1.0))


def _compare_integers(original: Array, candidate: Array) -> Comparison:
    equal = original == candidate
    first, second = original.astype(np.float64), candidate.astype(np.float64)
    # Beyond 2^53 neighbours meet in float64; a difference is at least 1.
    difference = np.where(equal, 0.0, np.maximum(np.abs(first - second), 1.0))
    return Comparison(
        max_abs=float(difference.max(initial=0.0)),
        peak=float(np.abs(first).max(initial=0.0)),
        decisions=equal_entries(equal),
    )


def _compare_entries(original: Array, candidate: Array) -> Comparison:
    """Compare strings and truth values, which are equal or not."""
    return Comparison(decisions=equal_entries(np.asarray(original == candidate)))


def _to_float64(array: Array) -> Array:
    if array.dtype.kind == "c":
        array = np.ascontiguousarray(array).view(array.real.dtype)
    return array.astype(np.float64)


def _join(values: Sequence[float | None], join: Callable[[list[float]], float]) -> float | None:
    known = [value for value in values if value is not None]
    return join(known) if known else None
