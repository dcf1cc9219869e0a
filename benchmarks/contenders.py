"""Define the contenders: what each runs, as its own documentation recommends.

    python benchmarks/contenders.py NAME MODEL OUT

runs one of the peers; importing this file imports nothing but the standard library.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What ORT's optimizer wants to be told about a model."""

    model_type: str
    heads: int
    hidden_size: int


SHAPES = {
    "albert-base": Shape(model_type="bert", heads=12, hidden_size=768),
    "bert-base": Shape(model_type="bert", heads=12, hidden_size=768),
    "bert-mlm": Shape(model_type="bert", heads=12, hidden_size=768),
    "gpt2": Shape(model_type="gpt2", heads=12, hidden_size=768),
    "t5-small": Shape(model_type="t5", heads=8, hidden_size=512),
}
"""By the part of the file name before the first dot; other models run without the contender that needs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to make a model smaller or faster.

    Attributes:
        name: how the tables call it.
        package: the package it comes from, whose version is recorded; it is skipped where that is not installed.
        does: in words.
        arguments: of the project's command, between model and output; None for a peer, which `PEERS` runs.
        needs_shape: it must be told heads and hidden size.
    """

    name: str
    package: str
    does: str
    arguments: tuple[str, ...] | None = None
    needs_shape: bool = False

    def command(self, model: Path, out: Path) -> list[str]:
        if self.arguments is None:
            return [sys.executable, str(Path(__file__).resolve()), self.name, str(model), str(out)]
        return [
            sys.executable,
            "-m",
            "compressor",
            "compress",
            str(model),
            "-o",
            str(out),
            "-q",
            *self.arguments,
        ]

    def missing(self, model: Path) -> str:
        """Why it cannot run on `model`; empty if it can."""
        if importlib.util.find_spec(self.package) is None:
            return f"{self.package} is not installed"
        if self.needs_shape and shape_of(model) is None:
            return "heads and hidden size of this model are not in SHAPES"
        return ""


CONTENDERS = (
    Contender(name="copy", package="shutil", does="copy the file: the least any of them can take"),
    Contender(
        name="compressor deduplicate, unverified",
        package="compressor",
        does="`--passes deduplicate --no-verify`: what the peers do, none of which runs the result",
        arguments=("--passes", "deduplicate", "--no-verify"),
    ),
    Contender(
        name="compressor deduplicate",
        package="compressor",
        does="`--passes deduplicate`: runs original and result on generated inputs",
        arguments=("--passes", "deduplicate"),
    ),
    Contender(
        name="onnx_ir deduplicate",
        package="onnx_ir",
        does="`ir.load`, `DeduplicateHashedInitializersPass`, `ir.save`",
    ),
    Contender(name="onnxslim", package="onnxslim", does="`onnxslim.slim` with its defaults"),
    Contender(
        name="compressor default, unverified",
        package="compressor",
        does="`--no-verify`: the default chain; without a run, `smooth` does nothing",
        arguments=("--no-verify",),
    ),
    Contender(
        name="compressor default",
        package="compressor",
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


def shape_of(model: Path) -> Shape | None:
    return SHAPES.get(model.name.split(".")[0])


def data_of(model: Path) -> Path:
    """Where the weights of `model` are if they are not in it."""
    return model.with_name(model.name + ".data")


def copy(model: Path, out: Path) -> None:
    shutil.copyfile(model, out)
    if data_of(model).exists():
        shutil.copyfile(data_of(model), data_of(out))


def onnx_ir_deduplicate(model: Path, out: Path) -> None:
    import onnx_ir as ir
    from onnx_ir.passes.common import DeduplicateHashedInitializersPass

    deduplicated = DeduplicateHashedInitializersPass()(ir.load(model)).model
    ir.save(deduplicated, out, external_data=data_of(out).name if data_of(model).exists() else None)


def onnxslim(model: Path, out: Path) -> None:
    import onnxslim as package  # type: ignore[import-not-found]  # optional, has no type information

    package.slim(str(model), str(out))


def ort_quantize(model: Path, out: Path, *, per_channel: bool = False) -> None:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(model, out, per_channel=per_channel)


def deduplicate_then_quantize(model: Path, out: Path) -> None:
    import onnx

    between = model.with_name("deduplicated.onnx")
    onnx_ir_deduplicate(model, between)
    proto = onnx.load(between)
    # onnx_ir records the shapes of initializers; the quantizer transposes some, and then refuses the stale shapes.
    del proto.graph.value_info[:]
    onnx.save(proto, between)
    ort_quantize(between, out, per_channel=True)


def ort_optimize(model: Path, out: Path, *, shape: Shape | None = None) -> None:
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    told = shape or Shape(model_type="bert", heads=0, hidden_size=0)
    options = FusionOptions(told.model_type)
    # The optimizer's default assumes padding on the right only; the raw mask is its own option for the general case.
    options.use_raw_attention_mask(told.model_type == "bert")
    optimized = optimize_model(
        str(model),
        model_type=told.model_type,
        num_heads=told.heads,
        hidden_size=told.hidden_size,
        optimization_options=options,
        opt_level=0,
    )
    optimized.save_model_to_file(str(out))


def onnxscript_fuse(model: Path, out: Path) -> None:
    import onnx_ir as ir
    from onnxscript.rewriter.ort_fusions import optimize_for_ort

    fused, _ = optimize_for_ort(ir.load(model))
    ir.save(fused, out, external_data=data_of(out).name if data_of(model).exists() else None)


PEERS: dict[str, Callable[[Path, Path], object]] = {
    "copy": copy,
    "onnx_ir deduplicate": onnx_ir_deduplicate,
    "onnxslim": onnxslim,
    "ort quantize": ort_quantize,
    "ort quantize per channel": lambda model, out: ort_quantize(model, out, per_channel=True),
    "onnx_ir + ort quantize": deduplicate_then_quantize,
    "ort optimize": ort_optimize,
    "ort optimize, heads given": lambda model, out: ort_optimize(model, out, shape=shape_of(model)),
    "onnxscript fuse": onnxscript_fuse,
}


if __name__ == "__main__":
    PEERS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
