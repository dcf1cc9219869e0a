"""Lay out what became of models that have nothing to do with each other: a line a model, and why some were refused."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from compressor.render import figures
from compressor.render.as_markdown import MARK, line, plain
from compressor.render.as_table import report_as_table
from compressor.render.findings import gain
from compressor.render.findings_of_set import drift_at_end, time_at_end
from compressor.report import EachReport, Ending, Outcome, Report

_HEADER = ("model", "before", "after", "drift", "one run")
_REFUSED = ("", "refused", "", "")


def each_as_table(found: EachReport, *, verbose: bool = False) -> RenderableType:
    """Lay out `found`; `verbose` puts the whole report of every model before it."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for name in _HEADER:
        table.add_column(name, overflow="fold", justify="left" if name in ("model", "drift") else "right")
    for ending in found.endings:
        table.add_row(*map(Text, _row(ending)))
    whole = [Group(report_as_table(report, verbose=True), Text()) for report in found.reports if verbose]
    parts: list[RenderableType] = [
        table,
        *(Text(figures.printable(text), style="red") for text in broken_in_each(found)),
        *(Text(f"warning: {figures.printable(text)}", style="yellow") for text in warnings_of_each(found)),
    ]
    return Group(
        *whole,
        *(Padding(part, (0, 0, 1, 0)) for part in parts),
        Text(figures.printable(closing_of_each(found)), style="bold"),
    )


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


def broken_in_each(found: EachReport) -> Iterator[str]:
    """Yield a sentence for each model that was refused, each step that was undone, and each limit that is broken."""
    for ending in found.endings:
        name = ending.source.name
        if ending.report is None:
            yield f"{name}: refused: {ending.refusal}"
            continue
        undone = (step for step in ending.report.steps if step.outcome is Outcome.ROLLED_BACK)
        yield from (f"{name}: {step.name} was rolled back: {step.reason}" for step in undone)
        yield from (f"{name}: {sentence}" for sentence in ending.report.broken_limits)
        if ending.report.broken_limits and ending.report.output is None:
            yield f"{name}: nothing was written; --keep writes the result all the same"


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


def warnings_of_each(found: EachReport) -> Iterator[str]:
    """Name the model in front of each warning, unless all models give it."""
    reports = found.reports
    common = set.intersection(*(set(report.warnings) for report in reports)) if reports else set()
    yield from (text for text in (reports[0].warnings if reports else ()) if text in common)
    yield from (f"{report.source.name}: {text}" for report in reports for text in report.warnings if text not in common)


def closing_of_each(found: EachReport) -> str:
    """Say what the run brought, and what its figures leave out."""
    done, total = len(found.reports), figures.plural(len(found.endings), "model")
    said = [f"{done} of {total} compressed: {gain(found.original_bytes, found.total_bytes)}" if done else
            f"None of {total} was compressed."]  # fmt: skip
    if found.jobs > 1 and any(step.latency for report in found.reports for step in report.steps):
        said.append(f"{found.jobs} models were worked on at a time, so times of runs are those of a busy machine.")
    if any(step.fidelity is not None and step.fidelity.generated for r in found.reports for step in r.steps):
        said.append("Generated inputs are indicative only, real ones decide.")
    return " ".join(said)
