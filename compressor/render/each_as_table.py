"""Lay out what became of models that have nothing to do with each other: a line a model, and why some were refused."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from compressor.render import figures
from compressor.render.as_markdown import MARK, line, plain
from compressor.render.as_table import report_as_table
from compressor.render.findings import place_of
from compressor.render.findings_of_each import broken_in_each, closing_of_each, warnings_of_each
from compressor.render.findings_of_set import drift_at_end, time_at_end
from compressor.render.models_as_table import ModelsTable
from compressor.render.notices import notices
from compressor.render.size_bars import BarLegend
from compressor.report import EachReport, Ending, Report

_HEADER = ("model", "before", "after", "drift", "one run")
_REFUSED = ("", "refused", "", "")


def each_as_table(found: EachReport, *, verbose: bool = False) -> RenderableType:
    """Lay out `found`; `verbose` puts the whole report of every model before it."""
    rows = tuple((ending.source.name, ending.report) for ending in found.endings)
    sizes = tuple(size for report in found.reports for size in (report.original, report.final))
    whole = [Group(report_as_table(report, verbose=True), Text()) for report in found.reports if verbose]
    parts: list[RenderableType] = [
        Group(ModelsTable(rows, "after"), BarLegend(sizes), Text(_legend(found), style="dim")),
        *notices(warnings_of_each(found), (), broken_in_each(found)),
    ]
    return Group(
        *whole,
        *(Padding(part, (0, 0, 1, 0)) for part in parts),
        Text(figures.printable(closing_of_each(found)), style="bold"),
    )


def _legend(found: EachReport) -> str:
    legend = (
        f"{figures.SIZE_UNITS}; bars: what is left of each.\n"
        "Drift: the worst output and sample; x: against the original. -v shows every pass."
    )
    host = next((report.host for report in found.reports), None)
    return legend if host is None else f"{legend}\nOne run: {figures.printable(place_of(host))}."


def each_as_markdown(found: EachReport) -> str:
    """Write a table with a row a model, what is wrong with any of them, and the closing sentence."""
    rows = (tuple(plain(cell).replace("\n", " ") for cell in _row(ending)) for ending in found.endings)
    parts = [
        "\n".join([line(_HEADER), "|" + " --- |" * len(_HEADER), *map(line, rows)]),
        *(f"**Warning:** {plain(text)}" for text in (*broken_in_each(found), *warnings_of_each(found))),
        plain(closing_of_each(found)),
        f"<sub>{figures.SIZE_UNITS}; drift and one run against the original.</sub>",
    ]
    return f"{MARK}\n" + "\n\n".join(parts) + "\n"


def _row(ending: Ending) -> tuple[str, ...]:
    name = figures.printable(ending.source.name)
    return (name, *(_REFUSED if ending.report is None else _figures(ending.report)))


def _figures(report: Report) -> tuple[str, ...]:
    return (
        figures.size(report.original.total_bytes),
        f"{figures.size(report.final.total_bytes)}\n({figures.times(report.ratio)}x)",
        "\n".join(drift_at_end(report)),
        "\n".join(time_at_end(report)),
    )
