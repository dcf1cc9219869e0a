"""Draw the results for one model as bars, one row a contender and one column a measure, in plain SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

ROW, TOP, LABELS, COLUMN, BAR = 20, 64, 230, 175, 110
"""Pixels: height of a row, of the head, width of the names, of a column, of the longest bar."""

OURS, THEIRS, COPIES = "#2f6f9f", "#9aa5ad", "#d1603d"
LEAST_DRIFT = 1e-7
"""Where the bars of drift start: float32 rounds at about this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One column.

    Attributes:
        title: what it shows, with the unit.
        read: takes the figure from a row of the results; None where there is none.
        form: how to write it.
        logarithmic: a bar's length is in orders of magnitude.
    """

    title: str
    read: Callable[[Mapping[str, Any]], float | None]
    form: str
    logarithmic: bool = False


def _median(name: str, unit: float) -> Callable[[Mapping[str, Any]], float | None]:
    return lambda row: None if row.get("median", {}).get(name) is None else row["median"][name] / unit


def _finding(name: str, unit: float) -> Callable[[Mapping[str, Any]], float | None]:
    return lambda row: None if name not in row.get("findings", {}) else row["findings"][name] / unit


def _drift(row: Mapping[str, Any]) -> float | None:
    drift: float | None = row.get("findings", {}).get("drift_any_padding", {}).get("max_rel")
    return drift


def _speed(row: Mapping[str, Any]) -> float | None:
    latency = row.get("findings", {}).get("latency")
    return latency["original_ms"] / latency["result_ms"] if latency else None


COPIED_BYTES = _finding("duplicate_bytes", 1e6)
MEASURES = (
    Measure(title="result, MB (red: copies)", read=_finding("total_bytes", 1e6), form=".1f"),
    Measure(title="drift, largest / largest", read=_drift, form=".1e", logarithmic=True),
    Measure(title="speed of the result", read=_speed, form=".2f"),
    Measure(title="wall time, s", read=_median("wall_seconds", 1), form=".1f"),
    Measure(title="CPU time, s", read=_median("cpu_seconds", 1), form=".1f"),
    Measure(title="peak RSS, MB", read=_median("peak_rss_bytes", 1e6), form=".0f"),
)


def write_plot(result: Mapping[str, Any], folder: Path) -> None:
    """Write the bars of one model to a file named after it."""
    (folder / plot_name(result["model"])).write_text(as_svg(result), encoding="utf-8")


def plot_name(model: str) -> str:
    """What the drawing of a model is called."""
    return f"{Path(model).stem}.svg"


def as_svg(result: Mapping[str, Any]) -> str:
    """One drawing; a contender without a result keeps its row, with the reason why it has no bars."""
    rows = {"(original)": {"findings": result["original"]}, **result["contenders"]}
    width, height = LABELS + COLUMN * len(MEASURES) + 10, TOP + ROW * len(rows) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="10" y="24" font-size="15" font-weight="bold">{escape(result["model"])}</text>',
    ]
    for number, name in enumerate(rows):
        parts.append(f'<text x="{LABELS - 8}" y="{TOP + ROW * number + 13}" text-anchor="end">{escape(name)}</text>')
    for column, measure in enumerate(MEASURES):
        parts += _column(measure, rows, LABELS + COLUMN * column)
    for number, row in enumerate(rows.values()):
        if "findings" not in row:
            parts.append(f'<text x="{LABELS}" y="{TOP + ROW * number + 13}" fill="{COPIES}">left no result</text>')
    return "\n".join([*parts, "</svg>", ""])


def _column(measure: Measure, rows: Mapping[str, Mapping[str, Any]], x: int) -> list[str]:
    figures = {name: measure.read(row) for name, row in rows.items()}
    lengths = {name: _length(measure, figure) for name, figure in figures.items() if figure is not None}
    longest = max([*lengths.values(), 1e-9])
    parts = [f'<text x="{x}" y="{TOP - 8}" font-weight="bold">{escape(measure.title)}</text>']
    for number, (name, figure) in enumerate(figures.items()):
        if figure is None or not math.isfinite(figure):
            continue
        y, long = TOP + ROW * number, BAR * lengths[name] / longest
        parts.append(_bar(x, y, long, OURS if name.startswith("compressor") else THEIRS))
        if measure is MEASURES[0] and (copied := COPIED_BYTES(rows[name])):
            share = copied / figure
            parts.append(_bar(x + long * (1 - share), y, long * share, COPIES))
        parts.append(f'<text x="{x + long + 4:.1f}" y="{y + 13}">{format(figure, measure.form)}</text>')
    return parts


def _length(measure: Measure, figure: float) -> float:
    if not math.isfinite(figure):
        return 0.0
    return max(0.0, math.log10(max(figure, LEAST_DRIFT) / LEAST_DRIFT)) if measure.logarithmic else figure


def _bar(x: float, y: float, length: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y + 3}" width="{max(length, 0.5):.1f}" height="{ROW - 6}" fill="{colour}"/>'
