"""List the contenders, the project's own command and its peers; importing this file imports nothing of theirs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from peers import shape_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to make a model smaller or faster.

    Attributes:
        name: how the tables call it.
        package: the package it comes from; it is skipped where the peers' environment does not have it.
        does: in words.
        arguments: of the project's command, after model and output; None for a peer, which `peers.py` runs.
        needs_shape: it must be told heads and hidden size.
    """

    name: str
    package: str
    does: str
    arguments: tuple[str, ...] | None = None
    needs_shape: bool = False

    def command(self, model: Path, out: Path, interpreter: str) -> list[str]:
        """What to run; a peer is run by `interpreter`, the project by the one that runs this."""
        if self.arguments is None:
            return [interpreter, str(Path(__file__).with_name("peers.py")), self.name, str(model), str(out)]
        command = [sys.executable, "-m", "compressor", "compress", str(model), "-o", str(out)]
        return [*command, "-q", *self.arguments]

    def missing(self, model: Path, installed: Mapping[str, str]) -> str:
        """Why it cannot run on `model`; empty if it can."""
        if self.package and self.package not in installed:
            return f"{self.package} is not installed"
        if self.needs_shape and shape_of(model) is None:
            return "heads and hidden size of this model are not in SHAPES"
        return ""


CONTENDERS = (
    Contender(name="copy", package="", does="copy the file: the least any of them can take"),
    Contender(
        name="compressor deduplicate, unverified",
        package="",
        does="`--passes deduplicate --no-verify`: what the peers do, none of which runs the result",
        arguments=("--passes", "deduplicate", "--no-verify"),
    ),
    Contender(
        name="compressor deduplicate",
        package="",
        does="`--passes deduplicate`: runs original and result on generated inputs",
        arguments=("--passes", "deduplicate"),
    ),
    Contender(
        name="onnx_ir deduplicate",
        package="onnx-ir",
        does="`ir.load`, `DeduplicateHashedInitializersPass`, `ir.save`",
    ),
    Contender(
        name="pairwise deduplicate",
        package="onnxruntime",
        does="every two initializers compared, `OnnxModel` of onnxruntime to rewire and save, as scripts on forums do",
    ),
    Contender(
        name="optimum deduplicate",
        package="optimum-onnx",
        does="`optimum.onnx.graph_transformations.remove_duplicate_weights`",
    ),
    Contender(name="onnxoptimizer", package="onnxoptimizer", does="`onnxoptimizer.optimize` with its default passes"),
    Contender(name="onnxsim", package="onnxsim", does="`onnxsim.simplify` with its defaults"),
    Contender(name="onnxscript optimize", package="onnxscript", does="`onnxscript.optimizer.optimize`"),
    Contender(name="onnxslim", package="onnxslim", does="`onnxslim.slim` with its defaults"),
    Contender(
        name="compressor default, unverified",
        package="",
        does="`--no-verify`: the default chain; without a run, `smooth` does nothing",
        arguments=("--no-verify",),
    ),
    Contender(
        name="compressor default",
        package="",
        does="the default chain, each step verified",
        arguments=(),
    ),
    Contender(
        name="ort quantize",
        package="onnxruntime",
        does="`quantize_dynamic` with its defaults (int8 weights per tensor)",
    ),
    Contender(name="ort quantize per channel", package="onnxruntime", does="`quantize_dynamic(per_channel=True)`"),
    Contender(
        name="onnx_ir + ort quantize",
        package="onnxruntime",
        does="the two deduplicating and quantizing peers in a row, per channel: what one can build from parts",
    ),
    Contender(
        name="ort optimize",
        package="onnxruntime",
        does="`onnxruntime.transformers` optimizer, opt_level 0, heads to be detected, raw mask",
    ),
    Contender(
        name="ort optimize, heads given",
        package="onnxruntime",
        does="the same with model type, heads and hidden size given",
        needs_shape=True,
    ),
    Contender(name="onnxscript fuse", package="onnxscript", does="`ort_fusions.optimize_for_ort`"),
)
