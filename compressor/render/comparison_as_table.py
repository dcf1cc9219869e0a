"""Lay a comparison out for a terminal: size and speed side by side, what was checked, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from compressor.checks import DEFAULT_ATOL, NO_LOSS, SAME_OPERATORS_ATOL, Check
from compressor.comparison import Comparison
from compressor.render import figures
from compressor.render.composition import largest
from compressor.render.fidelity_as_table import outputs_as_table, worst_as_table
from compressor.render.findings import drift_of, samples_of
from compressor.render.notices import notices
from compressor.render.scores import legend_of, score_of, scores_in_words
from compressor.render.size_bars import BarLegend, SizeBar
from compressor.render.terminal import unwrapped
from compressor.report import Fidelity, Latency, speedup

_TAKEN_UNASKED = (DEFAULT_ATOL, SAME_OPERATORS_ATOL)


def comparison_as_table(comparison: Comparison, *, worst: int = 0) -> RenderableType:
    """Lay out `comparison`, the verdict last; `worst` is how many of the worst samples are named."""
    parts: list[RenderableType] = [
        Group(
            _table(comparison),
            BarLegend((comparison.original, comparison.candidate)),
            Text(_legend(comparison), style="dim"),
        ),
        *_fidelity(comparison.fidelity, worst),
        _checks(comparison.checks),
        *notices(comparison.warnings, comparison.broken_limits),
    ]
    return Group(
        _paths(comparison), *(Padding(part, (0, 0, 1, 0)) for part in parts), Text(verdict_of(comparison), style="bold")
    )


def _paths(comparison: Comparison) -> Text:
    original, candidate = (figures.printable(str(p)) for p in (comparison.original_path, comparison.candidate_path))
    return unwrapped(f"original:  {original}\ncandidate: {candidate}\n")


def _table(comparison: Comparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    columns = list(_columns(comparison))
    for name, cells in columns:
        is_figure = isinstance(cells[0], Text) and bool(name)
        table.add_column(name, justify="right" if is_figure else "left", no_wrap=name == "size")
    for row in zip(*(cells for _, cells in columns), strict=True):
        table.add_row(*row)
    return table


def _columns(comparison: Comparison) -> Iterator[tuple[str, Sequence[RenderableType]]]:
    """Yield what is above each column, and what both models have in it."""
    sizes = (comparison.original, comparison.candidate)
    scores = (comparison.original_score, comparison.candidate_score)
    latencies = (comparison.original_latency, comparison.candidate_latency)
    faster = speedup(*latencies)
    yield "", ("original", "candidate")
    yield "size", [Text(figures.size(size.total_bytes)) for size in sizes]
    yield "", [SizeBar(size, largest(sizes)) for size in sizes]
    yield "stored twice", [Text(figures.size(size.duplicate_bytes)) for size in sizes]
    if scores[0] is not None:
        yield figures.printable(scores[0].metric), [Text("\n".join(score_of(score))) for score in scores]
    yield "one run", [Text(_time(latency)) for latency in latencies]
    if faster is not None:
        yield "speed", (Text(""), Text(f"{faster:.2f}x"))


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
        return f"{found}. Valid: {_kept(comparison)}{basis}."
    return f"{found}. NOT VALID: {_broken(comparison)}."


def _kept(comparison: Comparison) -> str:
    if comparison.is_held_to_its_score:
        return NO_LOSS
    return "every limit holds" if comparison.atol is None else f"no value differs by more than {comparison.atol:g}"


def _broken(comparison: Comparison) -> str:
    if comparison.broken_limits:
        return f"{figures.plural(len(comparison.broken_limits), 'limit')} broken"
    if comparison.is_held_to_its_score:
        return "a loss beyond what chance gives"
    way_out = "; --min-cosine or --labels judge a quantized model" if comparison.atol in _TAKEN_UNASKED else ""
    return f"values differ by more than {comparison.atol:g} (--atol){way_out}"


def _time(latency: Latency | None) -> str:
    return figures.milliseconds(latency.median_ms) if latency else figures.NOT_MEASURED
