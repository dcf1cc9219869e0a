"""Shorten a report to a Markdown table for a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from compressor.render import figures
from compressor.render.findings import closing, counts_of, drift_of, steps_with_sizes_before, time_of, timing_of
from compressor.render.findings_of_set import (
    broken_in,
    closing_of_set,
    drift_at_end,
    folder_of,
    rolled_back,
    time_at_end,
    timing_of_set,
    warnings_of_set,
)
from compressor.render.scores import score_of
from compressor.report import Latency, Outcome, Report, SetReport, Size, Step, TaskScore

MARK = "<!-- compressor report -->"
"""First line of every report; Markdown does not show it, and it tells our files from others."""

_SPECIAL = str.maketrans({char: f"\\{char}" for char in "\\`*_{}[]<>|#~"})


def report_as_markdown(report: Report) -> str:
    """Write a table with a row a pass, what each did, the warnings and the closing sentences."""
    scored = () if report.original_score is None else (plain(report.original_score.metric),)
    header = ("model after", "size", "ratio", "drift", *scored, "one run (speed-up)", "what was done")
    rows = [
        _original_row(report),
        *(_row(step, before, report) for step, before in steps_with_sizes_before(report.original, report.steps)),
    ]
    parts = [
        f"**{plain(report.source.name)}**",
        "\n".join([line(header), "|" + " --- |" * len(header), *map(line, rows)]),
        *(f"**Warning:** {plain(text)}" for text in report.warnings),
        *(f"**Limit broken:** {plain(text)}" for text in report.broken_limits),
        plain(closing(report)),
        f"<sub>{figures.SIZE_UNITS}; ratio and drift against the original; one run: {plain(timing_of(report))}.</sub>",
    ]
    return f"{MARK}\n" + "\n\n".join(parts) + "\n"


def set_as_markdown(found: SetReport) -> str:
    """Write a table with a row a model, what was rolled back, the warnings and the closing sentences."""
    header = ("model", "before", "after, alone", "ratio", "drift", "one run (speed-up)")
    undone = (f"{report.source.name}: {step.name} rolled back: {step.reason}" for report, step in rolled_back(found))
    parts = [
        f"**{plain(folder_of(found).name)}**",
        "\n".join([line(header), "|" + " --- |" * len(header), *map(line, map(_model_row, found.reports))]),
        *(f"**Warning:** {plain(text)}" for text in (*undone, *warnings_of_set(found))),
        *(f"**Limit broken:** {plain(text)}" for text in broken_in(found)),
        plain(closing_of_set(found)),
        f"<sub>{figures.SIZE_UNITS}; after, alone: if no weights were shared; ratio and drift against the original; "
        f"one run: {plain(timing_of_set(found))}.</sub>",
    ]
    return f"{MARK}\n" + "\n\n".join(parts) + "\n"


def _model_row(report: Report) -> Sequence[str]:
    return (
        plain(report.source.name),
        figures.size(report.original.total_bytes),
        figures.size(report.final.total_bytes),
        f"{figures.times(report.ratio)}x",
        ", ".join(drift_at_end(report)),
        " ".join(time_at_end(report)),
    )


def _original_row(report: Report) -> Sequence[str]:
    size, time = figures.size(report.original.total_bytes), _time(report.original_latency)
    return ("original", size, "", "", *_score(report, report.original_score), time, "")


def _score(report: Report, score: TaskScore | None) -> Sequence[str]:
    return () if report.original_score is None else (" ".join(score_of(score)),)


def _row(step: Step, before: Size, report: Report) -> Sequence[str]:
    left = f"; {figures.plural(len(step.skipped), 'candidate')} left alone" if step.skipped else ""
    name = f"{step.name} (rolled back)" if step.outcome is Outcome.ROLLED_BACK else step.name
    return (
        plain(name),
        figures.size(step.size.total_bytes),
        f"{figures.times(report.original.total_bytes / max(1, step.size.total_bytes))}x",
        ", ".join(drift_of(step.fidelity)),
        *_score(report, step.score),
        " ".join(time_of(step)),
        plain(counts_of(step, before) + left),
    )


def line(cells: Sequence[str]) -> str:
    """Put `cells` into a row of a table."""
    return "| " + " | ".join(cells) + " |"


def _time(latency: Latency | None) -> str:
    return figures.milliseconds(latency.median_ms) if latency else figures.NOT_MEASURED


def plain(text: str) -> str:
    """Keep `text` from being read as Markdown."""
    return figures.printable(text).translate(_SPECIAL)
