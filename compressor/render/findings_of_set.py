"""Put the facts about models that belong together into the words that every printed form shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from compressor.render import figures
from compressor.render.findings import NOTHING_WRITTEN, TIMING_NOISE, drift_of, gain, pace, samples_of, time_of
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
    unwritten = NOTHING_WRITTEN if not found.files and any(broken_in(found)) else ""
    return " ".join(filter(None, (gained, _sharing(found), _beside(found), cost_of_models(found.reports), unwritten)))


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


def cost_of_models(reports: Sequence[Report]) -> str:
    """Say how far the worst output of all models moved, and how many times as fast they run."""
    last = [report.steps[-1] if report.steps else None for report in reports]
    found = [step.fidelity for step in last if step is not None and step.fidelity is not None and step.fidelity.outputs]
    if not found:
        return "Accuracy was not measured: no output was compared with the original's."
    fewest = min(found, key=lambda fidelity: fidelity.samples)
    every = replace(fewest, outputs=tuple(output for fidelity in found for output in fidelity.outputs))
    where = f"on at least {samples_of(fewest)} a model"
    drift = ", ".join(drift_of(every))
    said = f"Outputs are bit-identical {where}" if every.is_bit_identical else f"Outputs {where}, worst case: {drift}"
    if missing := len(last) - len(found):
        said += f"; {figures.plural(missing, 'model')} could not be measured"
    if any(fidelity.generated for fidelity in found):
        said += "; generated inputs are indicative only, real ones decide"
    return f"{said}.{_speed(reports)}"


def _speed(reports: Sequence[Report]) -> str:
    speeds = sorted(speed for report in reports if report.steps and (speed := report.steps[-1].speedup) is not None)
    if not speeds:
        return ""
    if len(speeds) == 1 or max(abs(speed - 1) for speed in speeds) < TIMING_NOISE:
        return f" One run on this host: {pace(speeds[0])}."
    slowest, fastest = f"{speeds[0]:.2f}", f"{speeds[-1]:.2f}"
    span = slowest if slowest == fastest else f"{slowest} to {fastest}"
    return f" One run on this host: {span} times as fast."
