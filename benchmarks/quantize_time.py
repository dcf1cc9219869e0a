#!/usr/bin/env python3
"""Quantize a model with the project and with ONNX Runtime, by turns; print time, memory, size and speed.

python benchmarks/quantize_time.py MODEL.onnx [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from attempt import Bounds, attempt
from contenders import CONTENDERS, Contender
from host import ROOT
from measure import Usage

OURS = Contender(
    name="compressor quantize, unverified",
    package="",
    does="`--passes quantize --no-verify`: neither runs a result",
    arguments=("--passes", "quantize", "--no-verify"),
)
THEIRS = next(contender for contender in CONTENDERS if contender.name == "ort quantize per channel")

TIMED_RUNS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; medians are shown")
    parser.add_argument("--timeout", type=float, default=600, help="seconds after which a run counts as failed")
    parser.add_argument("--time", nargs=2, type=Path, metavar="RESULT", help="only time two results by turns")
    options = parser.parse_args()
    if options.time:
        print(json.dumps(times_by_turns(options.model, *options.time)))
        return
    sys.path.append(str(ROOT))
    with tempfile.TemporaryDirectory(prefix="benchmark") as folder:
        compare(options.model, options.rounds, options.timeout, Path(folder))


def compare(model: Path, rounds: int, timeout_seconds: float, folder: Path) -> None:
    """Print a row for each quantizer, and one for the ratio of the two."""
    usages: dict[str, list[Usage]] = {OURS.name: [], THEIRS.name: []}
    results = {name: folder / f"{number}.onnx" for number, name in enumerate(usages)}
    for number in range(rounds):
        for contender in (OURS, THEIRS):
            place = folder / f"{number}"
            place.mkdir()
            usage, out = attempt(contender, model, place, Bounds(timeout_seconds=timeout_seconds))
            if usage.exit_code:
                sys.exit(f"{contender.name} ended with exit code {usage.exit_code}: {usage.last_words}")
            usages[contender.name].append(usage)
            shutil.move(out, results[contender.name])
            shutil.rmtree(place)
    command = [sys.executable, __file__, str(model), "--time", *map(str, results.values())]
    timed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    rows = [
        (
            statistics.median(usage.wall_seconds for usage in usages[name]),
            statistics.median(usage.peak_rss_bytes for usage in usages[name]) / 1e6,
            results[name].stat().st_size / 1e6,
            milliseconds,
        )
        for name, milliseconds in zip(usages, timed, strict=True)
    ]
    print(f"{model.name}, medians of {rounds} rounds\n")
    print("| | wall s | peak RSS MB | result MB | one run ms |\n|---|---:|---:|---:|---:|")
    for name, row in zip(usages, rows, strict=True):
        print(f"| {name} | {row[0]:.2f} | {row[1]:.0f} | {row[2]:.3f} | {row[3]:.2f} |")
    print("| ratio | " + " | ".join(f"{ours / theirs:.3f}" for ours, theirs in zip(*rows, strict=True)) + " |")


def times_by_turns(model: Path, first: Path, second: Path) -> list[float]:
    """Milliseconds of one run of each result, the median of runs taken by turns on one row of 128 positions."""
    import time

    import onnx
    from feeds import Padding, make_feeds
    from judge import open_session

    feeds = make_feeds(onnx.load(model, load_external_data=False), rows=1, positions=128, padding=Padding.NONE)
    sessions = [open_session(path, 0) for path in (first, second)]
    taken: list[list[float]] = [[], []]
    for number in range(TIMED_RUNS):
        for place in (0, 1) if number % 2 else (1, 0):
            start = time.perf_counter()
            sessions[place].run(None, feeds)
            taken[place].append(time.perf_counter() - start)
    return [1e3 * statistics.median(times[2:]) for times in taken]


if __name__ == "__main__":
    main()
