"""Show what became of the model pass by pass: size as a waterfall beside every figure, and what each pass did."""

from __future__ import annotations

from collections.abc import Iterator

from compressor.render import figures
from compressor.render.findings import counts_of, group_skips, steps_with_sizes_before, timing_of
from compressor.render.html.markup import Markup, tag
from compressor.render.html.page import section
from compressor.render.html.tables import Cell, table
from compressor.render.html.waterfall import bars, key
from compressor.render.quantized_weights import quantization_lines
from compressor.render.scores import legend_of, score_of
from compressor.report import Fidelity, Outcome, Report, Size, Step, TaskScore


def passes_section(report: Report) -> Markup:
    """Lay out the model after every pass."""
    sizes = [report.original, *(step.size for step in report.steps)]
    drawn = bars(sizes)
    rows = [_row("original", report.original, None, drawn[0], report)]
    for (step, before), bar in zip(steps_with_sizes_before(report.original, report.steps), drawn[1:], strict=True):
        rows.append(_row(step.name, step.size, (step, before), bar, report))
    score = report.original_score
    scored = [] if score is None else [score.metric]
    columns = ("model after", "what is left", "size", "change", "ratio", "max rel", "cosine", "top-1", *scored,
               *([] if report.original_latency is None else ["one run", "speed"]))  # fmt: skip
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
    return [
        Cell(f"{name} (rolled back)" if is_undone else name, class_="bad" if is_undone else None),
        Cell(bar, size.total_bytes),
        Cell(figures.size(size.total_bytes), size.total_bytes),
        Cell("") if step is None else Cell(figures.relative_change(before.total_bytes, size.total_bytes), change),
        Cell("") if step is None else Cell(f"{figures.times(ratio)}x", ratio),
        *_drift(None if step is None else step.fidelity, is_original=step is None),
        *([] if report.original_score is None else [_score(score)]),
        *([] if report.original_latency is None else _times(report, step)),
    ]


def _drift(fidelity: Fidelity | None, *, is_original: bool) -> list[Cell]:
    if is_original:
        return [Cell("")] * 3
    if fidelity is None or not fidelity.outputs:
        return [Cell(figures.NOT_MEASURED, class_="unknown"), Cell("-"), Cell("-")]
    if fidelity.is_bit_identical:
        return [Cell("bit-identical", 0.0, "good"), Cell("1", 1.0), Cell("100 %", 1.0)]
    cosine, agreement = fidelity.worst_cosine, fidelity.worst_top1_agreement
    return [
        Cell(figures.difference(fidelity.worst_max_rel), fidelity.worst_max_rel),
        Cell("-") if cosine is None else Cell(figures.cosine(cosine), cosine),
        Cell("-") if agreement is None else Cell(figures.agreement(agreement), agreement),
    ]


def _score(score: TaskScore | None) -> Cell:
    if score is None:
        return Cell(figures.NOT_MEASURED, class_="unknown")
    return Cell(" ".join(score_of(score)), score.value, "wrap")


def _times(report: Report, step: Step | None) -> list[Cell]:
    """What one run takes, and how many times as fast as the original that is."""
    latency = report.original_latency if step is None else step.latency
    if latency is None:
        return [Cell(figures.NOT_MEASURED, class_="unknown"), Cell("-")]
    taken = Cell(figures.milliseconds(latency.median_ms), latency.median_ms)
    speed = None if step is None else step.speedup
    return [taken, Cell("") if speed is None else Cell(f"{speed:.2f}x", speed)]


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
