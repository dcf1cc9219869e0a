"""Time and memory against the number of nodes: ``python benchmarks/scale_nodes.py FOLDER``.

Prints a table for benchmarks/README.md. With ``--json FILE`` every row is kept as soon as it is there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from measure import run

PROJECT = Path(__file__).resolve().parents[1]
NODES = (12_500, 25_000, 50_000, 100_000)
_TIMEOUT = 3600.0
_COMPRESS = ("compress", "model.onnx", "-o", "result.onnx", "--force")
JOBS = {
    "inspect --no-run": ("inspect", "model.onnx", "--no-run"),
    "deduplicate, unverified": (*_COMPRESS, "--passes", "deduplicate", "--no-verify"),
    "default, unverified": (*_COMPRESS, "--no-verify"),
    "default": _COMPRESS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One job on one model; the fastest of the rounds."""

    kind: str
    nodes: int
    job: str
    wall_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where models and results are written, and deleted again")
    parser.add_argument("--nodes", type=int, nargs="+", default=NODES)
    parser.add_argument("--kinds", nargs="+", default=["chain", "layers", "fan"], help="see scale_graphs.py")
    parser.add_argument("--jobs", nargs="+", default=list(JOBS), choices=list(JOBS))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows: list[Row] = []
    for kind in arguments.kinds:
        for nodes in arguments.nodes:
            rows += measured(arguments.folder, kind, nodes, arguments.jobs, arguments.rounds)
            if arguments.json:
                arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    print(table(rows))


def measured(parent: Path, kind: str, nodes: int, jobs: list[str], rounds: int) -> list[Row]:
    """Write a model, run every job on it in turns, and delete it."""
    with tempfile.TemporaryDirectory(dir=parent) as name:
        # In a process of its own: the kernel counts the memory of whoever starts a command into the command's peak.
        code = (
            "import sys; from scale_graphs import write_graph; write_graph(sys.argv[1], int(sys.argv[2]), sys.argv[3])"
        )
        command = [sys.executable, "-c", code, kind, str(nodes), str(Path(name) / "model.onnx")]
        subprocess.run(command, check=True, cwd=Path(__file__).parent)
        turns = [_measure(Path(name), kind, nodes, job) for _ in range(rounds) for job in jobs]
    return [min((row for row in turns if row.job == job), key=lambda row: row.wall_seconds) for job in jobs]


def _measure(folder: Path, kind: str, nodes: int, job: str) -> Row:
    usage = run(
        (sys.executable, "-m", "compressor", *JOBS[job]),
        folder=folder,
        environment={**os.environ, "PYTHONPATH": str(PROJECT)},
        timeout_seconds=_TIMEOUT,
    )
    if usage.exit_code:
        raise SystemExit(f"{job} on {kind} of {nodes} nodes: exit {usage.exit_code}: {usage.last_words}")
    print(f"{kind} {nodes} {job}: {usage.wall_seconds:.1f} s", file=sys.stderr)
    return Row(
        kind=kind, nodes=nodes, job=job, wall_seconds=usage.wall_seconds, cpu_seconds=usage.cpu_seconds,
        peak_rss_bytes=usage.peak_rss_bytes,
    )  # fmt: skip


def table(rows: list[Row]) -> str:
    """Markdown, a line for each job on each kind: wall (and processor) seconds, and memory at the most nodes."""
    counts = sorted({row.nodes for row in rows})
    heads = " | ".join(f"{count:,}" for count in counts)
    lines = [
        f"| graph | job | {heads} | CPU, last / first | peak RSS MB |",
        f"|---|---|{'---:|' * (len(counts) + 2)}",
    ]
    for kind, job in dict.fromkeys((row.kind, row.job) for row in rows):
        found = sorted((row for row in rows if (row.kind, row.job) == (kind, job)), key=lambda row: row.nodes)
        seconds = " | ".join(f"{row.wall_seconds:.1f} ({row.cpu_seconds:.1f})" for row in found)
        growth = found[-1].cpu_seconds / found[0].cpu_seconds
        lines.append(f"| {kind} | {job} | {seconds} | {growth:.1f} | {found[-1].peak_rss_bytes / 1e6:,.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
