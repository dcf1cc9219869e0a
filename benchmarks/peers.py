"""What each peer runs, as its own documentation recommends; meant for an environment that holds the peers.

    python benchmarks/peers.py NAME MODEL OUT
    python benchmarks/peers.py --versions

The second form prints the versions of the packages this interpreter has. Importing this file imports nothing but the
standard library.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "onnx",
    "onnxruntime",
    "onnx-ir",
    "onnxscript",
    "onnxslim",
    "onnxsim",
    "onnxoptimizer",
    "optimum-onnx",
    "numpy",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What ORT's optimizer wants to be told about a model."""

    model_type: str
    heads: int
    hidden_size: int


SHAPES = {
    "all-MiniLM-L6-v2": Shape(model_type="bert", heads=12, hidden_size=384),
    "albert-banking77": Shape(model_type="bert", heads=4, hidden_size=192),
    "albert-base": Shape(model_type="bert", heads=12, hidden_size=768),
    "bert-base": Shape(model_type="bert", heads=12, hidden_size=768),
    "bert-mlm": Shape(model_type="bert", heads=12, hidden_size=768),
    "gpt2": Shape(model_type="gpt2", heads=12, hidden_size=768),
    "t5-small": Shape(model_type="t5", heads=8, hidden_size=512),
}
"""By the part of the file name before the first dot; other models run without the contender that needs it."""


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
    import onnxslim as package  # type: ignore[import-not-found]  # in the peers' environment only

    package.slim(str(model), str(out), save_as_external_data=data_of(model).exists())


def ort_quantize(model: Path, out: Path, *, per_channel: bool = False) -> None:
    from onnxruntime.quantization import quantize_dynamic

    quantize_dynamic(model, out, per_channel=per_channel, use_external_data_format=data_of(model).exists())


def deduplicate_then_quantize(model: Path, out: Path) -> None:
    import onnx

    between = model.with_name("deduplicated.onnx")
    onnx_ir_deduplicate(model, between)
    proto = onnx.load(between, load_external_data=False)
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
    optimized.save_model_to_file(str(out), use_external_data_format=data_of(model).exists())


def onnxscript_fuse(model: Path, out: Path) -> None:
    import onnx_ir as ir
    from onnxscript.rewriter.ort_fusions import optimize_for_ort

    fused, _ = optimize_for_ort(ir.load(model))
    ir.save(fused, out, external_data=data_of(out).name if data_of(model).exists() else None)


def pairwise_deduplicate(model: Path, out: Path) -> None:
    """Compare every two initializers, and let the first stand for both: scripts on forums and model cards do this."""
    import onnx
    from onnxruntime.transformers.onnx_model import OnnxModel

    opened = OnnxModel(onnx.load(model))
    initializers = list(opened.model.graph.initializer)
    replaced: set[str] = set()
    for number, first in enumerate(initializers):
        if first.name in replaced:
            continue
        for second in initializers[number + 1 :]:
            if second.name not in replaced and _is_equal(first, second):
                opened.replace_input_of_all_nodes(second.name, first.name)
                replaced.add(second.name)
    opened.update_graph()
    opened.save_model_to_file(str(out), use_external_data_format=data_of(model).exists())


def _is_equal(first: Any, second: Any) -> bool:
    import numpy as np
    from onnx import numpy_helper

    if (first.data_type, first.dims) != (second.data_type, second.dims):
        return False
    return np.array_equal(numpy_helper.to_array(first), numpy_helper.to_array(second))


def onnxsim(model: Path, out: Path) -> None:
    import onnxsim as package  # type: ignore[import-not-found]  # in the peers' environment only

    package.simplify(str(model), output_path=str(out))


def onnxoptimizer(model: Path, out: Path) -> None:
    import onnx
    import onnxoptimizer as package  # type: ignore[import-not-found]  # in the peers' environment only

    save(package.optimize(onnx.load(model)), model, out)


def optimum_deduplicate(model: Path, out: Path) -> None:
    import onnx
    from optimum.onnx.graph_transformations import (  # type: ignore[import-not-found]  # the same
        remove_duplicate_weights,
    )

    save(remove_duplicate_weights(onnx.load(model), inplace=True), model, out)


def onnxscript_optimize(model: Path, out: Path) -> None:
    import onnx_ir as ir
    from onnxscript.optimizer import optimize

    optimized = optimize(ir.load(model))
    ir.save(optimized, out, external_data=data_of(out).name if data_of(model).exists() else None)


def save(result: Any, model: Path, out: Path) -> None:
    """Store an ONNX proto as the input was: in one file, or with its weights beside it."""
    import onnx

    apart = data_of(model).exists()
    onnx.save(result, out, save_as_external_data=apart, location=data_of(out).name if apart else None)


PEERS: dict[str, Callable[[Path, Path], object]] = {
    "copy": copy,
    "onnx_ir deduplicate": onnx_ir_deduplicate,
    "pairwise deduplicate": pairwise_deduplicate,
    "optimum deduplicate": optimum_deduplicate,
    "onnxslim": onnxslim,
    "onnxsim": onnxsim,
    "onnxoptimizer": onnxoptimizer,
    "onnxscript optimize": onnxscript_optimize,
    "ort quantize": ort_quantize,
    "ort quantize per channel": lambda model, out: ort_quantize(model, out, per_channel=True),
    "onnx_ir + ort quantize": deduplicate_then_quantize,
    "ort optimize": ort_optimize,
    "ort optimize, heads given": lambda model, out: ort_optimize(model, out, shape=shape_of(model)),
    "onnxscript fuse": onnxscript_fuse,
}


def versions() -> dict[str, str]:
    """The packages that are installed here."""
    found = {distribution.metadata["Name"].lower(): distribution.version for distribution in metadata.distributions()}
    return {name: found[name] for name in PACKAGES if name in found}


if __name__ == "__main__":
    if sys.argv[1] == "--versions":
        print(json.dumps(versions()))
    else:
        PEERS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
