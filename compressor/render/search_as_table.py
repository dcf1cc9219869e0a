"""Lay out what a search tried: the smallest first, which are worth having, and which one was kept."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from compressor.render import figures
from compressor.report import Attempt

ROWS_SHOWN = 7
"""Attempts shown before those that are farthest from the chosen one in size are left out."""


def search_as_table(attempts: Sequence[Attempt], *, verbose: bool = False) -> RenderableType:
    """Lay out `attempts`, each with what it is like and whether it keeps the limits; `verbose` shows them all."""
    by_size = sorted(attempts, key=lambda attempt: attempt.total_bytes)
    shown = by_size if verbose else _nearest(by_size)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("tried: weights by scheme")
    for name in ("size", measure_of(attempts), "speed"):
        table.add_column(name, justify="right")
    table.add_column("")
    for attempt in shown:
        table.add_row(*cells(attempt, attempts), style="bold" if attempt.is_chosen else "")
    if len(shown) == len(by_size):
        return table
    return Group(table, Text(f"and {len(by_size) - len(shown)} more, larger or smaller (-v shows all)", style="dim"))


def _nearest(by_size: list[Attempt]) -> list[Attempt]:
    """The chosen attempt, and its neighbours on both sides."""
    chosen = next((at for at, attempt in enumerate(by_size) if attempt.is_chosen), 0)
    start = max(0, min(chosen - ROWS_SHOWN // 2, len(by_size) - ROWS_SHOWN))
    return by_size[start : start + ROWS_SHOWN]


def cells(attempt: Attempt, attempts: Sequence[Attempt]) -> list[Text]:
    """Say of one attempt what it is, its size, quality and speed, and what speaks for or against it."""
    return [
        Text(schemes_of(attempt)),
        Text(figures.size(attempt.total_bytes)),
        Text(quality_of(attempt)),
        Text(f"{attempt.speedup:.2f}x" if attempt.speedup is not None else "-"),
        Text(standing_of(attempt, attempts)),
    ]


def schemes_of(attempt: Attempt) -> str:
    """Say how many weights have which scheme."""
    return ", ".join(f"{count} {scheme}" for scheme, count in sorted(attempt.weights.items())) or "none"


def is_dominated(attempt: Attempt, attempts: Sequence[Attempt]) -> bool:
    """Another one is at least as small, as near to the original and as fast, and better in one of these."""
    own = _merits(attempt)
    others = (_merits(other) for other in attempts if other is not attempt)
    return any(all(a >= b for a, b in zip(other, own, strict=True)) and other != own for other in others)


def _merits(attempt: Attempt) -> tuple[float, float, float]:
    return (-attempt.total_bytes, value_of(attempt), attempt.speedup or 0.0)


def value_of(attempt: Attempt) -> float:
    """How good an attempt is, the more the better: its score, or else its worst cosine; -1 where it does not run."""
    score = attempt.score
    if score is not None:
        return -score.value if score.is_less_better else score.value
    cosine = attempt.fidelity.worst_cosine if attempt.fidelity else None
    return -1.0 if cosine is None else cosine


def measure_of(attempts: Sequence[Attempt]) -> str:
    """Name what `attempts` are judged by."""
    return next((attempt.score.metric for attempt in attempts if attempt.score is not None), "worst cosine")


def quality_of(attempt: Attempt) -> str:
    """Spell what an attempt is judged by."""
    if attempt.score is not None:
        return f"{attempt.score.value:.4f}"
    cosine = attempt.fidelity.worst_cosine if attempt.fidelity else None
    return "-" if cosine is None else figures.cosine(cosine)


def standing_of(attempt: Attempt, attempts: Sequence[Attempt]) -> str:
    """Say what speaks for or against an attempt."""
    if attempt.is_chosen:
        return "chosen"
    if attempt.broken_limits:
        return "breaks a limit" if attempt.fidelity is not None else "does not run"
    return "beaten" if is_dominated(attempt, attempts) else "on the Pareto front"
