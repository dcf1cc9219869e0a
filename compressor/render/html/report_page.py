"""Write the report of a run as a page: what it brought, what it cost, and everything that stands behind it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from compressor.render import figures
from compressor.render.findings import closing, drift_in_short
from compressor.render.html.drift import drift_section
from compressor.render.html.layers import layers_section
from compressor.render.html.markup import Markup, joined, tag
from compressor.render.html.page import page, section
from compressor.render.html.pareto import search_section
from compressor.render.html.steps import deeds_section, passes_section
from compressor.render.html.tables import facts
from compressor.render.scores import score_in_short
from compressor.report import Host, Report


def report_as_html(report: Report) -> str:
    """Write the page of one model."""
    source = report.source.name
    head = heading(source, _way(report.source, report.output), _facts(report), closing(report))
    return page(f"{source}: compressed", head, *notices(report.warnings, report.broken_limits), *body(report))


def body(report: Report) -> list[Markup]:
    """Everything that is known of one model, section by section."""
    last = report.steps[-1].fidelity if report.steps else None
    return [
        passes_section(report),
        layers_section((report.original_layers, report.original), (report.final_layers, report.final)),
        drift_section(last),
        search_section(report.attempts),
        deeds_section(report),
        host_section(report.host, report.samples, report.recipe),
    ]


def heading(title: str, way: str, figures_named: Sequence[tuple[str, str]], verdict: str) -> Markup:
    """Say at the top what it is about, and what came of it."""
    shown = (tag("div", tag("dt", name), tag("dd", value)) for name, value in figures_named)
    return tag(
        "header", tag("p", "compressor", class_="kicker"), tag("h1", title), tag("p", way, class_="way"),
        tag("dl", *shown), tag("p", verdict.replace(" -> ", " → "), class_="verdict"),
    )  # fmt: skip


def notices(warnings: Iterable[str], broken_limits: Iterable[str], undone: Iterable[str] = ()) -> list[Markup]:
    """What was undone or refused, limits that are broken, and what a reader must know before believing the figures."""
    return [
        *(tag("p", text, class_="notice bad") for text in undone),
        *(tag("p", tag("strong", "Limit broken: "), text, class_="notice bad") for text in broken_limits),
        *(tag("p", tag("strong", "Warning: "), text, class_="notice") for text in warnings),
    ]


def host_section(host: Host, samples: str, recipe: str = "") -> Markup:
    """Say what the figures were measured on, and what gives them again."""
    rows = [("processor", host.cpu), ("int8 path", host.int8_path), ("threads", figures.threads(host.threads))]
    rows += [("inputs", samples)] if samples else []
    rows += list(host.versions.items())
    shown = [facts(rows, caption="What the figures were measured on")]
    if recipe:
        shown.append(tag("details", tag("summary", "The recipe that gives this result"), tag("pre", _lines(recipe))))
    return section("How it was measured", *shown)


def _lines(text: str) -> Markup:
    """Keep the line breaks of a text; other control characters are spelled out."""
    return joined(part for line in text.splitlines() for part in (line, Markup("\n")))


def _way(source: Path, output: Path | None) -> str:
    return f"{source} (nothing written)" if output is None else f"{source} → {output}"


def _facts(report: Report) -> list[tuple[str, str]]:
    last = report.steps[-1] if report.steps else None
    named = [
        ("size", f"{figures.size(report.original.total_bytes)} → {figures.size(report.final.total_bytes)}"),
        ("times smaller", figures.times(report.ratio)),
        ("drift", drift_in_short(last.fidelity if last else None)),
    ]
    if report.original_score is not None and last is not None:
        before, after = score_in_short(report.original_score), score_in_short(last.score)
        named.append((report.original_score.metric, f"{before} → {after}"))
    if last is not None and last.speedup is not None:
        named.append(("times as fast", f"{last.speedup:.2f}"))
    return named
