#!/usr/bin/env python3
"""Run every contender on every model, by turns, and print what each took and what it made.

    python benchmarks/run.py MODEL.onnx [MODEL.onnx ...] [--peers PYTHON] [--only NAME ...] [--rounds 3]
        [--results FOLDER]

`--peers` is the interpreter of an environment with the packages of `peers.txt`; they never share one with the project.
`--results` holds results.json, results.md and a drawing of each model; models of earlier runs stay there.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from contenders import CONTENDERS, Contender
from measure import Usage, run
from peers import data_of, versions
from plots import write_plot
from tables import as_markdown, as_page

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MEASURES = ("wall_seconds", "cpu_seconds", "peak_rss_bytes", "peak_anonymous_bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[c.name for c in CONTENDERS])
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender; medians are shown")
    parser.add_argument("--timeout", type=float, default=900, help="seconds after which a run counts as failed")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the runtime that judges")
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="interpreter that runs the peers")
    parser.add_argument("--lock", type=Path, help="hold a lock on this file while something is timed")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="write figures, tables and drawings here")
    options = parser.parse_args()
    chosen = [c for c in CONTENDERS if options.only is None or c.name in options.only]
    host = describe_host(options.threads, options.peers)
    for model in options.models:
        result = {"rounds": options.rounds, "host": host, **compare(model, chosen, host["peers"], options)}
        print(as_markdown(result), flush=True)
        if options.results:  # after each model, so that an interrupted run keeps what it has
            write(result, options.results)


def write(result: Mapping[str, Any], folder: Path) -> None:
    """Add one model to the results of a folder, in place of what is there of it."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = folder / "results.json"
    models = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else []
    models = [*(model for model in models if model["model"] != result["model"]), result]
    figures.write_text(json.dumps(models, indent=1) + "\n", encoding="utf-8")
    (folder / "results.md").write_text(as_page(models), encoding="utf-8")
    write_plot(result, folder)


def compare(
    model: Path, contenders: Sequence[Contender], installed: Mapping[str, str], options: argparse.Namespace
) -> dict[str, Any]:
    """Run the contenders on one model in rounds, each round in the same order, and judge what each makes."""
    skipped = {c.name: reason for c in contenders if (reason := c.missing(model, installed))}
    rows: dict[str, dict[str, Any]] = {c.name: {"runs": []} for c in contenders if c.name not in skipped}
    for number in range(options.rounds):
        for contender in (c for c in contenders if c.name in rows):
            row = rows[contender.name]
            print(f"{model.name}: round {number + 1}: {contender.name}", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(prefix="benchmark") as folder:
                with locked(options.lock):
                    usage, out = attempt(contender, model, Path(folder), options.timeout, options.peers)
                last_words = "".join(usage.last_words.splitlines()[-1:]).replace(f"{folder}{os.sep}", "")[:200]
                row["runs"].append({**asdict(usage), "last_words": last_words, "left_a_result": out.exists()})
                if "findings" not in row and out.exists():
                    with locked(options.lock):
                        row["findings"] = judge(model, out, options)
                    row["compare"] = compare_command(model, out, options.timeout)
    for row in rows.values():
        # A run that failed early is quick and small: counted, it would flatter whoever crashed.
        done = [run for run in row["runs"] if run["left_a_result"]]
        row["median"] = {name: _median([run[name] for run in done]) for name in MEASURES}
    original = judge(model, model, options)
    return {"model": model.name, "original": original, "contenders": rows, "skipped": skipped}


@contextlib.contextmanager
def locked(path: Path | None) -> Iterator[None]:
    """Keep others who take the same lock from timing at the same time."""
    if path is None:
        yield
        return
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def attempt(
    contender: Contender, model: Path, folder: Path, timeout_seconds: float, peers: str = sys.executable
) -> tuple[Usage, Path]:
    """Let a contender work on its own copy, since some write files beside their input."""
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    copy, out = folder / "in" / model.name, folder / "out" / model.name
    shutil.copyfile(model, copy)  # also leaves the input in the page cache, for every contender alike
    if data_of(model).exists():
        shutil.copyfile(data_of(model), data_of(copy))
    os.sync()  # no contender pays for writes of the one before
    command = contender.command(copy, out, peers)
    return run(command, folder=folder, environment=_environment(), timeout_seconds=timeout_seconds), out


def judge(original: Path, result: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Judge in a process of its own: this one stays small, see `measure.run`."""
    command = [sys.executable, str(HERE / "judge.py"), str(original), str(result), str(options.threads)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=_environment(), timeout=options.timeout
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1].replace(f"{result.parent}{os.sep}", "")
        return {"refused": f"judging failed: {reason[:300]}"}
    findings: dict[str, Any] = json.loads(done.stdout)
    return findings


def compare_command(original: Path, result: Path, timeout_seconds: float) -> dict[str, Any]:
    """What `compressor compare` says of the drift, whoever made the result; it draws inputs of its own."""
    command = [sys.executable, "-m", "compressor", "compare", str(original), str(result), "--json", "-"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=_environment(), timeout=timeout_seconds
        )
    except subprocess.TimeoutExpired:
        return {"refused": f"took more than {timeout_seconds:.0f} seconds"}
    if not done.stdout:
        return {"refused": done.stderr.strip()[-300:]}
    report = json.loads(done.stdout)
    drift = report["fidelity"] or {}
    return {"max_rel": drift.get("worst_max_rel"), "cosine_min": drift.get("worst_cosine")}


def describe_host(threads: int, peers: str) -> dict[str, Any]:
    """Say what the figures depend on, without naming the machine."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.system(),
        "python": platform.python_version(),
        "threads": threads,
        "versions": versions(),
        "peers": _versions_of(peers),
    }


def _versions_of(interpreter: str) -> dict[str, str]:
    command = [interpreter, str(HERE / "peers.py"), "--versions"]
    found: dict[str, str] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def _median(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return statistics.median(known) if known else None


if __name__ == "__main__":
    main()
