"""Put the facts about models that have nothing to do with each other into the words that every printed form shares."""

from __future__ import annotations

from collections.abc import Iterator

from compressor.render import figures
from compressor.render.findings import gain
from compressor.render.findings_of_set import cost_of_models
from compressor.report import EachReport, Outcome, Report


def written_of(found: EachReport) -> tuple[Report, ...]:
    """Those whose results were written; one that breaks a limit is not."""
    return tuple(report for report in found.reports if report.output is not None)


def bytes_of_written(found: EachReport) -> tuple[int, int]:
    """Bytes of their sources, and of the results."""
    written = written_of(found)
    before, after = (report.original for report in written), (report.final for report in written)
    return sum(size.total_bytes for size in before), sum(size.total_bytes for size in after)


def broken_in_each(found: EachReport) -> Iterator[str]:
    """Yield a sentence for each model that was refused, each step that was undone, and each limit that is broken.

    The last says how many models were not written because of a limit.
    """
    for ending in found.endings:
        name = ending.source.name
        if ending.report is None:
            yield f"{name}: refused: {ending.refusal}"
            continue
        undone = (step for step in ending.report.steps if step.outcome is Outcome.ROLLED_BACK)
        yield from (f"{name}: {step.name} was rolled back: {step.reason}" for step in undone)
        yield from (f"{name}: {sentence}" for sentence in ending.report.broken_limits)
    if held_back := len(found.reports) - len(written_of(found)):
        yield f"{figures.plural(held_back, 'model')} not written; --keep writes the results all the same"


def warnings_of_each(found: EachReport) -> Iterator[str]:
    """Name the model in front of each warning, unless all models give it."""
    reports = found.reports
    common = set.intersection(*(set(report.warnings) for report in reports)) if reports else set()
    yield from (text for text in (reports[0].warnings if reports else ()) if text in common)
    yield from (f"{report.source.name}: {text}" for report in reports for text in report.warnings if text not in common)


def closing_of_each(found: EachReport) -> str:
    """Say what the run brought, and what its figures leave out."""
    written, total = written_of(found), figures.plural(len(found.endings), "model")
    held_back = len(found.reports) - len(written)
    because = f" ({held_back:,} not written, as a limit is broken)" if held_back else ""
    if not written:
        return f"None of {total} was compressed{because}."
    said = [f"{len(written)} of {total} compressed{because}: {gain(*bytes_of_written(found))}", cost_of_models(written)]
    if found.jobs > 1 and any(step.latency for report in written for step in report.steps):
        said.append(f"{found.jobs} models were worked on at a time, so times of runs are those of a busy machine.")
    return " ".join(said)
