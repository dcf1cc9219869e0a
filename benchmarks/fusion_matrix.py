#!/usr/bin/env python3
"""Count how many attention layers each optimizer fuses in every export of a folder, and write the table.

    python benchmarks/make_architectures.py FOLDER
    python benchmarks/fusion_matrix.py FOLDER --json figures.json --page docs/fusion-matrix.md

Figures that are in the JSON file are taken from there, so that an interrupted run goes on where it was; `--again NAME`
measures one contender anew.
"""

from __future__ import annotations

import argparse
import json
import selectors
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import onnx
from fusion_contenders import CONTENDERS, attention_operators
from fusion_page import as_page
from host import when_and_where

TIME_LIMIT = 60.0
"""Seconds for one model; the slowest contender takes 5 for models of this size."""

PRODUCTS = ("MatMul", "Einsum", "FusedMatMul")
STEPS = 12
"""Operators between a product and the Softmax at most; the longest export here has 9."""


class Worker:
    """One contender in a process of its own, started again after it hung or crashed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.process: subprocess.Popen[str] | None = None

    def ask(self, path: Path) -> dict[str, Any]:
        """Let it fuse one model."""
        process = self.process = self.process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        print(path, file=process.stdin, flush=True)
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline() if selector.select(TIME_LIMIT) else None
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.stop()
        return {"error": "the process crashed" if line == "" else f"took more than {TIME_LIMIT:.0f} seconds"}

    def stop(self) -> None:
        """End the process, if there is one."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, str(Path(__file__).with_name("fusion_contenders.py")), self.name]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )


def attention_layers(model: onnx.ModelProto) -> int:
    """Count attention: each Softmax with a product of two computed tensors before and behind it, each operator for it.

    This is the denominator. It is worked out here from the original file, with no help of any contender, and knows no
    shapes: between Softmax and products may be anything but another product or a Softmax.
    """
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer} | {
        n.output[0] for n in graph.node if n.op_type == "Constant"
    }
    makers = {output: node for node in graph.node for output in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def is_product(node: onnx.NodeProto) -> bool:
        return node.op_type in PRODUCTS and not any(_root(makers, name) in stored for name in node.input)

    count = attention_operators(graph)
    for softmax in graph.node:
        if softmax.op_type == "Softmax":
            before = _reaches(softmax, lambda node: [makers[n] for n in node.input if n in makers], is_product)
            behind = _reaches(softmax, lambda node: [r for n in node.output for r in readers.get(n, ())], is_product)
            count += before and behind
    return count


def _root(makers: dict[str, onnx.NodeProto], name: str) -> str:
    """Where a value comes from before it was turned: weights stay weights."""
    while name in makers and makers[name].op_type in ("Transpose", "Identity", "Reshape", "Cast"):
        name = makers[name].input[0]
    return name


def _reaches(start: onnx.NodeProto, step: Any, is_wanted: Any) -> bool:
    front, seen = [start], set()
    for _ in range(STEPS):
        further = [node for held in front for node in step(held) if id(node) not in seen]
        if any(is_wanted(node) for node in further):
            return True
        seen |= {id(node) for node in further}
        front = [node for node in further if node.op_type not in (*PRODUCTS, "Softmax", "Shape")]
    return False


def measure(
    paths: Iterable[Path], names: Sequence[str], figures: dict[str, Any], record: Path, again: set[str]
) -> None:
    """Fill `figures` by file and contender."""
    workers = {name: Worker(name) for name in names}
    for path in paths:
        known = figures.setdefault(path.stem, {})
        missing = [name for name in names if name not in known or name in again]
        known["layers"] = attention_layers(onnx.load(path))
        for name in missing if known["layers"] else ():
            known[name] = workers[name].ask(path)
        if missing:
            record.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            print(path.stem, known, file=sys.stderr, flush=True)
    for worker in workers.values():
        worker.stop()


def is_measured(row: dict[str, Any]) -> bool:
    """All contenders were asked, or there is nothing to ask for."""
    return not row["layers"] or all(name in row for name in CONTENDERS)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, required=True, help="where the figures are kept")
    parser.add_argument("--page", type=Path, help="where to write them as a page")
    parser.add_argument("--glob", default="*.onnx", help="which files of the folder")
    parser.add_argument("--only", nargs="+", default=list(CONTENDERS), choices=CONTENDERS, metavar="NAME")
    parser.add_argument("--again", nargs="*", default=[], choices=CONTENDERS, metavar="NAME", help="measure anew")
    options = parser.parse_args()
    figures = json.loads(options.json.read_text(encoding="utf-8")) if options.json.exists() else {}
    paths = sorted(options.folder.glob(options.glob))
    measure(paths, options.only, figures, options.json, set(options.again))
    failed = options.folder / "failed.json"
    not_exported = json.loads(failed.read_text(encoding="utf-8")) if failed.exists() else {}
    host = when_and_where()
    if options.page:
        kept = {path.stem: figures[path.stem] for path in paths if is_measured(figures[path.stem])}
        options.page.write_text(as_page(kept, not_exported, host), encoding="utf-8")


if __name__ == "__main__":
    main()
