"""Draw the results for one model as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plots import plot_name

COLUMNS = (
    "contender",
    "wall s",
    "CPU s",
    "peak RSS MB",
    "anonymous MB",
    "output MB",
    "copies MB",
    "transposed MB",
    "max rel",
    "max rel, any padding",
    "cosine min",
    "top-1",
    "max rel, compare",
    "speed",
    "right answers",
)


HEAD = """# Results

Made by `benchmarks/run.py`; do not edit. [benchmarks/README.md](../README.md) says what contenders and columns are, and
how this was measured.
"""


def as_page(models: Sequence[Mapping[str, Any]]) -> str:
    """All models, each with its drawing."""
    return "\n".join([HEAD, *(part for model in models for part in _section(model))])


def _section(model: Mapping[str, Any]) -> Iterator[str]:
    host = model["host"]
    versions = ", ".join(f"{name} {version}" for name, version in host["peers"].items())
    title, table = as_markdown(model).split("\n", 1)
    yield title.removeprefix("#")
    yield f"\nRounds: {model['rounds']}. {host['cpu']}, {host['cores']} cores, {host['system']}, {versions}."
    yield f"\n![the same figures as bars]({plot_name(model['model'])})"
    yield table


def as_markdown(result: Mapping[str, Any]) -> str:
    """One row for the original and one for each contender; MB are 10^6 bytes."""
    lines = [
        f"### {result['model']}",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---|" + "---:|" * (len(COLUMNS) - 1),
    ]
    lines.append(_line("(original)", {}, result["original"], {}))
    notes = [f"- {name}: skipped, {reason}" for name, reason in result["skipped"].items()]
    for name, row in result["contenders"].items():
        findings = row.get("findings", {})
        lines.append(_line(name, row["median"], findings, row.get("compare", {})))
        notes += [f"- {name}: {problem}" for problem in _problems(row, findings)]
    return "\n".join([*lines, "", *notes, *([""] if notes else [])])


def _line(name: str, median: Mapping[str, Any], findings: Mapping[str, Any], compared: Mapping[str, Any]) -> str:
    right, padded = findings.get("drift_right_padding", {}), findings.get("drift_any_padding", {})
    latency = findings.get("latency")
    cells = (
        name,
        _number(median.get("wall_seconds"), ".2f"),
        _number(median.get("cpu_seconds"), ".2f"),
        _megabytes(median.get("peak_rss_bytes")),
        _megabytes(median.get("peak_anonymous_bytes")),
        _megabytes(findings.get("total_bytes")),
        _megabytes(findings.get("duplicate_bytes")),
        _megabytes(findings.get("transposed_duplicate_bytes")),
        _number(right.get("max_rel"), ".1e"),
        _number(padded.get("max_rel"), ".1e"),
        _number(padded.get("cosine_min"), ".5f"),
        _number(padded.get("top1"), ".1%"),
        _number(compared.get("max_rel"), ".1e"),
        _number(latency and latency["original_ms"] / latency["result_ms"], ".2f"),
        f"{task['right']} / {task['of']}" if (task := findings.get("task")) else "-",
    )
    return "| " + " | ".join(cells) + " |"


def _problems(row: Mapping[str, Any], findings: Mapping[str, Any]) -> list[str]:
    problems = []
    for code in sorted({run["exit_code"] for run in row["runs"]} - {0}):
        runs = [run for run in row["runs"] if run["exit_code"] == code]
        results = sum(run["left_a_result"] for run in runs)
        words = (runs[0]["last_words"].splitlines() or [""])[-1][:200]
        problems.append(
            f"{len(runs)} of {len(row['runs'])} runs ended with exit code {code}, {results} left a result: {words}"
        )
    if findings.get("refused"):
        problems.append(f"the result could not be judged: {findings['refused']}")
    return problems


def _megabytes(count: float | None) -> str:
    return _number(None if count is None else count / 1e6, ".1f")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
