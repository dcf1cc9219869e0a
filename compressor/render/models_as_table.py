"""Lay out several models, a line each: what each was, what is left of it, and what that cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from compressor.render import figures
from compressor.render.findings import drift_in_short
from compressor.render.size_bars import Remainder
from compressor.report import Outcome, Report

_ROOM_FOR_BARS = 72
"""Columns of a terminal below which bars are left out, and figures are folded rather than cut."""


@dataclass(frozen=True, slots=True)
class _Column:
    """One column: what is above it, and what each model has in it."""

    name: str
    justify: JustifyMethod
    cell: Callable[[Report], RenderableType]


@dataclass(frozen=True, slots=True)
class ModelsTable:
    """A row for each model.

    Attributes:
        rows: the names of the models, and their reports; None for one that was refused.
        after: what is above the sizes of the results.
    """

    rows: tuple[tuple[str, Report | None], ...]
    after: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        has_room = options.max_width >= _ROOM_FOR_BARS
        columns = self._columns(has_room)
        table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
        table.add_column("model", overflow="fold")
        for column in columns:
            table.add_column(column.name, justify=column.justify, no_wrap=has_room, overflow="fold")
        for name, report in self.rows:
            shown = Text(figures.printable(name))
            if report is not None:
                table.add_row(shown, *(column.cell(report) for column in columns))
                continue
            table.add_row(shown, *(Text("refused" if c.name == self.after else "", style="red") for c in columns))
        yield table

    def _columns(self, has_bars: bool) -> list[_Column]:
        bar = _Column("", "left", lambda report: Remainder(report.original, report.final))
        speed = _Column("speed", "right", lambda report: Text(_speed(report)))
        is_timed = any(_speed(report) for _, report in self.rows if report is not None)
        return [
            _Column("before", "right", lambda report: Text(figures.size(report.original.total_bytes))),
            _Column(self.after, "right", lambda report: Text(figures.size(report.final.total_bytes))),
            _Column("ratio", "right", lambda report: Text(f"{figures.times(report.ratio)}x")),
            *([bar] if has_bars else []),
            _Column("drift", "left", _drift),
            *([speed] if is_timed else []),
        ]


def _drift(report: Report) -> Text:
    drift = drift_in_short(report.steps[-1].fidelity if report.steps else None)
    wrong = [f"{step.name} rolled back" for step in report.steps if step.outcome is Outcome.ROLLED_BACK]
    wrong += ["breaks a limit"] if report.broken_limits else []
    return Text("\n".join((drift, *wrong)), style="red" if wrong else "")


def _speed(report: Report) -> str:
    speedup = report.steps[-1].speedup if report.steps else None
    return "" if speedup is None else f"{speedup:.2f}x"
