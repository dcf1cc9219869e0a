"""Lay out what became of models that belong together: a line a model, and what sharing weights saved."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from compressor.render import figures
from compressor.render.as_table import report_as_table
from compressor.render.findings_of_set import (
    broken_in,
    closing_of_set,
    folder_of,
    rolled_back,
    timing_of_set,
    warnings_of_set,
)
from compressor.render.models_as_table import ModelsTable
from compressor.render.notices import notices
from compressor.render.size_bars import BarLegend
from compressor.render.terminal import unwrapped
from compressor.report import SetReport


def set_as_table(found: SetReport, *, verbose: bool = False) -> RenderableType:
    """Lay out `found`; `verbose` puts the whole report of every model before it."""
    # An empty line after each, not padding: that would cut a path that is wider than the terminal.
    whole = [Group(report_as_table(report, verbose=True), Text()) for report in found.reports]
    rows = tuple((report.source.name, report) for report in found.reports)
    sizes = tuple(size for report in found.reports for size in (report.original, report.final))
    undone = (f"{report.source.name}: {step.name} rolled back: {step.reason}" for report, step in rolled_back(found))
    below: list[RenderableType] = [
        Group(ModelsTable(rows, "alone"), BarLegend(sizes), Text(_legend(found), style="dim")),
        *notices(warnings_of_set(found), broken_in(found), undone),
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


def _legend(found: SetReport) -> str:
    return (
        f"{figures.SIZE_UNITS}; alone: as if nothing were shared; bars: what is left.\n"
        "Drift: the worst output and sample; x: against the original. -v shows every pass.\n"
        f"One run: {timing_of_set(found)}."
    )
