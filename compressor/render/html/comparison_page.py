"""Write a comparison of two models as a page: the verdict, sizes side by side, outputs, checks."""

from __future__ import annotations

from compressor.comparison import Comparison
from compressor.render import figures
from compressor.render.comparison_as_table import verdict_of
from compressor.render.findings import drift_in_short
from compressor.render.html.cells import TIME_COLUMNS, score_cell, size_cell, time_cells
from compressor.render.html.drift import drift_section
from compressor.render.html.layers import layers_section
from compressor.render.html.markup import Markup, tag
from compressor.render.html.page import page, section
from compressor.render.html.report_page import heading, host_section, notices
from compressor.render.html.tables import Cell, table
from compressor.render.html.waterfall import bars, key
from compressor.render.scores import legend_of, score_in_short
from compressor.report import speedup


def comparison_as_html(comparison: Comparison) -> str:
    """Write the page of `comparison`."""
    name = comparison.candidate_path.name
    way = f"{comparison.original_path} against {comparison.candidate_path}"
    return page(
        f"{name}: compared",
        heading(name, way, _facts(comparison), verdict_of(comparison)),
        *notices(comparison.warnings, comparison.broken_limits),
        _sizes(comparison),
        layers_section(
            (comparison.original_layers, comparison.original), (comparison.candidate_layers, comparison.candidate)
        ),
        drift_section(comparison.fidelity),
        _checks(comparison),
        host_section(comparison.host, comparison.samples),
    )


def _facts(comparison: Comparison) -> list[tuple[str, str]]:
    before, after = comparison.original.total_bytes, comparison.candidate.total_bytes
    facts = [
        ("verdict", "valid" if comparison.is_valid else "NOT VALID"),
        ("size", f"{figures.size(before)} → {figures.size(after)}"),
        ("change", figures.relative_change(before, after)),
        ("drift", drift_in_short(comparison.fidelity)),
    ]
    if comparison.original_score is not None:
        scores = (score_in_short(comparison.original_score), score_in_short(comparison.candidate_score))
        facts.append((comparison.original_score.metric, " → ".join(scores)))
    faster = speedup(comparison.original_latency, comparison.candidate_latency)
    return facts if faster is None else [*facts, ("times as fast", f"{faster:.2f}")]


def _sizes(comparison: Comparison) -> Markup:
    score = comparison.original_score
    sizes = (comparison.original, comparison.candidate)
    scores = (score, comparison.candidate_score)
    latencies = (comparison.original_latency, comparison.candidate_latency)
    speeds = (None, speedup(*latencies))
    rows = [
        [
            Cell(name),
            Cell(bar, size.total_bytes),
            size_cell(size.total_bytes),
            size_cell(size.duplicate_bytes),
            *([] if score is None else [score_cell(measured)]),
            *time_cells(latency, speed),
        ]
        for name, size, bar, measured, latency, speed in zip(
            ("original", "candidate"), sizes, bars(sizes), scores, latencies, speeds, strict=True
        )
    ]
    scored = [] if score is None else [score.metric]
    columns = ("model", "what it is made of", "size", "stored twice", *scored, *TIME_COLUMNS)
    notes = [] if score is None else [tag("p", legend_of(score), class_="note")]
    laid_out = table(columns, rows, caption="Size and speed side by side")
    return section("Side by side", laid_out, key(sizes, "less than the original"), *notes)


def _checks(comparison: Comparison) -> Markup:
    rows = [
        [
            Cell(check.claim),
            Cell("holds" if check.holds else "FAILS", class_="good" if check.holds else "bad"),
            Cell(check.finding),
        ]
        for check in comparison.checks
    ]
    return section("Checks", table(("claim", "verdict", "finding"), rows, caption="What was checked"))
