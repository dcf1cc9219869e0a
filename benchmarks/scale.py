"""Time and memory against size, beside a copy of the same files: ``python benchmarks/scale.py FOLDER``."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from measure import run

PROJECT = Path(__file__).resolve().parents[1]
SIZES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_TIMEOUT = 3600.0
_COMPRESS = (sys.executable, "-m", "compressor", "compress", "model.onnx", "-o", "out/result.onnx", "--force")
JOBS = {
    "copy": (
        "sh",
        "-c",
        "cp --sparse=never model*.data model.onnx out/ 2>/dev/null || cp model.onnx out/; sync -f out",
    ),
    "deduplicate": (*_COMPRESS, "--passes", "deduplicate", "--no-verify"),
    "deduplicate and quantize": (*_COMPRESS, "--passes", "deduplicate,quantize", "--no-verify"),
    "deduplicate, verified": (*_COMPRESS, "--passes", "deduplicate"),
}


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
    peak_rss_bytes: int
    peak_anonymous_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where models and results are written, and deleted again")
    parser.add_argument("--sizes", type=float, nargs="+", default=SIZES, help="gigabytes")
    parser.add_argument("--storage", nargs="+", default=["one file"], help="embedded, one file, shards, unaligned")
    parser.add_argument("--jobs", nargs="+", default=list(JOBS), choices=list(JOBS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows: list[Row] = []
    for storage in arguments.storage:
        for size in arguments.sizes:
            if storage == "embedded" and size > 1.9:
                continue  # protobuf ends at 2 GiB
            rows += measured(arguments.folder, storage, size, arguments.jobs, arguments.rounds)
            if arguments.json:
                arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    print(table(rows))


def measured(parent: Path, storage: str, gigabytes: float, jobs: list[str], rounds: int) -> list[Row]:
    """Write a model, run every job on it in turns, and delete it."""
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder = Path(name)
        # In a process of its own: the kernel counts the memory of whoever starts a command into the command's peak.
        code = (
            "import sys; from pathlib import Path; from scale_models import Storage, write_model;"
            "write_model(Path(sys.argv[1]), int(float(sys.argv[2]) * 1e9), Storage(sys.argv[3]))"
        )
        command = [sys.executable, "-c", code, name, str(gigabytes), storage]
        subprocess.run(command, check=True, cwd=Path(__file__).parent)
        source_bytes = _bytes_in(folder)
        found: dict[str, list[Row]] = {job: [] for job in jobs}
        for _ in range(rounds):
            for job in jobs:
                found[job].append(_measure(folder, storage, gigabytes, job, source_bytes))
    return [_median(found[job]) for job in jobs]


def _measure(folder: Path, storage: str, gigabytes: float, job: str, source_bytes: int) -> Row:
    out = folder / "out"
    out.mkdir()
    os.sync()
    usage = run(
        JOBS[job],
        folder=folder,
        environment={**os.environ, "PYTHONPATH": str(PROJECT)},
        timeout_seconds=_TIMEOUT,
    )
    if usage.exit_code:
        raise SystemExit(f"{job} on {gigabytes} GB, {storage}: exit {usage.exit_code}: {usage.last_words}")
    written = _bytes_in(out)
    shutil.rmtree(out)
    print(f"{storage} {gigabytes} GB {job}: {usage.wall_seconds:.1f} s", file=sys.stderr)
    return Row(
        storage=storage, gigabytes=gigabytes, job=job, source_bytes=source_bytes, written_bytes=written,
        wall_seconds=usage.wall_seconds, cpu_seconds=usage.cpu_seconds, peak_rss_bytes=usage.peak_rss_bytes,
        peak_anonymous_bytes=usage.peak_anonymous_bytes or 0,
    )  # fmt: skip


def _median(rows: list[Row]) -> Row:
    numbers = ("wall_seconds", "cpu_seconds", "peak_rss_bytes", "peak_anonymous_bytes")
    medians = {name: statistics.median(getattr(row, name) for row in rows) for name in numbers}
    return Row(**{**asdict(rows[0]), **medians})


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def table(rows: list[Row]) -> str:
    """Markdown; speed is that of the source's bytes, against the copy's on the same model."""
    lines = [
        "| storage | GB | job | wall s | CPU s | MB/s | of copy's speed | peak RSS MB | anonymous MB | written GB |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    copies = {(row.storage, row.gigabytes): row.wall_seconds for row in rows if row.job == "copy"}
    for row in rows:
        share = copies.get((row.storage, row.gigabytes), float("nan")) / row.wall_seconds
        cells = (
            row.storage, f"{row.source_bytes / 1e9:.2f}", row.job, f"{row.wall_seconds:.1f}", f"{row.cpu_seconds:.1f}",
            f"{row.source_bytes / 1e6 / row.wall_seconds:.0f}", f"{share:.0%}", f"{row.peak_rss_bytes / 1e6:.0f}",
            f"{row.peak_anonymous_bytes / 1e6:.0f}", f"{row.written_bytes / 1e9:.2f}",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
