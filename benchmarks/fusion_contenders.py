#!/usr/bin/env python3
"""Fuse the models named on standard input with one contender, and say what became of their attention.

python benchmarks/fusion_contenders.py NAME < paths        prints one line of JSON for each path
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

ATTENTION = frozenset(
    ("Attention", "MultiHeadAttention", "GroupQueryAttention", "DecoderMaskedMultiHeadAttention", "QAttention")
)
"""Operators that compute attention in one step, those of the standard and of ONNX Runtime."""

TOLERANCE = 1e-4
"""Largest difference to the original, relative to its largest output: what the project's own pass is held to."""

HEADS, WIDTH = 4, 64
"""Heads and hidden size of nearly all `toy_architectures`; what a user would tell ONNX Runtime's optimizer."""

MODEL_TYPES = {
    "bart": "bart",
    "marian": "bart",
    "mbart": "bart",
    "plbart": "bart",
    "m2m-100": "bart",
    "blenderbot": "bart",
    "bigbird-pegasus": "bart",
    "whisper": "bart",
    "t5": "t5",
    "mt5": "t5",
    "longt5": "t5",
    "gpt2": "gpt2",
    "gpt-neo": "gpt2",
    "gpt-neox": "gpt_neox",
    "phi": "phi",
    "vit": "vit",
    "deit": "vit",
    "beit": "vit",
    "dinov2": "vit",
    "data2vec-vision": "vit",
    "yolos": "vit",
    "clip-vision": "clip",
    "clip": "clip",
    "clip-text": "clip",
    "siglip-vision": "clip",
    "swin": "swin",
    "swinv2": "swin",
}
"""What ONNX Runtime's optimizer calls an architecture; all others are "bert", its default."""

Shape = tuple[int, int, int, int]
Outputs = dict[Shape, list[NDArray[Any]]]
SHAPES: tuple[Shape, ...] = ((2, 16, 7, 5), (3, 9, 4, 2), (1, 12, 1, 3))
"""Batch, sequence, target and past lengths of the inputs that results are compared on; the first is the exporter's."""


def ours(path: Path, out: Path) -> list[str]:
    from compressor.model.load import load
    from compressor.model.save import save
    from compressor.passes.fuse import FuseTransformer

    model = load(path)
    softmaxes = {node.name for node in model.graph.all_nodes() if node.op_type == "Softmax"}
    result = FuseTransformer(engines=()).run(model)
    save(result.model, out)
    return sorted({skip.reason for skip in result.skipped if skip.candidate in softmaxes})


def onnxruntime_untold(path: Path, out: Path) -> list[str]:
    return onnxruntime(path, out, 0, 0)


def onnxruntime_told(path: Path, out: Path) -> list[str]:
    return onnxruntime(path, out, HEADS, WIDTH)


def onnxruntime(path: Path, out: Path, heads: int, width: int) -> list[str]:
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import MODEL_TYPES as KNOWN
    from onnxruntime.transformers.optimizer import optimize_model

    kind = MODEL_TYPES.get(path.name.split(".")[0].removesuffix("-with-past"), "bert")
    kind = kind if kind in KNOWN else "bert"
    options = FusionOptions(kind)
    options.use_raw_attention_mask(kind == "bert")  # its default takes all padding to be on the right
    result = optimize_model(
        str(path), kind, num_heads=heads, hidden_size=width, optimization_options=options, opt_level=0
    )
    result.save_model_to_file(str(out))
    return []


def onnxscript(path: Path, out: Path) -> list[str]:
    import onnx_ir as ir
    from onnxscript.rewriter.ort_fusions import optimize_for_ort

    ir.save(optimize_for_ort(ir.load(path))[0], out)
    return []


CONTENDERS: dict[str, Callable[[Path, Path], list[str]]] = {
    "compressor": ours,
    "onnxruntime": onnxruntime_untold,
    "onnxruntime, told": onnxruntime_told,
    "onnxscript": onnxscript,
}


def judged(fuse: Callable[[Path, Path], list[str]], path: Path) -> dict[str, Any]:
    """Fuse, count, and compare the outputs with the original's; "left" says why attention was left, where one tells."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "fused.onnx")
        try:
            left = fuse(path, out)
            fused = attention_operators(onnx.load(out).graph)
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is its entry in the table
            return {"error": _sentence(error)}
        if not fused:  # no attention of its making to be right or wrong
            return {"fused": 0, "difference": 0.0, "left": left}
        try:
            expected = outputs(path)
        except Exception as error:  # noqa: BLE001 - exporters write such files, too
            return {"fused": fused, "left": left, "unverified": f"the original does not run: {_sentence(error)}"}
        try:
            return {"fused": fused, "left": left, "difference": difference(expected, outputs(out, expected))}
        except Exception as error:  # noqa: BLE001 - the same
            return {"fused": fused, "error": f"the result does not run: {_sentence(error)}"}


def attention_operators(graph: onnx.GraphProto) -> int:
    """How often attention is one operator, in the branches and loops of `graph` too."""
    count = sum(node.op_type in ATTENTION for node in graph.node)
    return count + sum(attention_operators(inner) for inner in _inner_graphs(graph))


def _inner_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    for node in graph.node:
        for attribute in node.attribute:
            yield from [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else attribute.graphs


def outputs(path: Path, shapes: Collection[Shape] | None = None) -> Outputs:
    """What a model gives for inputs of these shapes, or of those of `SHAPES` that it runs with, one at least.

    Exporters fix lengths where a model slices or pads; such an original runs with its own length alone.
    """
    session = _session(path)
    found: Outputs = {}
    for shape in shapes or SHAPES:
        try:
            found[shape] = session.run(None, {given.name: _input(given, shape) for given in session.get_inputs()})
        except Exception:
            if shapes or (shape == SHAPES[-1] and not found):
                raise
    return found


def difference(expected: Outputs, given: Outputs) -> float:
    """The largest difference relative to the largest value of its tensor; infinite where shapes or gaps differ."""
    worst = 0.0
    for old, new in ((old, new) for shape in expected for old, new in zip(expected[shape], given[shape], strict=True)):
        if old.shape != new.shape or (np.isnan(old) != np.isnan(new)).any():
            return float("inf")
        largest = max(float(np.nanmax(np.abs(old), initial=0)), 1e-9)
        worst = max(worst, float(np.nanmax(np.abs(old - new), initial=0)) / largest)
    return worst


def _session(path: Path) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, ["CPUExecutionProvider"])


def _input(given: Any, sizes: Shape) -> NDArray[Any]:
    batch, sequence, target, past = sizes
    named = {"batch": batch, "sequence": sequence, "target": target, "past": past, "total": sequence + past}
    shape = [size if isinstance(size, int) else named.get(size, 400 + 40 * sequence) for size in given.shape]
    random = np.random.default_rng(0)
    if "mask" in given.name:
        return _mask(shape[0], shape[1])
    if "type" in given.name:
        return random.integers(0, 2, shape)
    if given.name == "bbox":
        return np.sort(random.integers(0, 9, shape), -1)
    return random.integers(5, 200, shape) if "int" in given.type else random.standard_normal(shape).astype(np.float32)


def _mask(rows: int, length: int) -> NDArray[Any]:
    """Padding on the right, on the left, and holes, in turn."""
    mask = np.ones((rows, length), np.int64)
    for row in range(rows):
        padded = (slice(length - length // 3, None), slice(length // 3), slice(1, -1, 2))[row % 3]
        mask[row, padded] = 0
    return mask


def _sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = re.sub(r"\S*/(?=[^/\s]+\.onnx)", "", lines[0]) if lines else ""  # the folder is nobody's business
    return f"{type(error).__name__}: {words}"[:160]


def main() -> None:
    logging.disable(logging.CRITICAL)
    warnings.filterwarnings("ignore")
    sys.path.append(str(Path(__file__).resolve().parent.parent))  # the project itself need not be installed
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")  # optimizers print; their words must not mix with answers
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(judged(CONTENDERS[sys.argv[1]], Path(line.strip()))), file=answers, flush=True)


if __name__ == "__main__":
    main()
