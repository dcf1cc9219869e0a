"""Small graphs whose activations have a few large features, and ways to watch and run them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir

from compressor.evaluation.contract import Array, Refusal, Samples
from compressor.evaluation.observe import Observer
from compressor.evaluation.running import run_samples
from compressor.model.session import open_session
from compressor.passes.contract import PassResult
from compressor.passes.quantize import QuantizeDynamic
from compressor.passes.smooth import SmoothActivations

FEATURES = 64
LOUD = (3, 17, 40)
"""Features forty times as large as the others."""


def drawn(body: str, *, opset: int = 17, seed: int = 0, features: str = "x", more: str = "") -> ir.Model:
    """Make a model of `body`, with inputs `x` of [N, S, 64] and every name it leaves undefined given a weight.

    ``gamma…`` and ``beta…`` are vectors with loud features, ``even…`` one without, ``w…`` matrices.
    """
    header = f'<ir_version: 8, opset_import: ["" : {opset}, "com.microsoft" : 1]>'
    text = f"{header} g (float[N, S, {FEATURES}] {features}{more}) => (float[N, S, M] y) {{ {body} }}"
    proto = onnx.parser.parse_model(text)
    defined = {value.name for value in (*proto.graph.input, *proto.graph.initializer)}
    random = np.random.default_rng(seed)
    for node in proto.graph.node:
        for name in node.input:
            if name and name not in defined:
                defined.add(name)
                proto.graph.initializer.append(onnx.numpy_helper.from_array(_weight(name, random), name))
        defined.update(node.output)
    onnx.checker.check_model(proto)
    return ir.from_proto(proto)


def _weight(name: str, random: np.random.Generator) -> Array:
    if name.startswith("w"):
        return random.normal(scale=0.05, size=(FEATURES, FEATURES)).astype(np.float32)
    if name.startswith("shape"):
        return np.array([-1, FEATURES], np.int64)
    vector = random.uniform(0.5, 1.5, FEATURES).astype(np.float32)
    if not name.startswith("even"):
        vector[list(LOUD)] *= 40
    return vector


def samples(*, generated: bool = True, seed: int = 1, **more: Array) -> Samples:
    """Three batches of different sizes."""
    random = np.random.default_rng(seed)
    sizes = ((2, 9), (1, 5), (3, 33))
    batches = tuple({"x": random.normal(size=(*size, FEATURES)).astype(np.float32), **more} for size in sizes)
    return Samples(batches=batches, generated=generated, description="drawn")


def smoothed(model: ir.Model, seen: Samples | None = None, **options: float) -> PassResult:
    """Smooth a copy of `model` by what `seen` shows."""
    attempts = SmoothActivations(**options).attempts(model.clone(), Observer(seen or samples()))  # type: ignore[arg-type]  # fmt: skip  # options differ in type
    return next(attempts)


def outputs(model: ir.Model, seen: Samples | None = None) -> list[Array]:
    """What the model gives for each batch."""
    found = run_samples(open_session(model), seen or samples(seed=2))
    assert not isinstance(found, Refusal), found
    return [batch[0] for batch in found]


def same(before: ir.Model, after: ir.Model, seen: Samples | None = None) -> bool:
    """Both give the same bytes."""
    return all(a.tobytes() == b.tobytes() for a, b in zip(outputs(before, seen), outputs(after, seen), strict=True))


def error_in_int8(model: ir.Model, original: ir.Model) -> float:
    """Size of the error that quantizing `model` makes, relative to the outputs of `original`."""
    right = np.concatenate([batch.reshape(-1) for batch in outputs(original)])
    result = QuantizeDynamic(min_elements=1).run(model.clone())
    assert result.is_changed
    wrong = np.concatenate([batch.reshape(-1) for batch in outputs(result.model)])
    return float(np.linalg.norm(wrong - right) / np.linalg.norm(right))


def operators(model: ir.Model) -> list[str]:
    """The types of all operators, in order."""
    return [node.op_type for node in model.graph]


def reasons(result: PassResult) -> Mapping[str, str]:
    """Why each candidate was left alone."""
    return {skip.candidate: skip.reason for skip in result.skipped}
