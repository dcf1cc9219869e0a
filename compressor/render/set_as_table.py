"""Lay out what became of models that belong together: a line a model, and what sharing weights saved."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from compressor.render import figures
from compressor.render.as_table import report_as_table
from compressor.render.findings_of_set import (
    broken_in,
    closing_of_set,
    drift_at_end,
    folder_of,
    rolled_back,
    time_at_end,
    timing_of_set,
    warnings_of_set,
)
from compressor.render.terminal import unwrapped
from compressor.report import Report, SetReport


def set_as_table(found: SetReport, *, verbose: bool = False) -> RenderableType:
    """Lay out `found`; `verbose` puts the whole report of every model before it."""
    # An empty line after each, not padding: that would cut a path that is wider than the terminal.
    whole = [Group(report_as_table(report, verbose=True), Text()) for report in found.reports]
    below: list[RenderableType] = [
        _table(found),
        Text(_legend(found), style="dim"),
        *(
            Text(figures.printable(f"{report.source.name}: {step.name} rolled back: {step.reason}"), style="red")
            for report, step in rolled_back(found)
        ),
        *(Text(f"warning: {figures.printable(text)}", style="yellow") for text in warnings_of_set(found)),
        *(Text(f"limit broken: {figures.printable(text)}", style="red") for text in broken_in(found)),
    ]
    return Group(
        *(whole if verbose else ()),
        _heading(found),
        *(Padding(part, (0, 0, 1, 0)) for part in below),
        Text(figures.printable(closing_of_set(found)), style="bold"),
    )


def _heading(found: SetReport) -> Text:
    models = figures.plural(len(found.reports), "model")
    folder = figures.printable(str(folder_of(found)))
    return unwrapped(f"{models} -> {folder}\n" if found.files else f"{models} of {folder} (nothing written)\n")


def _table(found: SetReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("model", overflow="fold")
    table.add_column("before", justify="right", no_wrap=True)
    table.add_column("after, alone", justify="right", no_wrap=True)
    table.add_column("drift", min_width=15)
    table.add_column("one run", justify="right")
    for report in found.reports:
        table.add_row(*_row(report))
    return table


def _row(report: Report) -> list[Text]:
    return [
        Text(figures.printable(report.source.name)),
        Text(figures.size(report.original.total_bytes)),
        Text(f"{figures.size(report.final.total_bytes)}\n({figures.times(report.ratio)}x)"),
        Text("\n".join(drift_at_end(report))),
        Text("\n".join(time_at_end(report))),
    ]


def _legend(found: SetReport) -> str:
    return (
        f"{figures.SIZE_UNITS}. After, alone: if no weights were shared. In brackets: how many times smaller and "
        "faster than the original. Drift: the worst of all outputs and samples. -v shows every pass.\n"
        f"One run: {timing_of_set(found)}."
    )
