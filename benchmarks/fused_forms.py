#!/usr/bin/env python3
"""Time what fusion makes of models, in float and in int8: none, the default kinds, all kinds; by turns, in one process.

python benchmarks/fused_forms.py MODEL [MODEL ...] --shapes 1x128 8x32 --threads 2 --rounds 15
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

sys.path.append(str(Path(__file__).resolve().parent.parent))  # the project itself need not be installed

from compressor import Recipe, compress
from compressor.passes.contract import Pass
from compressor.passes.deduplicate import DeduplicateInitializers
from compressor.passes.fuse import FuseTransformer
from compressor.passes.quantize import QuantizeDynamic

FUSIONS: dict[str, tuple[Pass, ...]] = {
    "unfused": (),
    "default": (FuseTransformer(),),
    "all kinds": (FuseTransformer(without=frozenset()),),
}
NUMBERS: dict[str, tuple[Pass, ...]] = {"float": (), "int8": (QuantizeDynamic(),)}


@dataclass(frozen=True, slots=True)
class Timed:
    """A session, and how long its runs took, by round.

    Attributes:
        wall: seconds from call to return; they grow where other programs keep the processors busy.
        processor: seconds all threads of this process worked, which they do far less.
    """

    session: onnxruntime.InferenceSession
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def run(self, feeds: dict[str, Any]) -> None:
        started, worked = time.perf_counter(), time.process_time()
        self.session.run(None, feeds)
        self.wall.append(time.perf_counter() - started)
        self.processor.append(time.process_time() - worked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--shapes", nargs="+", default=["1x128", "8x32"], metavar="BATCHxLENGTH")
    for name, default in (("threads", 2), ("rounds", 15)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    print("Times as fast as the original; the last two columns are the default against unfused.\n")
    print("| model | batch x length | numbers |", *(f"{name} |" for name in FUSIONS), "wall | processor |")
    print("|---|---|---|", "---:|" * (len(FUSIONS) + 2))
    for model in options.models:
        with tempfile.TemporaryDirectory() as folder:
            for numbers, quantize in NUMBERS.items():
                paths = {"original": model} | make(model, quantize, Path(folder))
                for shape in options.shapes:
                    timed = {name: Timed(open_session(path, options.threads)) for name, path in paths.items()}
                    measure(timed, shape, options.rounds)
                    print(f"| {model.stem} | {shape} | {numbers} |", row(timed), flush=True)


def make(model: Path, quantize: tuple[Pass, ...], folder: Path) -> dict[str, Path]:
    made = {}
    for name, fuse in FUSIONS.items():
        made[name] = folder / f"{name}.onnx"
        recipe = Recipe((DeduplicateInitializers(), *fuse, *quantize))
        compress(model, made[name], recipe=recipe, verify=False, force=True)
    return made


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # The model that waits for its turn must not keep the processor busy.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])


def measure(timed: dict[str, Timed], shape: str, rounds: int) -> None:
    """Run all in every round, each time in another order; the first round does not count."""
    batch, length = map(int, shape.split("x"))
    feeds = feeds_for(timed["original"].session, batch, length)
    order = random.Random(0)
    for _ in range(rounds + 1):
        for runner in order.sample(list(timed.values()), len(timed)):
            runner.run(feeds)
    for runner in timed.values():
        del runner.wall[0], runner.processor[0]


def feeds_for(session: onnxruntime.InferenceSession, batch: int, length: int) -> dict[str, Any]:
    random_ids = np.random.default_rng(0)
    feeds: dict[str, Any] = {}
    for value in session.get_inputs():
        if "type" in value.name:
            feeds[value.name] = np.zeros((batch, length), np.int64)
        elif "mask" in value.name:
            feeds[value.name] = np.ones((batch, length), np.int64)
        else:
            feeds[value.name] = random_ids.integers(5, 90, (batch, length))
    return feeds


def row(timed: dict[str, Timed]) -> str:
    """Medians over rounds of the ratio within a round, which a busy machine moves least."""
    original, unfused, default = timed["original"], timed["unfused"], timed["default"]
    figures = [ratio(original.wall, timed[name].wall) for name in FUSIONS]
    figures += [ratio(unfused.wall, default.wall), ratio(unfused.processor, default.processor)]
    return " | ".join(f"{figure:.2f}" for figure in figures) + " |"


def ratio(before: list[float], after: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(before, after, strict=True))


if __name__ == "__main__":
    main()
