"""Write the figures of the fusion matrix as a page."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import shorten
from typing import Any

from fusion_contenders import CONTENDERS, TOLERANCE

ROUTES = (
    "torchscript-11",
    "torchscript-14",
    "torchscript-17",
    "torchscript-20",
    "dynamo-18",
    "dynamo-20",
    "dynamo-23",
)
OURS = next(iter(CONTENDERS))

INTRODUCTION = """# Attention layers fused, by architecture and exporter

Made by `benchmarks/fusion_matrix.py`; do not edit. Measured {host}.

Each model is a toy of its architecture (2 layers or stages, hidden size 64, 4 heads, random weights), built by
transformers and exported with open batch and lengths by `benchmarks/make_architectures.py`.

- **Layers**, the denominator, are counted in the original file by a walk of its own: every Softmax with a product of
  two computed tensors before it and behind it, and every operator that is attention already (exports with opset 23
  write SDPA as one).
- **Fused** is the number of attention operators in the result (`Attention`, `MultiHeadAttention`,
  `GroupQueryAttention`).
- A result is **wrong** (✗) where it does not run in ONNX Runtime, or differs from the original by more than
  {tolerance:g} of the largest output, over three inputs of several batch sizes and lengths with padding on the right,
  on the left, and holes. Where ONNX Runtime does not run the original either, nothing can be compared (?).
- `compressor` is `fuse` alone, no peer asked. `onnxruntime` is
  `onnxruntime.transformers.optimizer.optimize_model` with `opt_level=0`, the raw mask and the model type of the
  architecture, heads and hidden size to be detected; *told* is the same with heads = 4 and hidden size = 64 given.
  `onnxscript` is `ort_fusions.optimize_for_ort`. Each runs in a process of its own, {limit} at most.
"""


def as_page(figures: Mapping[str, Any], not_exported: Mapping[str, str], host: str) -> str:
    """The whole page."""
    notes: dict[str, int] = {}
    tables = [_summary(figures), *_left(figures), *_details(figures, not_exported, notes)]
    footnotes = [f"{number}. {sentence}" for sentence, number in notes.items()]
    start = INTRODUCTION.format(host=host, tolerance=TOLERANCE, limit="60 seconds a model")
    return "\n".join([start, *tables, "## Notes", "", *footnotes, ""])


def _is_wrong(entry: Mapping[str, Any]) -> bool:
    return "error" in entry or entry.get("difference", 0) > TOLERANCE


def _fused(entry: Mapping[str, Any], layers: int) -> int:
    """Layers fused in a result that computes the same; a wrong result has none."""
    return 0 if _is_wrong(entry) else min(entry["fused"], layers)


def _summary(figures: Mapping[str, Any]) -> str:
    lines = [
        "## Sum over all architectures",
        "",
        f"| exporter and opset | models | layers | {' | '.join(CONTENDERS)} | below the best peer |",
        f"|---|---:|---:|{'---:|' * len(CONTENDERS)}---:|",
    ]
    for route in (*ROUTES, ""):
        rows = [row for name, row in figures.items() if name.endswith(route) and row["layers"]]
        if not rows:
            continue
        layers = sum(row["layers"] for row in rows)
        cells = []
        for contender in CONTENDERS:
            fused = sum(_fused(row[contender], row["layers"]) for row in rows)
            wrong = sum(_is_wrong(row[contender]) for row in rows)
            cells.append(f"{fused} ({fused / layers:.0%})" + (f", {wrong} ✗" if wrong else ""))
        below = sum(_is_below(row) for row in rows)
        lines.append(f"| {route or '**all**'} | {len(rows)} | {layers} | {' | '.join(cells)} | {below} |")
    lines += [
        "",
        "✗ counts results that are wrong or that a contender failed to make; their layers count as not fused.",
        "",
    ]
    return "\n".join(lines)


def _is_below(row: Mapping[str, Any]) -> bool:
    best = max(_fused(row[contender], row["layers"]) for contender in CONTENDERS)
    return _fused(row[OURS], row["layers"]) < best


def _left(figures: Mapping[str, Any]) -> list[str]:
    """Why the project's own pass left attention, by model."""
    reasons: dict[str, list[str]] = {}
    for name, row in figures.items():
        for reason in row.get(OURS, {}).get("left", ()):
            reasons.setdefault(f"{name.split('.')[0]}: {shorten(reason, 200)}", []).append(name.rpartition(".")[2])
    lines = [f"- {reason} ({', '.join(sorted(set(routes)))})" for reason, routes in sorted(reasons.items())]
    return ["## What compressor leaves, in its own words", "", *lines, ""]


def _details(figures: Mapping[str, Any], not_exported: Mapping[str, str], notes: dict[str, int]) -> list[str]:
    routes = [route for route in ROUTES if any(name.endswith(route) for name in figures)]
    models = sorted({name.rpartition(".")[0] for name in figures})
    short = ("compressor", "onnxruntime", "told", "onnxscript")
    lines = [
        "## By model",
        "",
        f"Cells: layers fused by {', '.join(short)}, of the layers there are. `–`: not exported (see the notes).",
        "",
        f"| model | {' | '.join(routes)} |",
        f"|---|{'---|' * len(routes)}",
    ]
    for model in models:
        cells = [_cell(figures, not_exported, f"{model}.{route}", notes) for route in routes]
        lines.append(f"| {model.replace('.', ', ')} | {' | '.join(cells)} |")
    return [*lines, ""]


def _cell(figures: Mapping[str, Any], not_exported: Mapping[str, str], name: str, notes: dict[str, int]) -> str:
    row = figures.get(name)
    if row is None:
        return "–" + _note(not_exported.get(name, "not measured"), notes)
    if not row["layers"]:
        return "no attention"
    parts = []
    for contender in CONTENDERS:
        entry = row[contender]
        if "error" in entry:
            parts.append("✗" + _note(f"{contender}: {entry['error']}", notes))
        else:
            note = "?" + _note(entry["unverified"], notes) if "unverified" in entry else ""
            parts.append(f"{entry['fused']}{'✗' if _is_wrong(entry) else note}")
    return f"**{parts[0]}** {' '.join(parts[1:])} of {row['layers']}"


def _note(sentence: str, notes: dict[str, int]) -> str:
    return f"<sup>{notes.setdefault(sentence, len(notes) + 1)}</sup>"
