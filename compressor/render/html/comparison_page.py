"""Write a comparison of two models as a page: the verdict, sizes side by side, outputs, checks."""

from __future__ import annotations

from compressor.comparison import Comparison
from compressor.render import figures
from compressor.render.comparison_as_table import verdict_of
from compressor.render.findings import drift_in_short
from compressor.render.html.drift import drift_section
from compressor.render.html.layers import layers_section
from compressor.render.html.markup import Markup, tag
from compressor.render.html.page import page, section
from compressor.render.html.report_page import heading, host_section, notices
from compressor.render.html.tables import Cell, table
from compressor.render.html.waterfall import bars, key
from compressor.render.scores import legend_of, score_of


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
    return [
        ("verdict", "valid" if comparison.is_valid else "NOT VALID"),
        ("size", f"{figures.size(before)} → {figures.size(after)}"),
        ("change", figures.relative_change(before, after)),
        ("drift", drift_in_short(comparison.fidelity)),
    ]


def _sizes(comparison: Comparison) -> Markup:
    score = comparison.original_score
    sizes = [comparison.original, comparison.candidate]
    rows = []
    for name, size, bar, measured, latency in zip(
        ("original", "candidate"),
        sizes,
        bars(sizes),
        (score, comparison.candidate_score),
        (comparison.original_latency, comparison.candidate_latency),
        strict=True,
    ):
        scored = [] if score is None else [Cell(" ".join(score_of(measured)), measured.value if measured else None)]
        timed = Cell(figures.NOT_MEASURED)
        if latency is not None:
            timed = Cell(figures.milliseconds(latency.median_ms), latency.median_ms)
        rows.append(
            [
                Cell(name),
                Cell(bar, size.total_bytes),
                Cell(figures.size(size.total_bytes), size.total_bytes),
                Cell(figures.size(size.duplicate_bytes), size.duplicate_bytes),
                *scored,
                timed,
            ]
        )
    columns = ("model", "what it is made of", "size", "stored twice", *([score.metric] if score else []), "one run")
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
