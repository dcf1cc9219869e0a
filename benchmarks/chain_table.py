#!/usr/bin/env python3
"""Run the default chain on models of full size, and print the README's table of sizes, attention fused and drift.

    python benchmarks/make_models.py FOLDER
    python benchmarks/chain_table.py FOLDER/*.onnx --json benchmarks/results/chain.json --page README.md

Nothing here depends on how busy the machine is. What stands after the first dot of a name is how it was exported.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import onnx
from attempt import environment
from fusion_matrix import attention_layers
from host import commit, describe_host
from pages import write_between

MARK = "benchmarks/chain_table.py"
HEAD = (
    "| model | attention, exporter, opset | original MB | after deduplicate | after the chain | times smaller "
    "| nodes | after fuse | attention fused | drift | top-1 |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--json", type=Path, help="keep the figures here; models of the same commit are not run again")
    parser.add_argument("--page", type=Path, help="write the table into this page")
    options = parser.parse_args()
    kept = options.json.read_text(encoding="utf-8") if options.json and options.json.exists() else "[]"
    rows = {row["model"]: row for row in json.loads(kept)}
    now, host = commit(), described(describe_host(0, sys.executable))
    for model in options.models:
        if rows.get(model.stem, {}).get("commit") != now:
            rows[model.stem] = {"model": model.stem, "commit": now, "host": host, **measured(model)}
            if options.json:
                options.json.write_text(json.dumps(list(rows.values()), indent=1) + "\n", encoding="utf-8")
    text = as_text(list(rows.values()))
    print(text)
    if options.page:
        write_between(options.page, MARK, text)


def described(host: Mapping[str, Any]) -> str:
    """What figures of drift depend on: the processor's int8 products, and versions."""
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    return f"{host['cpu']} ({', '.join(host['instructions'])}), {host['system']}, Python {host['python']}; {versions}"


def measured(model: Path) -> dict[str, Any]:
    """What the command reports of a model, and what the files it leaves hold, counted here."""
    with tempfile.TemporaryDirectory(prefix="benchmark") as folder:
        report = compressed(model, Path(folder))
        steps = {step["name"]: step for step in report["steps"]}
        compressed(model, Path(folder), "--passes", "deduplicate,fuse", "--no-verify")
        fused = onnx.load(Path(folder, "out.onnx"), load_external_data=False)
    original = onnx.load(model, load_external_data=False)
    return {
        "opset": next(opset.version for opset in original.opset_import if not opset.domain),
        "bytes": [report["original"]["total_bytes"], *(step["size"]["total_bytes"] for step in report["steps"])],
        "steps": list(steps),
        "nodes": [len(original.graph.node), len(fused.graph.node)],
        "attention": [steps["fuse"]["counts"].get("attention_fused", 0), attention_layers(original)],
        "drift": {name: step["fidelity"]["worst_max_rel"] for name, step in steps.items() if step["fidelity"]},
        "top1": (steps["quantize"]["fidelity"] or {}).get("worst_top1_agreement"),
        "rolled_back": [name for name, step in steps.items() if step["outcome"] == "rolled back"],
        "samples": (steps["quantize"]["fidelity"] or {"samples": 0})["samples"],
    }


def compressed(model: Path, folder: Path, *arguments: str) -> dict[str, Any]:
    """The report of one run of the command, which leaves `out.onnx` in `folder`."""
    command = [sys.executable, "-m", "compressor", "compress", str(model.resolve()), "-o", str(folder / "out.onnx")]
    command += ["--force", "--quiet", "--json", str(folder / "report.json"), *arguments]
    subprocess.run(command, check=True, env=environment(), cwd=folder)
    report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return report


def as_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table, and the sentence on what the passes before the last one moved."""
    commits = ", ".join(sorted({row["commit"] for row in rows}))
    exact = max(row["drift"].get("deduplicate", 0) for row in rows)
    equivalent = max(row["drift"].get("fuse", 0) for row in rows)
    samples = ", ".join(str(number) for number in sorted({row["samples"] for row in rows}))
    said = (
        f"Commit {commits}; {samples} generated rows a model. Drift after `deduplicate` alone: at most {exact:.2g}; "
        f"after `fuse`: at most {equivalent:.2g}. Rolled back: "
        f"{sum(len(row['rolled_back']) for row in rows) or 'nothing'}. {rows[0]['host']}."
    )
    return "\n".join([HEAD, *map(_line, rows), "", *wrap(said, 120), ""])


def _line(row: Mapping[str, Any]) -> str:
    name, *route = row["model"].split(".")
    original, deduplicated, *_, final = (size / 1e6 for size in row["bytes"])
    cells = (
        name,
        f"{', '.join(route)} {row['opset']}".strip(),
        f"{original:.1f}",
        f"{deduplicated:.1f}",
        f"{final:.1f}",
        f"{original / final:.1f}",
        f"{row['nodes'][0]:,}",
        f"{row['nodes'][1]:,}",
        f"{row['attention'][0]} of {row['attention'][1]}",
        f"{row['drift']['quantize']:.1e}" if "quantize" in row["drift"] else "not run",
        "-" if row["top1"] is None else f"{row['top1']:.1%}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
