"""Write the report of several models as a page: a table of all of them, and the whole of each, folded."""

from __future__ import annotations

from collections.abc import Sequence

from compressor.render import figures
from compressor.render.each_as_table import broken_in_each, closing_of_each, warnings_of_each
from compressor.render.findings_of_set import (
    broken_in,
    closing_of_set,
    drift_at_end,
    folder_of,
    rolled_back,
    time_at_end,
    warnings_of_set,
)
from compressor.render.html.markup import Markup, joined, tag
from compressor.render.html.page import page, section
from compressor.render.html.report_page import body, heading, notices
from compressor.render.html.tables import Cell, table
from compressor.render.html.waterfall import bars, key
from compressor.report import EachReport, Report, SetReport


def set_as_html(found: SetReport) -> str:
    """Write the page of models that belong together."""
    folder = folder_of(found)
    facts = [
        ("size", f"{figures.size(found.original_bytes)} → {figures.size(found.total_bytes)}"),
        ("times smaller", figures.times(found.ratio)),
        ("stored once for several", figures.size(found.shared_bytes)),
    ]
    way = f"{figures.plural(len(found.reports), 'model')}{'' if found.files else ' (nothing written)'}"
    undone = [f"{report.source.name}: {step.name} rolled back: {step.reason}" for report, step in rolled_back(found)]
    return page(
        f"{folder.name}: compressed",
        heading(folder.name, way, facts, closing_of_set(found)),
        *notices([*undone, *warnings_of_set(found)], list(broken_in(found))),
        section("The models", _models(found.reports)),
        section("Model by model", *map(_folded, found.reports)),
    )


def each_as_html(found: EachReport) -> str:
    """Write the page of models that have nothing to do with each other."""
    title = f"{len(found.reports)} of {figures.plural(len(found.endings), 'model')} compressed"
    facts = [("size", f"{figures.size(found.original_bytes)} → {figures.size(found.total_bytes)}")]
    return page(
        title,
        heading(title, "each for itself", facts, closing_of_each(found)),
        *notices(warnings_of_each(found), broken_in_each(found)),
        section("The models", _models(found.reports)) if found.reports else Markup(),
        section("Model by model", *map(_folded, found.reports)),
    )


def _models(reports: Sequence[Report]) -> Markup:
    columns = ("model", "what is left", "before", "after, alone", "ratio", "drift", "one run")
    sizes = [size for report in reports for size in (report.original, report.final)]
    note = "After, alone: if no weights were shared. Each bar is to the scale of its own model."
    laid_out = table(columns, [_row(report) for report in reports], caption="The models, before and after")
    return joined((laid_out, key(sizes, "removed"), tag("p", note, class_="note")))


def _row(report: Report) -> list[Cell]:
    before, after = report.original.total_bytes, report.final.total_bytes
    return [
        Cell(report.source.name),
        Cell(bars([report.original, report.final])[1], after),
        Cell(figures.size(before), before),
        Cell(figures.size(after), after),
        Cell(f"{figures.times(report.ratio)}x", report.ratio),
        Cell(", ".join(drift_at_end(report))),
        Cell(" ".join(time_at_end(report))),
    ]


def _folded(report: Report) -> Markup:
    return tag("details", tag("summary", report.source.name), *body(report))
