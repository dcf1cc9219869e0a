"""Put the facts about models that belong together into the words that every printed form shares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from compressor.render import figures
from compressor.render.findings import drift_of, gain, samples_of, time_of
from compressor.report import Outcome, Report, SetReport, Step


def rolled_back(found: SetReport) -> Iterator[tuple[Report, Step]]:
    """Yield each step that was undone, with the report it is in."""
    for report in found.reports:
        yield from ((report, step) for step in report.steps if step.outcome is Outcome.ROLLED_BACK)


def broken_in(found: SetReport) -> Iterator[str]:
    """Yield a sentence for each broken limit, of the models and of the set."""
    for report in found.reports:
        yield from (f"{report.source.name}: {sentence}" for sentence in report.broken_limits)
    yield from (f"all files together: {sentence}" for sentence in found.broken_limits)


def folder_of(found: SetReport) -> Path:
    """The folder written to; that of the sources where nothing was."""
    return (found.files[0] if found.files else found.reports[0].source).parent


def drift_at_end(report: Report) -> list[str]:
    """Say how far the outputs of the model written are from the original's, one measure a line."""
    return drift_of(report.steps[-1].fidelity if report.steps else None)


def time_at_end(report: Report) -> list[str]:
    """Say how long one run of the model written takes, and how many times as fast as the original that is."""
    return time_of(report.steps[-1]) if report.steps else [figures.NOT_MEASURED]


def timing_of_set(found: SetReport) -> str:
    """Say how runs were timed and on what; every model has inputs of its own."""
    steps = [step for report in found.reports for step in report.steps]
    timed = [taken for step in steps for taken in (step.latency, step.original_latency) if taken is not None]
    if not timed:
        return figures.NOT_MEASURED
    host = found.reports[0].host
    return figures.printable(
        f"median of at least {figures.plural(min(taken.runs for taken in timed), 'run')} in turns with the original; "
        f"{figures.threads(host.threads)}, {host.cpu}; int8 path: {host.int8_path}"
    )


def warnings_of_set(found: SetReport) -> list[str]:
    """Name the model in front of each warning, unless all models give it; then files that were not copied."""
    common = set.intersection(*(set(report.warnings) for report in found.reports))
    own = [f"{r.source.name}: {text}" for r in found.reports for text in r.warnings if text not in common]
    refused = [f"{skip.candidate} was not copied: it {skip.reason}" for skip in found.sidecars_refused]
    return [*(text for text in found.reports[0].warnings if text in common), *own, *refused]


def closing_of_set(found: SetReport) -> str:
    """Say in one paragraph what the run brought, what of it sharing did, and what stands behind the figures."""
    gained = f"All {'models' if found.sidecars else 'files'} together: {gain(found.original_bytes, found.total_bytes)}"
    return " ".join(filter(None, (gained, _sharing(found), _beside(found), _basis(found))))


def _beside(found: SetReport) -> str:
    """Name what was written beside the models."""
    return f"Beside them: {', '.join(path.name for path in found.sidecars)}." if found.sidecars else ""


def _sharing(found: SetReport) -> str:
    if found.files and found.files[-1] in {report.output for report in found.reports}:
        return "" if len(found.reports) == 1 else "Each model holds its own weights."
    if not found.shared_bytes:
        return "No weight is in more than one model."
    saved = figures.size(found.shared_bytes)
    where = f", in {found.files[-1].name}" if found.files else ""
    return f"Weights of several models are stored once{where}: {saved} less than a copy for each."


def _basis(found: SetReport) -> str:
    last = [report.steps[-1].fidelity if report.steps else None for report in found.reports]
    measured = [fidelity for fidelity in last if fidelity is not None and fidelity.outputs]
    if not measured:
        return "Accuracy was not measured: no output was compared with the original's."
    fewest = samples_of(min(measured, key=lambda fidelity: fidelity.samples))
    said = f"Drift was measured on at least {fewest} a model"
    if missing := len(last) - len(measured):
        said = f"Accuracy of {figures.plural(missing, 'model')} was not measured; of the others, on {fewest} or more"
    if any(fidelity.generated for fidelity in measured):
        return f"{said}; generated inputs are indicative only, real ones decide."
    return f"{said}."
