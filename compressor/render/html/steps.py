"""Show what became of the model pass by pass: size as a waterfall beside every figure, and what each pass did."""

from __future__ import annotations

from collections.abc import Iterator

from compressor.render import figures
from compressor.render.findings import counts_of, group_skips, steps_with_sizes_before, timing_of
from compressor.render.html.cells import (
    DRIFT_COLUMNS,
    EMPTY,
    TIME_COLUMNS,
    drift_cells,
    ratio_cell,
    score_cell,
    size_cell,
    time_cells,
)
from compressor.render.html.markup import Markup, tag
from compressor.render.html.page import section
from compressor.render.html.tables import Cell, table
from compressor.render.html.waterfall import bars, key
from compressor.render.quantized_weights import quantization_lines
from compressor.render.scores import legend_of
from compressor.report import Outcome, Report, Size, Step


def passes_section(report: Report) -> Markup:
    """Lay out the model after every pass."""
    sizes = [report.original, *(step.size for step in report.steps)]
    drawn = bars(sizes)
    rows = [_row("original", report.original, None, drawn[0], report)]
    for (step, before), bar in zip(steps_with_sizes_before(report.original, report.steps), drawn[1:], strict=True):
        rows.append(_row(step.name, step.size, (step, before), bar, report))
    score = report.original_score
    scored = [] if score is None else [score.metric]
    columns = ("model after", "what is left", "size", "change", "ratio", *DRIFT_COLUMNS, *scored,
               *([] if report.original_latency is None else TIME_COLUMNS))  # fmt: skip
    notes = [
        f"{figures.SIZE_UNITS}. Change: against the model before the pass. Ratio and speed: how many times smaller and "
        "faster than the original. Max rel, cosine, top-1: the worst of all outputs and samples."
    ]
    notes += [] if score is None else [legend_of(score)]
    notes.append(f"One run: {timing_of(report)}.")
    laid_out = table(columns, rows, caption="The model after every pass")
    return section(
        "Pass by pass", laid_out, key(sizes, "removed by the pass"), *(tag("p", n, class_="note") for n in notes)
    )


def deeds_section(report: Report) -> Markup:
    """Say what each pass did and what it left alone, reason by reason."""
    steps = steps_with_sizes_before(report.original, report.steps)
    return section("What each pass did", *(part for step, before in steps for part in _deeds(step, before)))


def _row(name: str, size: Size, done: tuple[Step, Size] | None, bar: Markup, report: Report) -> list[Cell]:
    step, before = done if done is not None else (None, size)
    is_undone = step is not None and step.outcome is Outcome.ROLLED_BACK
    ratio = report.original.total_bytes / max(1, size.total_bytes)
    score = report.original_score if step is None else step.score
    change = size.total_bytes - before.total_bytes
    timed = time_cells(report.original_latency, None) if step is None else time_cells(step.latency, step.speedup)
    return [
        Cell(f"{name} (rolled back)" if is_undone else name, class_="bad" if is_undone else None),
        Cell(bar, size.total_bytes),
        size_cell(size.total_bytes),
        EMPTY if step is None else Cell(figures.relative_change(before.total_bytes, size.total_bytes), change),
        EMPTY if step is None else ratio_cell(ratio),
        *([EMPTY] * len(DRIFT_COLUMNS) if step is None else drift_cells(step.fidelity)),
        *([] if report.original_score is None else [score_cell(score)]),
        *([] if report.original_latency is None else timed),
    ]


def _deeds(step: Step, before: Size) -> Iterator[Markup]:
    undone = step.outcome is Outcome.ROLLED_BACK
    yield tag("h3", step.name, " ", tag("small", f"in {figures.seconds(step.seconds)}", class_="note"))
    yield tag("p", counts_of(step, before), class_="bad" if undone else None)
    lines = list(quantization_lines(step, verbose=False))
    yield from (tag("p", line) for line in lines)
    if step.quantization is not None and step.quantization.worst:
        rows = [
            [Cell(noise.name), Cell(figures.size(noise.weight_bytes), noise.weight_bytes),
             Cell(f"{noise.sqnr_db:.1f}", noise.sqnr_db)]
            for noise in step.quantization.worst
        ]  # fmt: skip
        yield tag(
            "details", tag("summary", "The weights with the most noise"),
            table(("weight", "in float", "SQNR, dB"), rows, caption=f"{step.name}: weights with the most noise"),
        )  # fmt: skip
    if step.skipped:
        yield _left_alone(step)


def _left_alone(step: Step) -> Markup:
    weight = sum(skip.weight_bytes for skip in step.skipped)
    weighing = f", {figures.size(weight)} of weights" if weight else ""
    rows = [
        [
            Cell(group.reason),
            Cell(f"{len(group.skips):,}", len(group.skips)),
            Cell(figures.size(group.weight_bytes), group.weight_bytes),
            Cell(group.skips[0].candidate),
        ]
        for group in group_skips(step.skipped)
    ]
    said = f"Left alone: {figures.plural(len(step.skipped), 'candidate')}{weighing}"
    columns = ("reason", "candidates", "weights", "for example")
    laid_out = table(columns, rows, caption=f"{step.name}: what was left alone")
    return tag("details", tag("summary", said), laid_out)
