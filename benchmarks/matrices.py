"""Set contenders against models, a table for each question: size, drift, right answers, memory, time, speed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tables import problems, speed

Row = Mapping[str, Any]
Cell = Callable[[Row], str]

NOTHING = ""
"""Stands where nothing was measured."""


def as_short_tables(models: Sequence[Mapping[str, Any]]) -> str:
    """All tables and what went wrong; a model that was not timed has no column among the times."""
    timed = [model for model in models if model["settings"]["timed"]]
    judged = [model for model in models if model["settings"].get("judged", True)]
    parts = [
        *_table("Result, MB; in brackets, what is stored twice, copied or transposed", models, _size),
        *_table("Drift: largest difference / largest value, any padding", judged, _drift),
        *_table("Right answers", [model for model in models if model["original"].get("task")], _right_answers),
        *_table("Peak memory (RSS), MB", models, _memory),
        *_table("Wall time, s", timed, _wall_time),
        *_table("Speed of the result: time of the original / its time", timed, _speed),
        *_circumstances(models),
        *_notes(models),
    ]
    return "\n".join(parts)


def _table(title: str, models: Sequence[Mapping[str, Any]], cell: Cell) -> Iterator[str]:
    if not models:
        return
    yield f"**{title}**\n"
    yield f"| | {' | '.join(_short(model['model']) for model in models)} |"
    yield f"|---|{'---:|' * len(models)}"
    originals = [cell({"findings": model["original"], "median": {}, "runs": []}) for model in models]
    if any(originals):
        yield f"| (original) | {' | '.join(originals)} |"
    for name in _names(models):
        rows = [model["contenders"].get(name) for model in models]
        cells = [cell(row) if row else NOTHING for row in rows]
        cells = ["✗" if row and not row.get("findings") else text for row, text in zip(rows, cells, strict=True)]
        if any(cells):
            yield f"| {name} | {' | '.join(cells)} |"
    yield ""


def _names(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """All contenders in the order of the model that has most of them."""
    longest = max(models, key=lambda model: len(model["contenders"]))
    others = (name for model in models for name in model["contenders"])
    return list(dict.fromkeys([*longest["contenders"], *others]))


def _short(model: str) -> str:
    return model.removesuffix(".onnx").replace(".", " ")


def _size(row: Row) -> str:
    findings = row.get("findings", {})
    if "total_bytes" not in findings:
        return NOTHING
    size = f"{findings['total_bytes'] / 1e6:,.1f}"
    if "duplicate_bytes" not in findings:
        return f"{size} (?)"
    twice = (findings["duplicate_bytes"] + findings["transposed_duplicate_bytes"]) / 1e6
    return size + (f" ({twice:,.1f})" if twice >= 0.05 else "")


def _drift(row: Row) -> str:
    findings = row.get("findings", {})
    if findings.get("refused"):
        return "✗"
    drift = findings.get("drift_any_padding", {}).get("max_rel")
    return NOTHING if drift is None or not row["runs"] else f"{drift:.1e}" if drift else "0"


def _right_answers(row: Row) -> str:
    task = row.get("findings", {}).get("task")
    return f"{task['right']} of {task['of']}" if task else NOTHING


def _memory(row: Row) -> str:
    peak = row["median"].get("peak_rss_bytes")
    return NOTHING if peak is None else f"{peak / 1e6:,.0f}"


def _wall_time(row: Row) -> str:
    seconds = row["median"].get("wall_seconds")
    return NOTHING if seconds is None else f"{seconds:.2f}"


def _speed(row: Row) -> str:
    ratio = speed(row.get("findings", {}))
    return NOTHING if ratio is None else f"{ratio:.2f}"


def _circumstances(models: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    timed = [model for model in models if model["settings"]["timed"]]
    commits = sorted({model["settings"]["commit"] for model in models})
    yield f"`compressor` at commit {', '.join(commits)}."
    if timed:
        loads = [run["load_before"] for m in timed for row in m["contenders"].values() for run in row["runs"]]
        rounds = ", ".join(f"{_short(model['model'])} {model['settings']['rounds']}" for model in timed)
        yield f"Rounds: {rounds}. Load average before a timed run: {min(loads)} to {max(loads)}."
    yield ""


def _notes(models: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for model in models:
        for name, row in model["contenders"].items():
            yield from (f"- {name}, {_short(model['model'])}: {problem}" for problem in problems(row))
        limits = model["settings"]
        if any(not row.get("findings") for row in model["contenders"].values()):
            yield (
                f"  (limits for {_short(model['model'])}: {limits['timeout_seconds']:.0f} s, "
                f"{limits['memory_bytes'] / 1e9:.1f} GB)"
            )
