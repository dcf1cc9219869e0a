"""Write the part of a model card that says how the model was made: base, passes, size, accuracy, how to repeat it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from compressor.folder.naming import Naming, result_name
from compressor.render import figures
from compressor.render.as_markdown import line, plain
from compressor.render.findings import closing, drift_of, is_on_given_data, place_of
from compressor.render.findings_of_set import broken_in, closing_of_set, folder_of, warnings_of_set
from compressor.render.scores import score_of
from compressor.report import Host, Outcome, Report, SetReport, TaskScore

MARK = "<!-- compressor model card -->"
"""First line of every card; Markdown does not show it, and it tells our files from others."""

_TITLE = "## How this model was made"


def card_of_report(report: Report) -> str:
    """Write the card of one model."""
    made = report.output or Path("(not written)")
    base = (
        f"{plain(report.source.name)} ({figures.size(report.original.total_bytes)}) was compressed to "
        f"{plain(made.name)} ({figures.size(report.final.total_bytes)})."
    )
    parts = [
        f"{_TITLE}\n\n{base}",
        _passes(report),
        plain(closing(report)),
        _basis(report),
        *_cautions(report.warnings, report.broken_limits),
        _repeat(report.recipe, shlex.join([report.source.name, "-o", made.name]), has_data=is_on_given_data(report)),
        _versions(report.host),
    ]
    return _joined(parts)


def card_of_set(found: SetReport) -> str:
    """Write the card of models that belong together; one recipe is shown where they share it."""
    parts = [f"{_TITLE}\n\n{plain(closing_of_set(found))}"]
    for report in found.reports:
        size = f"{figures.size(report.original.total_bytes)}, alone {figures.size(report.final.total_bytes)}"
        parts += [f"### {plain(report.source.name)}\n\n{size}.", _passes(report), _basis(report)]
    parts += _cautions(warnings_of_set(found), list(broken_in(found)))
    for recipe in dict.fromkeys(report.recipe for report in found.reports):
        used = [report.source.name for report in found.reports if report.recipe == recipe]
        if len(used) == len(found.reports):
            used = _arguments(found)
        parts.append(_repeat(recipe, shlex.join(used), has_data=any(map(is_on_given_data, found.reports))))
    return _joined([*parts, _versions(found.reports[0].host)])


def _arguments(found: SetReport) -> list[str]:
    """What to type for all of them at once: the two folders, how results are named, and where weights go."""
    source, out = found.reports[0].source.parent, folder_of(found)
    if source.name == out.name == "onnx":  # where a folder holds no model, those in its `onnx` are taken
        source, out = source.parent, out.parent
    folders = [source.name or ".", "-o", out.name or "."]
    results = [(report.source, report.output.name) for report in found.reports if report.output is not None]
    if any(model.name != name for model, name in results):
        fitting = (naming for naming in Naming if all(result_name(model, naming) == name for model, name in results))
        return [*folders, *(part for naming in fitting for part in ("--naming", naming.value))]
    is_inside = len(found.files) == len(results) > 1
    return [*folders, *(["--no-shared-data"] if is_inside else [])]


def _passes(report: Report) -> str:
    original = report.original_score
    header = ("model after", "size", "drift from the original", *([] if original is None else [plain(original.metric)]))
    rows = [("original", figures.size(report.original.total_bytes), "", *_score(report, original))]
    for step in report.steps:
        undone = " (rolled back)" if step.outcome is Outcome.ROLLED_BACK else ""
        size, drift = figures.size(step.size.total_bytes), ", ".join(drift_of(step.fidelity))
        rows.append((f"{plain(step.name)}{undone}", size, drift, *_score(report, step.score)))
    return "\n".join([line(header), "|" + " --- |" * len(header), *map(line, rows)])


def _score(report: Report, score: TaskScore | None) -> Sequence[str]:
    return () if report.original_score is None else (" ".join(score_of(score)),)


def _basis(report: Report) -> str:
    if all(step.fidelity is None for step in report.steps):
        return "Nothing was run, so nothing is known of its accuracy."
    inputs = report.samples.rstrip(".") or "inputs made from the graph"
    return f"Measured on {plain(inputs)}; {plain(place_of(report.host))}."


def _cautions(warnings: Sequence[str], limits: Sequence[str]) -> list[str]:
    return [
        *(f"**Warning:** {plain(text)}" for text in warnings),
        *(f"**Limit broken:** {plain(text)}" for text in limits),
    ]


def _repeat(recipe: str, arguments: str, *, has_data: bool) -> str:
    """Say how to make it again; the fence is longer than any in the recipe, which may hold a user's patterns."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", recipe)), 3)
    command = figures.printable(f"compressor compress {arguments} --recipe recipe.toml")
    data = " and the same `--data`, which `smooth` learns from" if has_data and '"smooth"' in recipe else ""
    return f"To repeat it, with this as `recipe.toml`{data}:\n\n{fence}toml\n{recipe.strip()}\n{fence}\n\n    {command}"


def _versions(host: Host) -> str:
    return "Made with " + ", ".join(f"{plain(name)} {plain(version)}" for name, version in host.versions.items()) + "."


def _joined(parts: Sequence[str]) -> str:
    return f"{MARK}\n" + "\n\n".join(parts) + "\n"
