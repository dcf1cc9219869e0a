"""Facts drawn by hand, of which reports for the tests of every printed form are made."""

from __future__ import annotations

from collections import Counter

from compressor.report import Fidelity, Host, Latency, Layer, OutputFidelity, Size

HOST = Host(
    cpu="Example CPU @ 2.20GHz",
    int8_path="avx512-vnni",
    threads=0,
    versions={"onnx": "1.23.2", "onnxruntime": "1.31.1"},
)
IDENTICAL = OutputFidelity(
    name="logits",
    bit_identical=True,
    cosine_mean=1.0,
    cosine_min=1.0,
    sqnr_db=float("inf"),
    max_abs=0.0,
    max_rel=0.0,
    top1_agreement=1.0,
)
DRIFTED = OutputFidelity(
    name="logits",
    bit_identical=False,
    cosine_mean=0.995,
    cosine_min=0.985039,
    sqnr_db=17.5,
    max_abs=0.4,
    max_rel=0.031,
    top1_agreement=0.98369,
)


def fidelity(output: OutputFidelity) -> Fidelity:
    return Fidelity(samples=24, batches=6, generated=True, outputs=(output,))


def latency(median_ms: float) -> Latency:
    return Latency(median_ms=median_ms, runs=40, shape="input_ids 4x16")


def weighing(total_bytes: int, kind: str = "FLOAT") -> Size:
    return Size(total_bytes=total_bytes, weight_bytes={kind: total_bytes - 1_000_000}, duplicate_bytes=0)


def layer(name: str, own: dict[str, int] | None = None, *parts: Layer) -> Layer:
    """A layer with weights of its own, one a type, and parts."""
    found = Counter(own or {})
    for part in parts:
        found.update(part.weight_bytes)
    return Layer(
        name=name,
        weight_bytes=dict(found.most_common()),
        weights=len(own or {}) + sum(part.weights for part in parts),
        parts=tuple(sorted(parts, key=lambda part: -part.all_weight_bytes)),
    )


def albert(layers: int, unit: int, kind: str) -> Layer:
    """An encoder of so many layers, over embeddings that are half as large as one of them."""
    encoder = [
        layer(
            str(at), {}, layer("attention", {kind: unit}), layer("ffn", {kind: 2 * unit}), layer("norm", {"FLOAT": 512})
        )
        for at in range(layers)
    ]
    embeddings = layer("embeddings", {}, layer("words", {kind: unit}), layer("norm", {"FLOAT": 1024}))
    return layer("", {"INT64": 96}, layer("albert", {}, layer("layer", {}, *encoder), embeddings))
