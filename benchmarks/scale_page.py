"""Say what models of all sizes take, beside a copy of their files: a table with every figure, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COPY = "copy"
"""The job that others are held against."""

COLUMNS = (
    "storage",
    "GB",
    "job",
    "wall s",
    "CPU s",
    "MB/s",
    "of copy's speed",
    "peak RSS MB",
    "anonymous MB",
    "written GB",
)

HEAD = """# Time and memory against size

Made by `benchmarks/scale.py`; do not edit. [benchmarks/README.md](../README.md) says what models and jobs are.

{cpu}, {cores} cores, {memory:.1f} GB of memory, load average {load:.1f} at the start; package at {commit}; {rounds},
jobs in turns. Peak RSS is the kernel's figure, with pages of files that it can drop at will; anonymous is what no file
backs, sampled every 10 ms. MB/s are those of the source.

![time and memory against size](scale.svg)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One job on one model: medians over rounds, sizes in bytes."""

    storage: str
    gigabytes: float
    job: str
    source_bytes: int
    written_bytes: int
    wall_seconds: float
    cpu_seconds: float
    peak_rss_bytes: float
    peak_anonymous_bytes: float


def as_page(host: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Write the whole page, with what the figures depend on."""
    return "\n".join([HEAD.format_map(host), table(rows), ""])


def table(rows: Sequence[Row]) -> str:
    """Write a line for each job on each model; speed is that of the source's bytes, against the copy's."""
    copies = {(row.storage, row.gigabytes): row.wall_seconds for row in rows if row.job == COPY}
    lines = [f"| {' | '.join(COLUMNS)} |", f"|---|---:|---|{'---:|' * (len(COLUMNS) - 3)}"]
    for row in rows:
        copied = copies.get((row.storage, row.gigabytes))
        cells = (
            row.storage,
            f"{row.source_bytes / 1e9:.2f}",
            row.job,
            f"{row.wall_seconds:.1f}",
            f"{row.cpu_seconds:.1f}",
            f"{row.source_bytes / 1e6 / row.wall_seconds:,.0f}",
            "-" if copied is None else f"{copied / row.wall_seconds:.0%}",
            f"{row.peak_rss_bytes / 1e6:,.0f}",
            f"{row.peak_anonymous_bytes / 1e6:,.0f}" if row.peak_anonymous_bytes else "-",
            f"{row.written_bytes / 1e9:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
