"""Draw the results for one model as a Markdown table with every figure."""

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


def as_markdown(result: Mapping[str, Any]) -> str:
    """One row for the original and one for each contender; MB are 10^6 bytes."""
    lines = [
        f"### {result['model']}",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---|" + "---:|" * (len(COLUMNS) - 1),
    ]
    lines.append(_line("(original)", {}, result["original"]))
    notes = [f"- {name}: skipped, {reason}" for name, reason in result["skipped"].items()]
    for name, row in result["contenders"].items():
        lines.append(_line(name, row["median"], row.get("findings", {})))
        notes += [f"- {name}: {problem}" for problem in problems(row)]
    return "\n".join([*lines, "", *notes, *([""] if notes else [])])


def problems(row: Mapping[str, Any]) -> list[str]:
    """What went wrong with the runs of a contender, or with its result, in words."""
    found = []
    for ending in sorted({_ending(run) for run in row["runs"]} - {""}):
        runs = [run for run in row["runs"] if _ending(run) == ending]
        results = sum(run["left_a_result"] for run in runs)
        words = (runs[0]["last_words"].splitlines() or [""])[-1][:200]
        found.append(f"{len(runs)} of {len(row['runs'])} runs {ending}, {results} left a result: {words or 'no words'}")
    if refused := row.get("findings", {}).get("refused"):
        found.append(f"the result could not be judged: {refused}")
    return found


def speed(findings: Mapping[str, Any]) -> float | None:
    """Time of the original by time of the result."""
    latency = findings.get("latency") or {}
    return latency["original_ms"] / latency["result_ms"] if "result_ms" in latency else None


def _section(model: Mapping[str, Any]) -> Iterator[str]:
    title, table = as_markdown(model).split("\n", 1)
    yield title.removeprefix("#")
    yield f"\n{_circumstances(model)}"
    yield f"\n![the same figures as bars]({plot_name(model['model'])})"
    yield table


def _circumstances(model: Mapping[str, Any]) -> str:
    host, settings = model["host"], model["settings"]
    loads = [run["load_before"] for row in model["contenders"].values() for run in row["runs"]]
    versions = ", ".join(f"{name} {version}" for name, version in host["peers"].items())
    timed = "Timed" if settings["timed"] else "Not timed"
    return (
        f"Rounds: {settings['rounds']}; at most {settings['timeout_seconds']:.0f} s and "
        f"{settings['memory_bytes'] / 1e9:.1f} GB a run. {timed}, load average {min(loads)} to {max(loads)} before a "
        f"run. {host['cpu']} ({', '.join(host['instructions'])}), {host['cores']} cores, {host['system']}; "
        f"compressor {settings['commit']}; {versions}."
    )


def _line(name: str, median: Mapping[str, Any], findings: Mapping[str, Any]) -> str:
    right, padded = findings.get("drift_right_padding", {}), findings.get("drift_any_padding", {})
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
        _number(speed(findings), ".2f"),
        f"{task['right']} / {task['of']}" if (task := findings.get("task")) else "-",
    )
    return "| " + " | ".join(cells) + " |"


def _ending(run: Mapping[str, Any]) -> str:
    if run["timed_out"]:
        return "took too long"
    if run["exit_code"] < 0:
        return f"were ended by signal {-run['exit_code']}"
    return f"ended with exit code {run['exit_code']}" if run["exit_code"] else ""


def _megabytes(count: float | None) -> str:
    return _number(None if count is None else count / 1e6, ".1f")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
