"""Lay out the model after every pass: size as figure and bar, drift, score and time, a line each."""

from __future__ import annotations

from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from compressor.render import figures
from compressor.render.composition import largest
from compressor.render.findings import drift_in_short, drift_of
from compressor.render.scores import score_in_short, score_of
from compressor.render.size_bars import SizeBar
from compressor.report import Latency, Outcome, Report, Step

_ROOM_FOR_BARS = 72
"""Columns of a terminal below which figures come first, and bars are left out."""


@dataclass(frozen=True, slots=True)
class PassesTable:
    """A row for the source and one for the model after each pass; `verbose` gives every measure of each."""

    report: Report
    verbose: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        has_bars = options.max_width >= _ROOM_FOR_BARS
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        for name, justify in self._columns():
            if has_bars or name:
                # Where there is room, only the bars give way; where there is not, figures are folded, never cut.
                table.add_column(name, justify=justify, no_wrap=has_bars and bool(name), overflow="fold")
        for row in self._rows():
            table.add_row(*(cell for cell in row if has_bars or not isinstance(cell, SizeBar)))
        yield table

    def _columns(self) -> list[tuple[str, JustifyMethod]]:
        score = self.report.original_score
        scored: list[tuple[str, JustifyMethod]] = [] if score is None else [(figures.printable(score.metric), "right")]
        timed: list[tuple[str, JustifyMethod]] = [("one run", "right"), ("speed", "right")] if self._is_timed else []
        return [
            ("model after", "left"), ("size", "right"), ("ratio", "right"), ("", "left"), ("drift", "left"),
            *scored, *timed,
        ]  # fmt: skip

    @property
    def _is_timed(self) -> bool:
        return self.report.original_latency is not None

    def _rows(self) -> list[list[RenderableType]]:
        report = self.report
        whole = largest([report.original, *(step.size for step in report.steps)])
        score = report.original_score
        scored = [] if score is None else [self._lines(score_in_short(score), score_of(score))]
        timed = [_milliseconds(report.original_latency), Text("")] if self._is_timed else []
        first: list[RenderableType] = [
            Text("original"), Text(figures.size(report.original.total_bytes)), Text(""),
            SizeBar(report.original, whole), Text(""), *scored, *timed,
        ]  # fmt: skip
        return [first, *(self._row(step, whole) for step in report.steps)]

    def _row(self, step: Step, whole: int) -> list[RenderableType]:
        is_undone = step.outcome is Outcome.ROLLED_BACK
        drift = "rolled back" if is_undone else drift_in_short(step.fidelity)
        drifts = (["rolled back"] if is_undone else []) + drift_of(step.fidelity)
        score = self.report.original_score
        scored = [] if score is None else [self._lines(score_in_short(step.score), score_of(step.score))]
        speed = "" if step.speedup is None else f"{step.speedup:.2f}x"
        timed = [_milliseconds(step.latency), Text(speed)] if self._is_timed else []
        total = step.size.total_bytes
        return [
            Text(figures.printable(step.name), style="red" if is_undone else ""),
            Text(figures.size(total)),
            Text(f"{figures.times(self.report.original.total_bytes / max(1, total))}x"),
            SizeBar(step.size, whole),
            self._lines(drift, drifts, style="red" if is_undone else ""),
            *scored,
            *timed,
        ]

    def _lines(self, short: str, long: list[str], style: str = "") -> Text:
        return Text("\n".join(long) if self.verbose else short, style=style)


def _milliseconds(latency: Latency | None) -> Text:
    return Text(figures.milliseconds(latency.median_ms) if latency else figures.NOT_MEASURED)
