#!/usr/bin/env python3
"""Time a decoder that takes a cache, unfused and with more and more of its attention fused, float and int8, in turns.

python benchmarks/decoder_forms.py MODEL [--threads 2] [--seconds 8]

MODEL has inputs with axes named batch, sequence, past and total (past + sequence), as exporters for generation write.
Printed: times as fast as the original; the quarter of runs that were fastest decides, since others use the machine too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from compressor.model.load import load
from compressor.model.session import open_session
from compressor.passes.deduplicate import DeduplicateInitializers
from compressor.passes.fuse import SLOW_KINDS, FuseTransformer
from compressor.passes.quantize import QuantizeDynamic

FORMS: Mapping[str, frozenset[str] | None] = {
    "original": None,
    "attention": frozenset({"rotary_embedding", "grouped_queries", "attention_cache"}),
    "+ rotary": frozenset({"grouped_queries", "attention_cache"}),
    "+ grouped": frozenset({"attention_cache"}),
    "+ cache": frozenset(),
}
"""Kinds left out of each; the original is not fused at all."""

SHAPES = ((1, 128, 0), (8, 32, 0), (1, 1, 128), (1, 1, 900), (8, 1, 256))
"""Batch, new tokens, cached tokens."""

LEAST_RUNS, MOST_RUNS = 7, 80


def session(path: Path, without: frozenset[str] | None, is_int8: bool, threads: int) -> onnxruntime.InferenceSession:
    model = DeduplicateInitializers().run(load(path)).model
    if without is not None:
        model = FuseTransformer(without=SLOW_KINDS | without).run(model).model
    if is_int8:
        model = QuantizeDynamic().run(model).model
    # The session that waits for its turn must not keep the processor busy.
    return open_session(model, threads=threads, config={"session.intra_op.allow_spinning": "0"})


def feeds_for(opened: onnxruntime.InferenceSession, batch: int, length: int, past: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    sizes = {"batch": batch, "sequence": length, "past": past, "total": past + length}
    feeds: dict[str, np.ndarray] = {}
    for value in opened.get_inputs():
        shape = [size if isinstance(size, int) else sizes[size] for size in value.shape]
        if "int64" not in value.type:
            feeds[value.name] = random.standard_normal(shape).astype(np.float32)
        else:
            feeds[value.name] = np.ones(shape, np.int64) if "mask" in value.name else random.integers(5, 90, shape)
    return feeds


def speedups(sessions: Mapping[str, onnxruntime.InferenceSession], feeds: dict[str, np.ndarray], limit: float) -> str:
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for opened in sessions.values():
        opened.run(None, feeds)
    started = time.perf_counter()
    for turn in range(MOST_RUNS):
        if turn >= LEAST_RUNS and time.perf_counter() - started > limit:
            break
        for name, opened in sessions.items():
            before = time.perf_counter()
            opened.run(None, feeds)
            times[name].append(time.perf_counter() - before)
    fast = {name: float(np.percentile(taken, 25)) for name, taken in times.items()}
    ratios = (f"{name} {fast['original'] / taken:.2f}" for name, taken in fast.items() if name != "original")
    return f"{1e3 * fast['original']:.1f} ms: " + ", ".join(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=8.0, help="for each shape")
    given = parser.parse_args()
    for is_int8 in (False, True):
        sessions = {name: session(given.model, off, is_int8, given.threads) for name, off in FORMS.items()}
        for batch, length, past in SHAPES:
            figures = speedups(sessions, feeds_for(sessions["original"], batch, length, past), given.seconds)
            print("int8 " if is_int8 else "float", f"{batch} x {length} after {past}:", figures, flush=True)


if __name__ == "__main__":
    main()
