"""Lay a report out for one screen of a terminal: a line a pass, what each did, and what it all cost."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from compressor.render import figures
from compressor.render.fidelity_as_table import outputs_as_table, worst_as_table
from compressor.render.findings import (
    closing,
    counts_of,
    is_on_given_data,
    place_of,
    steps_with_sizes_before,
    timing_of,
)
from compressor.render.left_alone import left_alone
from compressor.render.notices import notices
from compressor.render.passes_as_table import PassesTable
from compressor.render.quantized_weights import quantization_lines
from compressor.render.scores import legend_of
from compressor.render.search_as_table import search_as_table
from compressor.render.size_bars import BarLegend
from compressor.render.terminal import unwrapped
from compressor.report import Host, Outcome, Report, Size, Step


def report_as_table(report: Report, *, verbose: bool = False, worst: int = 0) -> RenderableType:
    """Lay out `report`.

    Args:
        report: what became of a model.
        verbose: unfold every measure of every pass and output, every candidate that was left alone, how all of it was
            measured, and the host's versions.
        worst: how many of the samples that fared worst are named.
    """
    sizes = (report.original, *(step.size for step in report.steps))
    parts: list[RenderableType] = [Group(PassesTable(report, verbose), BarLegend(sizes), _legend(report, verbose))]
    notes = [
        _step_notes(step, before, verbose) for step, before in steps_with_sizes_before(report.original, report.steps)
    ]
    parts += notes if verbose else [Group(*notes)]
    if report.attempts:
        parts.append(search_as_table(report.attempts, verbose=verbose))
    parts += _fidelity(report, verbose, worst)
    parts += notices(report.warnings, report.broken_limits)
    return Group(
        _heading(report), *(Padding(part, (0, 0, 1, 0)) for part in parts), Text(closing(report), style="bold")
    )


def _heading(report: Report) -> Text:
    source = figures.printable(str(report.source))
    if report.output is None:
        return unwrapped(f"{source} (nothing written)\n")
    return unwrapped(f"{source} -> {figures.printable(str(report.output))}\n")


def _legend(report: Report, verbose: bool) -> Text:
    lines = [f"{figures.SIZE_UNITS}; x: against the original; drift: worst output and sample."]
    if report.original_score is not None and verbose:
        lines.append(legend_of(report.original_score))
    if is_on_given_data(report):
        lines.append(f"Inputs: {figures.printable(report.samples)}.")
    if verbose:
        lines += [f"One run: {timing_of(report)}.", _versions(report.host)]
    else:
        place = f"{place_of(report.host)}. Speed: in turns with the original"
        lines.append(
            f"One run: {figures.NOT_MEASURED if report.original_latency is None else figures.printable(place)}."
        )
    return Text("\n".join(lines), style="dim")


def _step_notes(step: Step, before: Size, verbose: bool) -> RenderableType:
    style = "red" if step.outcome is Outcome.ROLLED_BACK else ""
    taken = f" ({figures.seconds(step.seconds)})" if verbose and step.seconds else ""
    said = Text.assemble((f"{figures.printable(step.name)}{taken}: ", "bold"), (counts_of(step, before), style))
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


def _versions(host: Host) -> str:
    return ", ".join(f"{name} {version}" for name, version in host.versions.items())
