"""Lay a report out for a terminal: one table, what each pass did and left alone, and what it all cost."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from compressor.render import figures
from compressor.render.fidelity_as_table import outputs_as_table, worst_as_table
from compressor.render.findings import (
    SkipGroup,
    closing,
    counts_of,
    drift_of,
    group_skips,
    is_on_given_data,
    steps_with_sizes_before,
    time_of,
    timing_of,
)
from compressor.render.quantized_weights import quantization_lines
from compressor.render.scores import legend_of, score_of
from compressor.render.search_as_table import search_as_table
from compressor.render.terminal import unwrapped
from compressor.report import Host, Latency, Outcome, Report, Size, Step

REASONS_SHOWN = 6
"""Reasons a pass gives before the rest is only counted; a reader who wants all asks for them."""


def report_as_table(report: Report, *, verbose: bool = False, worst: int = 0) -> RenderableType:
    """Lay out `report`.

    Args:
        report: what became of a model.
        verbose: unfold every candidate that was left alone, every measure of every output, and the host's versions.
        worst: how many of the samples that fared worst are named.
    """
    parts: list[RenderableType] = [_table(report), _legend(report, verbose)]
    parts += [
        _step_notes(step, before, verbose) for step, before in steps_with_sizes_before(report.original, report.steps)
    ]
    if report.attempts:
        parts.append(search_as_table(report.attempts))
    parts += _fidelity(report, verbose, worst)
    parts += [Text(f"warning: {figures.printable(text)}", style="yellow") for text in report.warnings]
    parts += [Text(f"limit broken: {figures.printable(text)}", style="red") for text in report.broken_limits]
    return Group(
        _heading(report), *(Padding(part, (0, 0, 1, 0)) for part in parts), Text(closing(report), style="bold")
    )


def left_alone(step: Step, *, verbose: bool) -> Iterator[RenderableType]:
    """Yield a line a reason, grouped and weighed; with `verbose` every candidate under it."""
    if not step.skipped:
        return
    groups = group_skips(step.skipped)
    shown = groups if verbose else groups[:REASONS_SHOWN]
    weight = sum(skip.weight_bytes for skip in step.skipped)
    total = f"left alone: {figures.plural(len(step.skipped), 'candidate')}{_weighing(weight)}"
    yield Padding(Text(total), (0, 0, 0, 2))
    for group in shown:
        yield Padding(Text(_reason_line(group)), (0, 0, 0, 4))
        if verbose:
            yield from (_candidate_line(skip.candidate, skip.weight_bytes) for skip in group.skips)
    if hidden := len(groups) - len(shown):
        yield Padding(Text(f"and {figures.plural(hidden, 'more reason')} (-v shows all)", style="dim"), (0, 0, 0, 4))


def _heading(report: Report) -> Text:
    source = figures.printable(str(report.source))
    if report.output is None:
        return unwrapped(f"{source} (nothing written)\n")
    return unwrapped(f"{source} -> {figures.printable(str(report.output))}\n")


def _table(report: Report) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("model after")
    table.add_column("size", justify="right")
    table.add_column("change", justify="right")
    table.add_column("drift", min_width=15)
    score = report.original_score
    if score is not None:
        table.add_column(figures.printable(score.metric), justify="right")
    table.add_column("one run", justify="right")
    table.add_column("pass", justify="right")
    table.add_row(*_first_row(report))
    for step, before in steps_with_sizes_before(report.original, report.steps):
        table.add_row(*_row(step, before, report))
    return table


def _first_row(report: Report) -> list[Text]:
    scored = [] if report.original_score is None else ["\n".join(score_of(report.original_score))]
    size, time = figures.size(report.original.total_bytes), _time(report.original_latency)
    return [Text(cell) for cell in ("original", size, "", "", *scored, time, "")]


def _row(step: Step, before: Size, report: Report) -> list[Text]:
    old, new = before.total_bytes, step.size.total_bytes
    style = "red" if step.outcome is Outcome.ROLLED_BACK else ""
    name = figures.printable(step.name) + ("\n(rolled back)" if step.outcome is Outcome.ROLLED_BACK else "")
    change = f"{figures.size_change(old, new)}\n{figures.relative_change(old, new)}" if old != new else "none"
    ratio = figures.times(report.original.total_bytes / max(1, new))
    scored = [] if report.original_score is None else [Text("\n".join(score_of(step.score)))]
    return [
        Text(name, style=style),
        Text(f"{figures.size(new)}\n({ratio}x)"),
        Text(change),
        Text("\n".join(drift_of(step.fidelity))),
        *scored,
        Text("\n".join(time_of(step))),
        Text(figures.seconds(step.seconds)),
    ]


def _legend(report: Report, verbose: bool) -> Text:
    lines = [
        f"{figures.SIZE_UNITS}. Change: against the row above. In brackets: how many times smaller and faster than "
        "the original. Drift: the worst of all outputs and samples."
    ]
    if report.original_score is not None:
        lines.append(legend_of(report.original_score))
    if is_on_given_data(report):
        lines.append(f"Inputs: {figures.printable(report.samples)}.")
    lines.append(f"One run: {timing_of(report)}.")
    if verbose:
        lines.append(_versions(report.host))
    return Text("\n".join(lines), style="dim")


def _step_notes(step: Step, before: Size, verbose: bool) -> RenderableType:
    style = "red" if step.outcome is Outcome.ROLLED_BACK else ""
    said = Text.assemble((f"{figures.printable(step.name)}: ", "bold"), (counts_of(step, before), style))
    weights = (Padding(Text(line), (0, 0, 0, 2)) for line in quantization_lines(step, verbose=verbose))
    return Group(said, *weights, *left_alone(step, verbose=verbose))


def _fidelity(report: Report, verbose: bool, worst: int) -> Iterator[RenderableType]:
    """Every measure of the result, for those who ask."""
    fidelity = report.steps[-1].fidelity if report.steps else None
    if fidelity is None or not fidelity.outputs:
        return
    if verbose:
        yield outputs_as_table(fidelity)
    if worst:
        yield worst_as_table(fidelity, worst)


def _reason_line(group: SkipGroup) -> str:
    weight = f" ({figures.size(group.weight_bytes)})" if group.weight_bytes else ""
    return f"{len(group.skips):,} x {figures.printable(group.reason)}{weight}"


def _candidate_line(candidate: str, weight_bytes: int) -> RenderableType:
    return Padding(Text(f"{figures.printable(candidate)}{_weighing(weight_bytes)}", style="dim"), (0, 0, 0, 8))


def _weighing(weight_bytes: int) -> str:
    return f", {figures.size(weight_bytes)} of weights" if weight_bytes else ""


def _time(latency: Latency | None) -> str:
    return figures.milliseconds(latency.median_ms) if latency else figures.NOT_MEASURED


def _versions(host: Host) -> str:
    return ", ".join(f"{name} {version}" for name, version in host.versions.items())
