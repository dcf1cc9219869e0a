"""Write the report of several models as a page: a table of all of them, and the whole of each, folded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compressor.render import figures
from compressor.render.findings_of_each import (
    broken_in_each,
    bytes_of_written,
    closing_of_each,
    warnings_of_each,
    written_of,
)
from compressor.render.findings_of_set import (
    broken_in,
    closing_of_set,
    folder_of,
    rolled_back,
    warnings_of_set,
)
from compressor.render.html.cells import (
    DRIFT_COLUMNS,
    EMPTY,
    TIME_COLUMNS,
    drift_cells,
    ratio_cell,
    size_cell,
    time_cells,
)
from compressor.render.html.markup import Markup, tag
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
    note = "Alone: as if no weights were shared. Each bar is to the scale of its own model."
    return page(
        f"{folder.name}: compressed",
        heading(folder.name, way, facts, closing_of_set(found)),
        *notices(warnings_of_set(found), broken_in(found), undone),
        _models([(report.source, report) for report in found.reports], "alone", note),
        section("Model by model", *map(_folded, found.reports)),
    )


def each_as_html(found: EachReport) -> str:
    """Write the page of models that have nothing to do with each other."""
    written = written_of(found)
    title = f"{len(written)} of {figures.plural(len(found.endings), 'model')} compressed"
    before, after = bytes_of_written(found)
    facts = [
        ("size", f"{figures.size(before)} → {figures.size(after)}"),
        ("times smaller", figures.times(before / max(1, after))),
    ]
    return page(
        title,
        heading(title, "each for itself", facts if written else [], closing_of_each(found)),
        *notices(warnings_of_each(found), (), broken_in_each(found)),
        _models([(e.source, e.report) for e in found.endings], "after", "Each bar is to the scale of its own model."),
        section("Model by model", *map(_folded, found.reports)),
    )


def _models(models: Sequence[tuple[Path, Report | None]], after: str, note: str) -> Markup:
    reports = [report for _, report in models if report is not None]
    columns = ("model", "what is left", "before", after, "ratio", *DRIFT_COLUMNS, *TIME_COLUMNS)
    rows = [_refused(source, len(columns)) if report is None else _row(report) for source, report in models]
    sizes = [size for report in reports for size in (report.original, report.final)]
    laid_out = table(columns, rows, caption="The models, before and after")
    return section("The models", laid_out, key(sizes, "removed"), tag("p", note, class_="note"))


def _row(report: Report) -> list[Cell]:
    last = report.steps[-1] if report.steps else None
    return [
        Cell(report.source.name),
        Cell(bars([report.original, report.final])[1], report.final.total_bytes),
        size_cell(report.original.total_bytes),
        size_cell(report.final.total_bytes),
        ratio_cell(report.ratio),
        *drift_cells(last.fidelity if last else None),
        *time_cells(last.latency if last else None, last.speedup if last else None),
    ]


def _refused(source: Path, columns: int) -> list[Cell]:
    return [Cell(source.name), Cell("refused", class_="bad"), *[EMPTY] * (columns - 2)]


def _folded(report: Report) -> Markup:
    return tag("details", tag("summary", report.source.name), *body(report))
