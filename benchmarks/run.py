#!/usr/bin/env python3
"""Run every contender on every model, by turns, and print what each took and what it made.

python benchmarks/run.py MODEL.onnx [MODEL.onnx ...] [--only NAME ...] [--rounds 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from contenders import CONTENDERS, Contender, data_of
from measure import Usage, run
from tables import as_markdown

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PACKAGES = ("onnx-compressor", "onnx", "onnxruntime", "onnx-ir", "onnxscript", "onnxslim", "numpy")
MEASURES = ("wall_seconds", "cpu_seconds", "peak_rss_bytes", "peak_anonymous_bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[c.name for c in CONTENDERS])
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender; medians are shown")
    parser.add_argument("--timeout", type=float, default=900, help="seconds after which a run counts as failed")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the runtime that judges")
    parser.add_argument("--json", type=Path, help="write all figures here")
    options = parser.parse_args()
    sys.path.append(str(ROOT))  # the project itself need not be installed
    chosen = [c for c in CONTENDERS if options.only is None or c.name in options.only]
    results: dict[str, Any] = {"host": describe_host(options.threads), "rounds": options.rounds, "models": []}
    for model in options.models:
        results["models"].append(compare(model, chosen, options))
        if options.json:  # after each model, so that an interrupted run keeps what it has
            options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(as_markdown(results["models"][-1]), flush=True)


def compare(model: Path, contenders: Sequence[Contender], options: argparse.Namespace) -> dict[str, Any]:
    """Run the contenders on one model in rounds, each round in the same order, and judge what each makes."""
    skipped = {c.name: reason for c in contenders if (reason := c.missing(model))}
    rows: dict[str, dict[str, Any]] = {c.name: {"runs": []} for c in contenders if c.name not in skipped}
    for number in range(options.rounds):
        for contender in (c for c in contenders if c.name in rows):
            row = rows[contender.name]
            print(f"{model.name}: round {number + 1}: {contender.name}", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(prefix="benchmark") as folder:
                usage, out = attempt(contender, model, Path(folder), options.timeout)
                row["runs"].append({**asdict(usage), "left_a_result": out.exists()})
                if "findings" not in row and out.exists():
                    row["findings"] = judge(model, out, options)
    for row in rows.values():
        # A run that failed early is quick and small: counted, it would flatter whoever crashed.
        done = [run for run in row["runs"] if run["left_a_result"]]
        row["median"] = {name: _median([run[name] for run in done]) for name in MEASURES}
    original = judge(model, model, options)
    return {"model": model.name, "original": original, "contenders": rows, "skipped": skipped}


def attempt(contender: Contender, model: Path, folder: Path, timeout_seconds: float) -> tuple[Usage, Path]:
    """Let a contender work on its own copy, since some write files beside their input."""
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    copy, out = folder / "in" / model.name, folder / "out" / model.name
    shutil.copyfile(model, copy)  # also leaves the input in the page cache, for every contender alike
    if data_of(model).exists():
        shutil.copyfile(data_of(model), data_of(copy))
    os.sync()  # no contender pays for writes of the one before
    command = contender.command(copy, out)
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


def describe_host(threads: int) -> dict[str, Any]:
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
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def _median(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return statistics.median(known) if known else None


if __name__ == "__main__":
    main()
