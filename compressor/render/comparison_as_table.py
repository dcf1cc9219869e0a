"""Lay a comparison out for a terminal: size and speed side by side, what was checked, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from compressor.comparison import Check, Comparison
from compressor.render import figures
from compressor.render.fidelity_as_table import outputs_as_table, worst_as_table
from compressor.render.findings import drift_of, samples_of
from compressor.render.scores import legend_of, score_of, scores_in_words
from compressor.render.terminal import unwrapped
from compressor.report import Fidelity, Latency


def comparison_as_table(comparison: Comparison, *, worst: int = 0) -> RenderableType:
    """Lay out `comparison`, the verdict last; `worst` is how many of the worst samples are named."""
    parts: list[RenderableType] = [
        _table(comparison),
        Text(_legend(comparison), style="dim"),
        *_fidelity(comparison.fidelity, worst),
        _checks(comparison.checks),
        *(Text(f"warning: {figures.printable(text)}", style="yellow") for text in comparison.warnings),
        *(Text(f"limit broken: {figures.printable(text)}", style="red") for text in comparison.broken_limits),
    ]
    return Group(
        _paths(comparison), *(Padding(part, (0, 0, 1, 0)) for part in parts), Text(verdict_of(comparison), style="bold")
    )


def _paths(comparison: Comparison) -> Text:
    original, candidate = (figures.printable(str(p)) for p in (comparison.original_path, comparison.candidate_path))
    return unwrapped(f"original:  {original}\ncandidate: {candidate}\n")


def _table(comparison: Comparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("")
    metric = comparison.original_score
    for name in ("size", "stored twice", *([] if metric is None else [figures.printable(metric.metric)]), "one run"):
        table.add_column(name, justify="right")
    for name, size, score, latency in (
        ("original", comparison.original, comparison.original_score, comparison.original_latency),
        ("candidate", comparison.candidate, comparison.candidate_score, comparison.candidate_latency),
    ):
        scored = [] if metric is None else ["\n".join(score_of(score))]
        cells = (figures.size(size.total_bytes), figures.size(size.duplicate_bytes), *scored, _time(latency))
        table.add_row(name, *map(Text, cells))
    return table


def _legend(comparison: Comparison) -> str:
    lines = [f"{figures.SIZE_UNITS}."]
    latency = comparison.original_latency
    if latency is not None:
        lines.append(
            f"One run: median of {latency.runs}, {figures.printable(latency.shape)}, "
            f"{figures.threads(comparison.host.threads)}, {figures.printable(comparison.host.cpu)}; "
            f"int8 path: {figures.printable(comparison.host.int8_path)}."
        )
    if comparison.original_score is not None:
        lines.append(legend_of(comparison.original_score))
    if comparison.samples:
        lines.append(f"Inputs: {figures.printable(comparison.samples)}.")
    return "\n".join(lines)


def _fidelity(fidelity: Fidelity | None, worst: int) -> Iterator[RenderableType]:
    if fidelity is None or not fidelity.outputs:
        return
    yield outputs_as_table(fidelity)
    if worst:
        yield worst_as_table(fidelity, worst)


def _checks(checks: Sequence[Check]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    for check in checks:
        mark = Text("ok", style="green") if check.holds else Text("FAIL", style="red")
        table.add_row(mark, Text(f"{figures.printable(check.claim)}: {figures.printable(check.finding)}"))
    return table


def verdict_of(comparison: Comparison) -> str:
    """Say in one paragraph how the candidate compares, and whether it is valid."""
    before, after = comparison.original.total_bytes, comparison.candidate.total_bytes
    sizes = f"{figures.size(before)} against {figures.size(after)} ({figures.relative_change(before, after)})"
    if comparison.fidelity is None:
        return f"{sizes}. NOT VALID: the outputs could not be compared."
    drift = ", ".join(drift_of(comparison.fidelity))
    found = f"{sizes}; outputs on {samples_of(comparison.fidelity)}: {drift}"
    if comparison.original_score is not None and comparison.candidate_score is not None:
        found += f". {scores_in_words(comparison.original_score, comparison.candidate_score).removesuffix('.')}"
    basis = "; generated inputs are indicative only" if comparison.fidelity.generated else ""
    if comparison.is_valid:
        kept = "every limit holds" if comparison.atol is None else f"no value differs by more than {comparison.atol:g}"
        return f"{found}. Valid: {kept}{basis}."
    if comparison.broken_limits:
        return f"{found}. NOT VALID: {figures.plural(len(comparison.broken_limits), 'limit')} broken."
    return f"{found}. NOT VALID: values differ by more than {comparison.atol:g} (--atol)."


def _time(latency: Latency | None) -> str:
    return figures.milliseconds(latency.median_ms) if latency else figures.NOT_MEASURED
