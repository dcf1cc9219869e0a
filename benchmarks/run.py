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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import records
from attempt import Bounds, ask_judge, attempt, digest_of, findings_of, name_of, record_of, size_of
from contenders import CONTENDERS, Contender
from host import commit, describe_host
from tables import as_markdown

MEASURES = ("wall_seconds", "cpu_seconds", "peak_rss_bytes", "peak_anonymous_bytes")
SHARE_OF_MEMORY = 0.8
"""What a contender may allocate of the machine's memory unless told otherwise; the rest is the system's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One model to set contenders on.

    Attributes:
        known: earlier findings by digest of what was judged.
        options: of the command.
    """

    model: Path
    bounds: Bounds
    known: Mapping[str, Any]
    options: argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    chosen = [c for c in CONTENDERS if options.only is None or c.name in options.only]
    host = describe_host(options.threads, options.peers)
    start = time.monotonic()
    for model in options.models:
        print(as_markdown(compare(model, chosen, host, options)), flush=True)
        if options.results and options.page:
            records.write_into_page(options.results, options.page)
    print(f"{time.monotonic() - start:.0f} s", file=sys.stderr)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[c.name for c in CONTENDERS])
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender; medians are shown")
    parser.add_argument("--timeout", type=float, default=900, help="seconds after which a run counts as failed")
    parser.add_argument("--memory", type=float, metavar="GB", help="that a run may allocate (80 %% of the machine's)")
    parser.add_argument("--untimed", action="store_true", help="leave times out: the machine does other work")
    parser.add_argument("--unjudged", action="store_true", help="count bytes alone: the model is too large to be run")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the runtime that judges")
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="interpreter that runs the peers")
    parser.add_argument("--lock", type=Path, help="hold a lock on this file during each run, for others who time")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="write figures, tables and drawings here")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the short tables into this page, too")
    return parser.parse_args(arguments)


def compare(
    model: Path, contenders: Sequence[Contender], host: Mapping[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    """Run the contenders on one model in rounds, and store what came of it."""
    memory = options.memory * 1e9 if options.memory else host["memory_bytes"] * SHARE_OF_MEMORY
    settings = {
        "commit": commit(),
        "rounds": options.rounds,
        "timed": not options.untimed,
        "timeout_seconds": options.timeout,
        "memory_bytes": round(memory),
        **({"judged": False} if options.unjudged else {}),
    }
    made_with = {"digest": digest_of(model), "settings": settings, "host": dict(host)}
    result, known = records.begin(name_of(model), made_with, options.results)
    bounds = Bounds(timeout_seconds=options.timeout, memory_bytes=round(memory))
    task = Task(model=model, bounds=bounds, known=known, options=options)
    missing = {c.name: reason for c in contenders if (reason := c.missing(Path(name_of(model)), host["peers"]))}
    result["skipped"] |= missing
    if "original" not in result:
        result["original"] = look_at(task, model)
    for _ in rounds(task, [c for c in contenders if c.name not in missing], result["contenders"]):
        if options.results:
            records.keep(result, options.results)
    if options.results:
        records.write(result, options.results)
    return result


def rounds(task: Task, contenders: Sequence[Contender], rows: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Let contenders take turns, each round in the same order, until each has its runs; stop after each run."""
    for number in range(task.options.rounds):
        for contender in contenders:
            row = rows.get(contender.name, {"runs": []})
            if len(row["runs"]) > number or _has_failed(row):
                continue
            print(f"{name_of(task.model)}: round {number + 1}: {contender.name}", file=sys.stderr, flush=True)
            with locked(task.options.lock):
                once(task, contender, row)
            rows[contender.name] = row
            in_order = {c.name: rows[c.name] for c in CONTENDERS if c.name in rows}
            rows.clear()
            rows |= in_order
            yield


def once(task: Task, contender: Contender, row: dict[str, Any]) -> None:
    """Add a run to a row, and judge its result if it is the first."""
    with tempfile.TemporaryDirectory(prefix="benchmark") as folder:
        load = os.getloadavg()[0]
        usage, out = attempt(contender, task.model, Path(folder), task.bounds, task.options.peers)
        run = {**record_of(usage, Path(folder)), "left_a_result": out.exists(), "load_before": round(load, 1)}
        if task.options.untimed:
            run |= {"wall_seconds": None, "cpu_seconds": None}
        row["runs"].append(run)
        if "findings" not in row and out.exists():
            row["findings"] = look_at(task, out)
    # A run that failed early is quick and small: counted, it would flatter whoever crashed.
    done = [run for run in row["runs"] if run["left_a_result"]]
    row["median"] = {name: _median([run[name] for run in done]) for name in MEASURES}


def look_at(task: Task, result: Path) -> dict[str, Any]:
    """Findings, and the latency where it is asked for, which is measured anew each time."""
    if task.options.unjudged:
        return size_of(task.model, result)
    threads = task.options.threads
    findings = findings_of(task.model, result, threads, task.bounds, task.known)
    if task.options.untimed or findings["refused"]:
        return {**findings, "latency": None}
    return {**findings, "latency": ask_judge("latency", task.model, result, threads, task.bounds)}


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
