"""Hold the user's limits, and say for each one broken by how much."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Protocol

from compressor.errors import OptionError
from compressor.report import Fidelity, TaskScore

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_ENDLESS = 1e18
"""No file has as many bytes, and a number without end has no whole part."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*|%)", re.IGNORECASE)


class Measured(Protocol):
    """What was seen when a model was run: a step of a report, or the verdict on one model."""

    @property
    def fidelity(self) -> Fidelity | None:
        """The model against the original."""

    @property
    def speedup(self) -> float | None:
        """Times as fast as the original."""

    @property
    def score(self) -> TaskScore | None:
        """The task's metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a result is held to its budget by.

    Attributes:
        total_bytes, original_bytes: all files of the result and of the original.
        fidelity: the result against the original; None where it was not measured.
        speedup: times as fast as the original; None where it was not timed.
        score, original_score: the task's metric; None without labels.
    """

    total_bytes: int
    original_bytes: int
    fidelity: Fidelity | None
    speedup: float | None
    score: TaskScore | None = None
    original_score: TaskScore | None = None

    @classmethod
    def of(
        cls, seen: Measured | None, *, total_bytes: int, original_bytes: int, original_score: TaskScore | None
    ) -> Figures:
        """Put together what was seen, None where nothing was run, and what is known without a run."""
        return cls(
            total_bytes=total_bytes,
            original_bytes=original_bytes,
            fidelity=seen.fidelity if seen else None,
            speedup=seen.speedup if seen else None,
            score=seen.score if seen else None,
            original_score=original_score,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a result may cost at most; a limit that is None limits nothing.

    Attributes:
        min_agreement: smallest top-1 agreement of any output with the original's, from 0 to 1.
        max_accuracy_drop: largest loss of the task's metric, in points: 0.5 lets 87.3 % fall to 86.8 %. Where less is
            better (perplexity), the largest increase in percent.
        min_cosine: smallest cosine similarity of any row of any output to the original's.
        max_size: most bytes of the result, or with a percent sign the largest share of the original's
            (``"25MB"``, ``"8 MiB"``, ``"30%"``).
        min_speedup: smallest number of times as fast as the original.
    """

    min_agreement: float | None = None
    max_accuracy_drop: float | None = None
    min_cosine: float | None = None
    max_size: str | None = None
    min_speedup: float | None = None

    def __post_init__(self) -> None:
        """Refuse limits that nothing can meet or miss.

        Raises:
            OptionError: a limit is out of its range, or `max_size` is not a size.
        """
        _within("min_agreement", self.min_agreement, 0, 1)
        _within("max_accuracy_drop", self.max_accuracy_drop, 0, math.inf)
        _within("min_cosine", self.min_cosine, -1, 1)
        _within("min_speedup", self.min_speedup, 0, math.inf)
        if self.max_size is not None:
            _bytes_allowed(self.max_size, 1)

    @property
    def limits_quality(self) -> bool:
        """Something is said of how near outputs must stay, or how well the task must be done."""
        return any(limit is not None for limit in (self.min_agreement, self.max_accuracy_drop, self.min_cosine))

    @property
    def needs_runs(self) -> tuple[str, ...]:
        """Limits that can only be checked by running the models."""
        return tuple(
            field.name for field in fields(self) if field.name != "max_size" and getattr(self, field.name) is not None
        )

    def broken(self, figures: Figures) -> tuple[str, ...]:
        """Say for each limit that `figures` breaks, or that cannot be checked, which it is and by how much."""
        return tuple(self._sentences(figures))

    def too_large(self, total_bytes: int, original_bytes: int) -> tuple[str, ...]:
        """Say whether files of `total_bytes` in all break the limit of size; empty where not."""
        return () if self.max_size is None else tuple(_above_size(self.max_size, total_bytes, original_bytes))

    def _sentences(self, figures: Figures) -> Iterator[str]:
        fidelity = figures.fidelity
        yield from self.too_large(figures.total_bytes, figures.original_bytes)
        if self.min_cosine is not None:
            found = fidelity.worst_cosine if fidelity else None
            yield from _below("the cosine similarity of the worst row", found, self.min_cosine)
        if self.min_agreement is not None:
            found = fidelity.worst_top1_agreement if fidelity else None
            yield from _below("top-1 agreement", found, self.min_agreement)
        if self.max_accuracy_drop is not None:
            yield from _dropped(self.max_accuracy_drop, figures)
        if self.min_speedup is not None:
            yield from _below("the speed against the original's", figures.speedup, self.min_speedup)


def _within(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not (low <= value <= high and math.isfinite(value)):
        allowed = f"of at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        raise OptionError(f"{name} is {value:g}; it takes a number {allowed}")


def _bytes_allowed(text: str, original: int) -> int:
    found = _SIZE.fullmatch(text.strip())
    if found is None or (found[2] != "%" and found[2].lower() not in _UNITS):
        raise OptionError(f"max_size is {text!r}; it takes bytes, a size such as 25MB or 8MiB, or a share such as 30%")
    number = float(found[1])
    if number >= _ENDLESS:
        raise OptionError(f"max_size is a number of {len(found[1])} digits; it takes less than {_ENDLESS:g}")
    return int(original * number / 100) if found[2] == "%" else int(number * _UNITS[found[2].lower()])


def _above_size(limit: str, total: int, original: int) -> Iterator[str]:
    allowed = _bytes_allowed(limit, original)
    if total > allowed:
        given = f"{limit} ({allowed:,} bytes)" if limit != str(allowed) else f"{allowed:,} bytes"
        yield f"the size is {total:,} bytes, {total - allowed:,} more than the limit of {given}"


def _below(what: str, found: float | None, limit: float) -> Iterator[str]:
    if found is None:
        yield f"{what} was not measured, so the limit of {limit:g} cannot be checked"
    elif not found >= limit:
        yield f"{what} is {_apart(found, limit)}, {_apart(limit - found, 0)} below the limit of {limit:g}"


def _dropped(limit: float, figures: Figures) -> Iterator[str]:
    after, before = figures.score, figures.original_score
    if after is None or before is None:
        yield f"no task was scored, so the limit of {limit:g} on its loss cannot be checked"
        return
    drop, unit = after.loss_from(before)
    if not drop <= limit:
        yield (
            f"{after.metric} went from {before.value:.4f} to {after.value:.4f}, "
            f"a loss of {_apart(drop, limit)} {unit}; the limit is {limit:g}"
        )


def _apart(value: float, other: float) -> str:
    """Write `value` with as many digits as it takes to tell it from `other`: "0.99 is below 0.99" helps nobody."""
    for digits in range(4, 17):
        if f"{value:.{digits}g}" != f"{other:.{digits}g}":
            return f"{value:.{digits}g}"
    return repr(value)
