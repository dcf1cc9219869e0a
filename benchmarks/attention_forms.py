#!/usr/bin/env python3
"""Time one attention layer with int8 projections in the forms ONNX Runtime has for it, by turns, in one process.

python benchmarks/attention_forms.py --threads 1 --rounds 60
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from typing import Any

import numpy as np
import onnx
import onnxruntime

SHAPES = ((1, 16, 12, 64), (1, 128, 12, 64), (8, 32, 12, 64), (8, 64, 12, 32), (8, 128, 12, 64))
"""Batch, length, heads, head size."""

BIAS = "f = Cast<to = 1>(mask) u = Unsqueeze(f, inner) i = Sub(one, u) bias = Mul(i, lowest)"
SPREAD = f"{BIAS} n = Shape<start = 1, end = 2>(x) t = Concat<axis = 0>(ones, ones, n, ones) spread = Expand(bias, t)"
QUANTIZE = "xi, xs, xz = DynamicQuantizeLinear(x)"
PRODUCT = (
    "i{0} = MatMulInteger(xi, w{0}, xz, zero) f{0} = Cast<to = 1>(i{0}) c{0} = Mul(xs, s{0}) g{0} = Mul(f{0}, c{0}) "
    "{1} = Add(g{0}, b{0})"
)
THREE = " ".join([QUANTIZE, *(PRODUCT.format(letter, letter) for letter in "qkv")])
WIDE = f"{QUANTIZE} {PRODUCT.format('p', 'all')} q, k, v = Split<axis = -1>(all)"
HEADS_FIRST = "{0}4 = Reshape({0}, split) {0}t = Transpose<perm = [0, {1}]>({0}4)"
PARTS = " ".join(
    [
        HEADS_FIRST.format("q", "2, 1, 3"), HEADS_FIRST.format("k", "2, 3, 1"), HEADS_FIRST.format("v", "2, 1, 3"),
        "raw = MatMul(qt, kt) scaled = Mul(raw, scale) masked = Add(scaled, bias) p = Softmax<axis = -1>(masked)",
        "c = MatMul(p, vt) ct = Transpose<perm = [0, 2, 1, 3]>(c) y = Reshape(ct, merged)",
    ]
)  # fmt: skip
FUSED = "y = com.microsoft.MultiHeadAttention<num_heads = HEADS, scale = SCALE>({})"
CACHED = f"{HEADS_FIRST.format('k', '2, 1, 3')} {HEADS_FIRST.format('v', '2, 1, 3')}"
INTEGER_MASK = "m = Cast<to = 6>(mask)"
PACKED = "y = com.microsoft.QAttention<num_heads = HEADS, scale = SCALE>(xi, wp, bp, xs, sp, m, xz, zeros)"

FORMS = {
    "parts": f"{BIAS} {THREE} {PARTS}",
    "parts, one wide product": f"{BIAS} {WIDE} {PARTS}",
    "MultiHeadAttention, bias": f"{SPREAD} {THREE} {FUSED.format('q, k, v,,, spread')}",
    "one wide product": f"{SPREAD} {WIDE} {FUSED.format('q, k, v,,, spread')}",
    "keys and values in heads": f"{SPREAD} {THREE} {CACHED} {FUSED.format('q, kt, vt,,, spread')}",
    "mask of keys": f"{INTEGER_MASK} {THREE} {FUSED.format('q, k, v,, m')}",
    "QAttention, packed": f"{INTEGER_MASK} {QUANTIZE} {PACKED}",
    "parts, no mask": f"{THREE} {PARTS.replace('masked = Add(scaled, bias)', '').replace('(masked)', '(scaled)')}",
    "MultiHeadAttention, no mask": f"{THREE} {FUSED.format('q, k, v')}",
}


def model_of(body: str, heads: int, size: int) -> bytes:
    width, draw = heads * size, np.random.default_rng(0)
    weights: dict[str, Any] = {
        "one": np.float32(1), "lowest": np.finfo(np.float32).min, "scale": np.float32(size**-0.5),
        "inner": np.array([1, 2]), "ones": np.array([1]), "split": np.array([0, 0, heads, size]),
        "merged": np.array([0, 0, width]), "zero": np.int8(0), "zeros": np.zeros(3 * width, np.int8),
    }  # fmt: skip
    for letter in "qkv":
        weights[f"w{letter}"] = draw.integers(-60, 60, (width, width), np.int8)
        weights[f"b{letter}"] = draw.standard_normal(width).astype(np.float32)
        weights[f"s{letter}"] = 1e-3 * draw.random(width).astype(np.float32)
    for kind in "wbs":
        weights[f"{kind}p"] = np.concatenate([weights[f"{kind}{letter}"] for letter in "qkv"], axis=-1)
    body = body.replace("HEADS", str(heads)).replace("SCALE", repr(size**-0.5))
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]> '
        f"g (float[b, s, {width}] x, int64[b, s] mask) => (float[b, s, {width}] y) {{ {body} }}"
    )
    used = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items() if name in used
    )
    serialized: bytes = model.SerializeToString()
    return serialized


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("threads", 2), ("rounds", 60)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    print("Times as fast as the parts.\n")
    print("| form |", *(f"{batch}x{length}, {heads} heads of {size} |" for batch, length, heads, size in SHAPES))
    print("|---|" + "---:|" * len(SHAPES))
    columns = [measure(shape, options.threads, options.rounds) for shape in SHAPES]
    for name in FORMS:
        print(f"| {name} |", *(f"{column[name]:.2f} |" for column in columns))


def measure(shape: tuple[int, int, int, int], threads: int, rounds: int) -> dict[str, float]:
    """Processor time of the parts over that of each form, the median over rounds; all results are the same."""
    batch, length, heads, size = shape
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    x = np.random.default_rng(0).standard_normal((batch, length, heads * size)).astype(np.float32)
    feeds = {"x": x, "mask": np.ones((batch, length), np.int64)}
    sessions = {
        name: onnxruntime.InferenceSession(model_of(body, heads, size), options) for name, body in FORMS.items()
    }
    results = {name: session.run(None, feeds)[0] for name, session in sessions.items()}
    for name, result in results.items():
        np.testing.assert_allclose(result, results["parts"], atol=1e-3, err_msg=name)
    times: dict[str, list[float]] = {name: [] for name in FORMS}
    order = random.Random(0)
    for _ in range(rounds):
        for name in order.sample(list(FORMS), len(FORMS)):
            started = time.process_time()
            sessions[name].run(None, feeds)
            times[name].append(time.process_time() - started)
    parts = times["parts"]
    return {name: statistics.median(a / b for a, b in zip(parts, times[name], strict=True)) for name in FORMS}


if __name__ == "__main__":
    main()
