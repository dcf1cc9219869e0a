#!/usr/bin/env python3
"""Run every contender on every model, by turns, and print what each took and what it made.

    python benchmarks/run.py MODEL.onnx [MODEL.onnx ...] [--peers PYTHON] [--only NAME ...] [--rounds 3]
        [--results FOLDER] [--page FILE]

`--peers` is the interpreter of an environment with the packages of `peers.txt`; they never share one with the project.
`--results` holds results.json, results.md and a drawing of each model, written when a model is finished. What is done
is not done again, unless the model, the project, the versions or the settings are others: an interrupted command can
simply be given again. A contender that fails, runs too long or wants too much memory becomes a row that says so.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import records
from attempt import Bounds, ask_judge, attempt, digest_of, findings_of, name_of, record_of
from contenders import CONTENDERS, Contender
from host import commit, describe_host
from tables import as_markdown

MEASURES = ("wall_seconds", "cpu_seconds", "peak_rss_bytes", "peak_anonymous_bytes")
SHARE_OF_MEMORY = 0.8
"""What a contender may allocate of the machine's memory unless told otherwise; the rest is the system's."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[c.name for c in CONTENDERS])
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender; medians are shown")
    parser.add_argument("--timeout", type=float, default=900, help="seconds after which a run counts as failed")
    parser.add_argument("--memory", type=float, metavar="GB", help="that a run may allocate (80 %% of the machine's)")
    parser.add_argument("--untimed", action="store_true", help="leave times out: the machine does other work")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the runtime that judges")
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="interpreter that runs the peers")
    parser.add_argument("--lock", type=Path, help="hold a lock on this file during each run, for others who time")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="write figures, tables and drawings here")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the short tables into this page, too")
    options = parser.parse_args(arguments)
    chosen = [c for c in CONTENDERS if options.only is None or c.name in options.only]
    host = describe_host(options.threads, options.peers)
    start = time.monotonic()
    for model in options.models:
        result = compare(model, chosen, host, options)
        print(as_markdown(result), flush=True)
        if options.results and options.page:
            records.write_into_page(options.results, options.page)
    print(f"{time.monotonic() - start:.0f} s", file=sys.stderr)


def compare(
    model: Path, contenders: Sequence[Contender], host: Mapping[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    """Run the contenders on one model in rounds, each round in the same order, and judge what each makes."""
    memory = options.memory * 1e9 if options.memory else host["memory_bytes"] * SHARE_OF_MEMORY
    bounds = Bounds(timeout_seconds=options.timeout, memory_bytes=round(memory))
    settings = {
        "commit": commit(),
        "rounds": options.rounds,
        "timed": not options.untimed,
        "timeout_seconds": bounds.timeout_seconds,
        "memory_bytes": bounds.memory_bytes,
    }
    made_with = {"digest": digest_of(model), "settings": settings, "host": dict(host)}
    result, known = records.begin(name_of(model), made_with, options.results)
    rows = result["contenders"]
    skipped = {c.name: reason for c in contenders if (reason := c.missing(Path(name_of(model)), host["peers"]))}
    result["skipped"] = {name: reason for name, reason in {**result["skipped"], **skipped}.items() if name not in rows}
    if "original" not in result:
        result["original"] = look_at(model, model, bounds, known, options)
    for number in range(options.rounds):
        for contender in contenders:
            row = rows.get(contender.name, {"runs": []})
            if contender.name in skipped or len(row["runs"]) > number or _has_failed(row):
                continue
            print(f"{name_of(model)}: round {number + 1}: {contender.name}", file=sys.stderr, flush=True)
            with locked(options.lock):
                once(contender, model, row, bounds, known, options)
            rows[contender.name] = row
            result["contenders"] = {c.name: rows[c.name] for c in CONTENDERS if c.name in rows}
            rows = result["contenders"]
            if options.results:
                records.keep(result, options.results)
    if options.results:
        records.write(result, options.results)
    return result


def once(
    contender: Contender,
    model: Path,
    row: dict[str, Any],
    bounds: Bounds,
    known: Mapping[str, Any],
    options: argparse.Namespace,
) -> None:
    """Add a run to a row, and judge its result if it is the first."""
    with tempfile.TemporaryDirectory(prefix="benchmark") as folder:
        load = os.getloadavg()[0]
        usage, out = attempt(contender, model, Path(folder), bounds, options.peers)
        run = {**record_of(usage, Path(folder)), "left_a_result": out.exists(), "load_before": round(load, 1)}
        if options.untimed:
            run |= {"wall_seconds": None, "cpu_seconds": None}
        row["runs"].append(run)
        if "findings" not in row and out.exists():
            row["findings"] = look_at(model, out, bounds, known, options)
    # A run that failed early is quick and small: counted, it would flatter whoever crashed.
    done = [run for run in row["runs"] if run["left_a_result"]]
    row["median"] = {name: _median([run[name] for run in done]) for name in MEASURES}


def look_at(
    model: Path, out: Path, bounds: Bounds, known: Mapping[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    """Findings, and the latency where it is asked for, which is measured anew each time."""
    findings = findings_of(model, out, options.threads, bounds, known)
    if options.untimed or findings["refused"]:
        return {**findings, "latency": None}
    return {**findings, "latency": ask_judge("latency", model, out, options.threads, bounds)}


@contextlib.contextmanager
def locked(path: Path | None) -> Iterator[None]:
    """Keep others who take the same lock from measuring at the same time."""
    if path is None:
        yield
        return
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _has_failed(row: Mapping[str, Any]) -> bool:
    """What failed once would fail again, and take as long."""
    return any(not run["left_a_result"] for run in row["runs"])


def _median(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return statistics.median(known) if known else None


if __name__ == "__main__":
    main()
