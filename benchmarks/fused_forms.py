#!/usr/bin/env python3
"""Time what the chain makes of a model with all kinds of fusion, with the default ones, and with none, in turns.

python benchmarks/fused_forms.py MODEL --batch 1 --length 128 --threads 2 --runs 9
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnxruntime

from compressor import Recipe, compress
from compressor.passes.deduplicate import DeduplicateInitializers
from compressor.passes.fuse import FuseTransformer
from compressor.passes.quantize import QuantizeDynamic

FORMS = {"all kinds": FuseTransformer(without=frozenset()), "default": FuseTransformer(), "unfused": None}


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # The model that waits for its turn must not keep the processor busy.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options)


def feeds_for(session: onnxruntime.InferenceSession, batch: int, length: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    made = {"ids": lambda: random.integers(5, 90, (batch, length)), "mask": lambda: np.ones((batch, length), np.int64)}
    return {
        value.name: np.zeros((batch, length), np.int64)
        if "type" in value.name
        else made["mask" if "mask" in value.name else "ids"]()
        for value in session.get_inputs()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    for name, default in (("batch", 1), ("length", 128), ("threads", 2), ("runs", 9)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sessions = {"original": open_session(options.model, options.threads)}
        for name, fuse in FORMS.items():
            out = Path(folder) / f"{name}.onnx"
            steps = [DeduplicateInitializers(), *([fuse] if fuse else []), QuantizeDynamic()]
            compress(options.model, out, recipe=Recipe(tuple(steps)), verify=False)
            sessions[name] = open_session(out, options.threads)
        feeds = feeds_for(sessions["original"], options.batch, options.length)
        times: dict[str, list[float]] = defaultdict(list)
        for _ in range(options.runs + 1):
            for name, session in sessions.items():
                started = time.perf_counter()
                session.run(None, feeds)
                times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(measured[1:]) for name, measured in times.items()}
    for name, median in medians.items():
        print(f"{name:10} {median * 1000:8.2f} ms {medians['original'] / median:6.2f} x")


if __name__ == "__main__":
    main()
