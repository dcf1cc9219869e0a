#!/usr/bin/env python3
"""Time fusion alone against ONNX Runtime's optimizer (opt_level 0, heads given), whole processes, by turns.

python benchmarks/fuse_time.py models/bert-base.eager.torchscript.onnx --rounds 5
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from attempt import Bounds, attempt
from contenders import CONTENDERS, Contender
from host import ROOT
from measure import Usage
from peers import SHAPES, versions

COUNT = """
import sys, onnx
nodes = onnx.load(sys.argv[1], load_external_data=False).graph.node
print(sum(node.op_type in ("Attention", "MultiHeadAttention") for node in nodes))
"""
"""In a process of its own: this one stays small, see `measure.run`."""

RIVALS = (
    Contender(
        name="compressor fuse, unverified",
        package="",
        does="`--passes fuse --no-verify`",
        arguments=("--passes", "fuse", "--no-verify"),
    ),
    *(contender for contender in CONTENDERS if contender.name == "ort optimize, heads given"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path, help=f"named after one of {', '.join(SHAPES)}")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each; medians are shown")
    parser.add_argument("--timeout", type=float, default=900, help="seconds after which a run counts as failed")
    options = parser.parse_args()
    sys.path.append(str(ROOT))  # the project itself need not be installed
    for model in options.models:
        missing = [f"{rival.name}: {reason}" for rival in RIVALS if (reason := rival.missing(model, versions()))]
        if missing:
            raise SystemExit("; ".join(missing))
        compare(model, options.rounds, options.timeout)


def compare(model: Path, rounds: int, timeout_seconds: float) -> None:
    """Run both in turns, print medians and what they fused."""
    usages: dict[str, list[Usage]] = {rival.name: [] for rival in RIVALS}
    fused: dict[str, int] = {}
    for _ in range(rounds):
        for rival in RIVALS:
            with tempfile.TemporaryDirectory(prefix="benchmark") as folder:
                usage, out = attempt(rival, model, Path(folder), Bounds(timeout_seconds=timeout_seconds))
                if not out.exists():
                    raise SystemExit(f"{rival.name} left no result of {model.name}: {usage.last_words[-300:]}")
                usages[rival.name].append(usage)
                counted = subprocess.run([sys.executable, "-c", COUNT, str(out)], capture_output=True, check=True)
                fused[rival.name] = int(counted.stdout)
    print(f"{model.name}, {model.stat().st_size / 1e6:.0f} MB, {rounds} rounds, medians")
    medians = {name: median(runs) for name, runs in usages.items()}
    for name, usage in medians.items():
        print(
            f"  {name:28} wall {usage.wall_seconds:6.2f} s  CPU {usage.cpu_seconds:6.2f} s"
            f"  peak RSS {usage.peak_rss_bytes / 1e6:6.0f} MB  attention fused {fused[name]}"
        )
    own, peer = medians.values()
    print(
        f"  ratio                        wall {own.wall_seconds / peer.wall_seconds:6.2f}"
        f"    CPU {own.cpu_seconds / peer.cpu_seconds:6.2f}    peak RSS {own.peak_rss_bytes / peer.peak_rss_bytes:6.2f}"
    )


def median(runs: list[Usage]) -> Usage:
    """The median of each figure on its own."""
    return replace(
        runs[0],
        wall_seconds=statistics.median(run.wall_seconds for run in runs),
        cpu_seconds=statistics.median(run.cpu_seconds for run in runs),
        peak_rss_bytes=int(statistics.median(run.peak_rss_bytes for run in runs)),
    )


if __name__ == "__main__":
    main()
