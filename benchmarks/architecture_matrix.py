#!/usr/bin/env python3
"""Run the default chain on every export of a folder, by the command line, and write what became of each as a page.

    python benchmarks/make_architectures.py FOLDER --routes torchscript-17 dynamo-18
    python benchmarks/architecture_matrix.py FOLDER --json figures.json --page docs/architectures.md

Figures that are in the JSON file are taken from there, so that an interrupted run goes on where it was; `--again`
measures those that match a pattern anew.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import onnx
from architecture_page import as_page
from fusion_contenders import SHAPES, attention_operators, difference, outputs
from fusion_matrix import attention_layers
from host import when_and_where

ROOT = Path(__file__).resolve().parent.parent
TIME_LIMIT = 300.0


def usual_exports(folder: Path, route: str) -> list[Path]:
    """One export of each architecture: with SDPA, as transformers does unless told otherwise, else eager."""
    exports = sorted(folder.glob(f"*.{route}.onnx"), reverse=True)  # sdpa before eager
    usual: dict[str, Path] = {}
    for path in exports:
        usual.setdefault(path.name.partition(".")[0], path)
    return [usual[name] for name in sorted(usual)]


def compress(path: Path, folder: Path) -> dict[str, Any]:
    """Compress one model as a user would, and look at the result with other eyes than the command's own."""
    out, report = folder / "out.onnx", folder / "report.json"
    command = [sys.executable, "-m", "compressor", "compress", str(path), "-o", str(out), "--json", str(report), "-q"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    try:
        done = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=TIME_LIMIT
        )
    except subprocess.TimeoutExpired:
        return {"exit_code": None, "words": f"took more than {TIME_LIMIT:.0f} seconds"}
    words = done.stderr.strip().replace(f"{path.parent}{os.sep}", "")
    entry: dict[str, Any] = {"exit_code": done.returncode, "words": words[-400:]}
    if report.exists():
        entry |= _told(json.loads(report.read_text(encoding="utf-8")), path)
    if out.exists():
        entry |= _seen(path, out)
    return entry


def _told(report: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What the report says: drift after the last step that ran, steps rolled back, attention left and why."""
    softmaxes = {node.name for node in onnx.load(path).graph.node if node.op_type == "Softmax"}
    steps = report["steps"]
    drifts = [step["fidelity"] for step in steps if step["fidelity"] and step["outcome"] != "rolled back"]
    return {
        "bytes": [report["original"]["total_bytes"], steps[-1]["size"]["total_bytes"]],
        "cosine": drifts[-1]["worst_cosine"] if drifts else None,
        "rolled_back": [step["name"] for step in steps if step["outcome"] == "rolled back"],
        "notes": {step["name"]: step["reason"] for step in steps if step["reason"]},
        "heaviest": _heaviest(skip for step in steps if step["name"] == "quantize" for skip in step["skipped"]),
        "left": sorted({skip["reason"] for s in steps for skip in s["skipped"] if skip["candidate"] in softmaxes}),
        "warnings": report.get("warnings", []),
    }


def _heaviest(skips: Iterable[Mapping[str, Any]]) -> str:
    """Why the largest of the weights that stayed float did."""
    heaviest = max(skips, key=lambda skip: skip.get("weight_bytes", 0), default=None)
    return heaviest["reason"] if heaviest else ""


def _seen(path: Path, out: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {"fused": attention_operators(onnx.load(out, load_external_data=False).graph)}
    try:
        expected = outputs(path)
    except Exception as error:  # noqa: BLE001 - exporters write such files, and that is a finding
        return {**entry, "original_fails": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
    try:
        entry["inputs_compared"] = [len(expected), len(SHAPES)]
        return {**entry, "difference": difference(expected, outputs(out, expected))}
    except Exception as error:  # noqa: BLE001 - the same
        return {**entry, "result_fails": f"{type(error).__name__}: {error}".splitlines()[0][:200]}


def measure(paths: Iterable[Path], figures: dict[str, Any], record: Path, again: str) -> None:
    """Fill `figures` by file."""
    for path in paths:
        model = onnx.load(path)
        softmaxes = sum(node.op_type == "Softmax" for node in model.graph.node)
        counted = {"layers": attention_layers(model), "softmaxes": softmaxes}
        if path.stem in figures and not fnmatch.fnmatch(path.stem, again):
            figures[path.stem] |= counted
            continue
        with tempfile.TemporaryDirectory() as folder:
            figures[path.stem] = {**counted, **compress(path, Path(folder))}
        record.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(path.stem, figures[path.stem], file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, required=True, help="where the figures are kept")
    parser.add_argument("--page", type=Path, help="where to write them as a page")
    parser.add_argument("--routes", nargs="+", default=["torchscript-17", "dynamo-18"], metavar="ROUTE")
    parser.add_argument("--again", default="", metavar="PATTERN", help="measure anew what matches: 'bert.*'")
    options = parser.parse_args()
    figures = json.loads(options.json.read_text(encoding="utf-8")) if options.json.exists() else {}
    paths = [path for route in options.routes for path in usual_exports(options.folder, route)]
    measure(paths, figures, options.json, options.again)
    failed = options.folder / "failed.json"
    not_exported = json.loads(failed.read_text(encoding="utf-8")) if failed.exists() else {}
    host = when_and_where()
    if options.page:
        kept = {path.stem: figures[path.stem] for path in paths}
        options.page.write_text(as_page(kept, not_exported, options.routes, host), encoding="utf-8")


if __name__ == "__main__":
    main()
