"""Say what a pass left alone: counted and weighed on one line, or every candidate under its reason."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from compressor.render import figures
from compressor.render.findings import SkipGroup, group_skips
from compressor.report import Step

HEAVY_SHARE = 0.05
"""Share of the model that must stay as it was for one reason before that reason is given unasked."""


def left_alone(step: Step, *, verbose: bool) -> Iterator[RenderableType]:
    """Yield a line with counts, and below it the reasons that weigh much; with `verbose` all, with every candidate."""
    if not step.skipped:
        return
    groups = group_skips(step.skipped)
    shown = groups if verbose else [group for group in groups if _is_heavy(group, step)]
    weight = sum(skip.weight_bytes for skip in step.skipped)
    total = f"left alone: {figures.plural(len(step.skipped), 'candidate')}{_weighing(weight)}"
    if hidden := len(groups) - len(shown):
        total += f"; -v gives {figures.plural(hidden, 'more reason' if shown else 'reason')}"
    yield Padding(Text(total), (0, 0, 0, 2))
    for group in shown:
        yield Padding(Text(_reason_line(group)), (0, 0, 0, 4))
        if verbose:
            yield from (_candidate_line(skip.candidate, skip.weight_bytes) for skip in group.skips)


def _is_heavy(group: SkipGroup, step: Step) -> bool:
    return group.weight_bytes > 0 and group.weight_bytes >= HEAVY_SHARE * step.size.total_bytes


def _reason_line(group: SkipGroup) -> str:
    weight = f" ({figures.size(group.weight_bytes)})" if group.weight_bytes else ""
    return f"{len(group.skips):,} x {figures.printable(group.reason)}{weight}"


def _candidate_line(candidate: str, weight_bytes: int) -> RenderableType:
    weight = f" ({figures.size(weight_bytes)})" if weight_bytes else ""
    return Padding(Text(f"{figures.printable(candidate)}{weight}", style="dim"), (0, 0, 0, 8))


def _weighing(weight_bytes: int) -> str:
    return f", {figures.size(weight_bytes)} of weights" if weight_bytes else ""
