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
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from host import commit, processor
from measure import run
from scale_page import COPY, Row, as_page, table
from scale_plots import as_svg

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).resolve().parent / "results"
SIZES = {
    "one file": (0.5, 2.0, 8.0),
    "shards": (0.5, 2.0),
    "unaligned": (0.5, 2.0),
    "embedded": (0.5, 1.5),  # protobuf ends at 2 GiB
}
"""Gigabytes by storage."""

_TIMEOUT = 3600.0
_COMPRESS = (sys.executable, "-m", "compressor", "compress", "model.onnx", "-o", "out/result.onnx", "--force")
JOBS = {
    COPY: ("sh", "-c", "cp --sparse=never model* out/; sync -f out"),
    "deduplicate": (*_COMPRESS, "--passes", "deduplicate", "--no-verify"),
    "deduplicate and quantize": (*_COMPRESS, "--passes", "deduplicate,quantize", "--no-verify"),
    "default chain": (*_COMPRESS, "--no-verify"),
    "deduplicate, verified": (*_COMPRESS, "--passes", "deduplicate"),
}
USUAL = tuple(JOBS)[:3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where models and results are written, and deleted again")
    parser.add_argument("--sizes", type=float, nargs="+", help="gigabytes, in place of those usual for each storage")
    parser.add_argument("--storage", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--jobs", nargs="+", default=list(USUAL), choices=list(JOBS))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--save", action="store_true", help="replace the table and the drawing in results/")
    arguments = parser.parse_args()
    host = _host(arguments.rounds)
    rows: list[Row] = []
    for storage in arguments.storage:
        for size in arguments.sizes or SIZES[storage]:
            rows += measured(arguments.folder, storage, size, arguments.jobs, arguments.rounds)
            if arguments.save:
                _save(host, rows)
    print(table(rows))


def _host(rounds: int) -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    load, _, _ = os.getloadavg()
    return {
        "cpu": processor(), "cores": os.cpu_count(), "memory": memory, "load": load, "commit": commit(),
        "rounds": "one round" if rounds == 1 else f"medians of {rounds} rounds",
    }  # fmt: skip


def _save(host: dict[str, Any], rows: list[Row]) -> None:
    (RESULTS / "scale.json").write_text(json.dumps({**host, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    (RESULTS / "scale.md").write_text(as_page(host, rows), encoding="utf-8")
    (RESULTS / "scale.svg").write_text(as_svg(rows), encoding="utf-8")


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
    def middle(name: str) -> float:
        return float(statistics.median(getattr(row, name) for row in rows))

    return replace(
        rows[0], wall_seconds=middle("wall_seconds"), cpu_seconds=middle("cpu_seconds"),
        peak_rss_bytes=middle("peak_rss_bytes"), peak_anonymous_bytes=middle("peak_anonymous_bytes"),
    )  # fmt: skip


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


if __name__ == "__main__":
    main()
