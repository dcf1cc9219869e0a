"""Operators of ONNX Runtime become operators of the standard that compute the same, or stay, with the reason."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from compressor.passes.fusions.graph_edit import GraphEdit
from compressor.passes.fusions.standard.lowering import lower
from tests.passes.fusions.fusing import Array, draw, normal, operators, run

TOLERANCE = 2e-6
"""A few roundings of float32."""

LOWEST = float(np.finfo(np.float32).min)
QKV = {"q": normal(2, 3, 8), "k": normal(2, 5, 8, seed=1), "v": normal(2, 5, 12, seed=2)}
INPUTS = "float[B,3,8] q, float[B,5,8] k, float[B,5,12] v"
X = {"x": normal(2, 3, 8), "s": normal(2, 3, 8, seed=1), "w": normal(8), "b": normal(8, seed=2), "c": normal(8, seed=3)}
NORM = "float[B,S,8] x, float[B,S,8] s, float[8] w, float[8] b, float[8] c"
ROTARY = {"x": normal(2, 3, 8), "cos": normal(6, 2), "sin": normal(6, 2, seed=1)}
TABLES = "float[P,2] cos, float[P,2] sin"


def mask(*row: float, batch: int = 2) -> Array:
    """A mask of 3 queries and 5 keys, with `row` for the second query of the last batch row."""
    made = np.zeros((batch, 1, 3, 5), np.float32)
    made[0, :, :, 0] = LOWEST
    made[-1, :, 1, :] = row
    return made


def attention(inputs: str, operands: str, attributes: str = "num_heads=2, scale=0.3", outputs: str = "y") -> str:
    declared = {"y": "float[B,3,12] y", "y, pk, pv": "float[B,3,8] y, float[B,2,T,4] pk, float[B,2,T,4] pv"}[outputs]
    return f"g ({inputs}) => ({declared}) {{ {outputs} = com.microsoft.MultiHeadAttention<{attributes}>({operands}) }}"


BIASED = f"{INPUTS}, float[28] bias"
MASKED = f"{INPUTS}, float[B,1,3,5] m"
HEADS = "float[B,3,8] q, float[B,2,5,4] k, float[B,2,5,4] v"
CACHED = "float[B,3,8] q, float[B,3,8] k, float[B,3,8] v, float[B,2,4,4] c, float[B,2,4,4] d, float[1,1,3,7] m"
SAME = {"q": normal(2, 3, 8), "k": normal(2, 3, 8, seed=1), "v": normal(2, 3, 8, seed=2)}

LOWERED: dict[str, tuple[str, Mapping[str, Array], dict[str, int]]] = {
    "attention": (attention(INPUTS, "q, k, v"), QKV, {"Attention": 1}),
    "attention with its own scale": (attention(INPUTS, "q, k, v", "num_heads=2"), QKV, {"Attention": 1}),
    "attention with a mask": (
        attention(MASKED, 'q, k, v, "", "", m'),
        {**QKV, "m": mask(0, 0, -1e4, -np.inf, LOWEST)},
        {"Attention": 1, "Equal": 1, "Where": 1},
    ),
    "attention with biases": (
        attention(BIASED, "q, k, v, bias"),
        {**QKV, "bias": normal(28)},
        {"Attention": 1, "Split": 1, "Add": 3},
    ),
    "attention over heads": (
        attention(HEADS, "q, k, v").replace("float[B,3,12]", "float[B,3,8]"),
        {"q": normal(2, 3, 8), "k": normal(2, 2, 5, 4), "v": normal(2, 2, 5, 4)},
        {"Attention": 1, "Reshape": 2, "Transpose": 2},
    ),
    "attention with a cache": (
        attention(CACHED, 'q, k, v, "", "", m, c, d', outputs="y, pk, pv"),
        {**SAME, "c": normal(2, 2, 4, 4), "d": normal(2, 2, 4, 4, seed=1), "m": normal(1, 1, 3, 7)},
        {"Attention": 1, "Equal": 1, "Where": 1},
    ),
    "attention that looks back": (
        "g (float[B,3,8] q, float[B,3,8] k, float[B,3,8] v) => (float[B,3,8] y) "
        "{ y = com.microsoft.MultiHeadAttention<num_heads=2, unidirectional=1>(q, k, v) }",
        SAME,
        {"Attention": 1},
    ),
    "exact GELU": ("g (float[B,S,8] x) => (float[B,S,8] y) { y = com.microsoft.Gelu(x) }", {"x": X["x"]}, {"Gelu": 1}),
    "tanh GELU": (
        "g (float[B,S,8] x) => (float[B,S,8] y) { y = com.microsoft.FastGelu(x) }",
        {"x": X["x"]},
        {"Gelu": 1},
    ),
    "tanh GELU with a bias": (
        "g (float[B,S,8] x, float[8] b) => (float[B,S,8] y) { y = com.microsoft.FastGelu(x, b) }",
        {"x": X["x"], "b": X["b"]},
        {"Gelu": 1, "Add": 1},
    ),
    "GELU with a bias": (
        "g (float[B,S,8] x, float[8] b) => (float[B,S,8] y) { y = com.microsoft.BiasGelu(x, b) }",
        {"x": X["x"], "b": X["b"]},
        {"Gelu": 1, "Add": 1},
    ),
    "sigmoid GELU": (
        "g (float[B,S,8] x) => (float[B,S,8] y) { y = com.microsoft.QuickGelu(x) }",
        {"x": X["x"]},
        {"Sigmoid": 1, "Mul": 2},
    ),
    "sigmoid linear unit": (
        "g (float[B,S,8] x) => (float[B,S,8] y) { y = com.microsoft.QuickGelu<alpha=1.0>(x) }",
        {"x": X["x"]},
        {"Sigmoid": 1, "Mul": 1},
    ),
    "residual addition and LayerNorm": (
        f"g ({NORM}) => (float[B,S,8] y) {{ y = com.microsoft.SkipLayerNormalization<epsilon=0.5>(x, s, w, b, c) }}",
        X,
        {"Add": 2, "LayerNormalization": 1},
    ),
    "LayerNorm with the epsilon that is not said": (
        f"g ({NORM}) => (float[B,S,8] y) {{ y = com.microsoft.SkipLayerNormalization(x, s, w, b) u = Add(w, c) }}",
        {**X, "x": X["x"] * np.float32(1e-4), "s": X["s"] * np.float32(1e-4)},
        {"Add": 2, "LayerNormalization": 1},
    ),
    "LayerNorm of a sum that is read": (
        f"g ({NORM}) => (float[B,S,8] y, float[B,S,8] z) "
        '{ y, "", "", z = com.microsoft.SkipLayerNormalization(x, s, w, "", c) u = Add(b, c) }',
        X,
        {"Add": 3, "LayerNormalization": 1},
    ),
    "residual addition and RMSNorm": (
        f"g ({NORM}) => (float[B,S,8] y, float[B,S,8] z) "
        '{ y, "", "", z = com.microsoft.SkipSimplifiedLayerNormalization(x, s, w, b) u = Add(b, c) }',
        X,
        {"Add": 3, "RMSNormalization": 1},
    ),
    "RMSNorm": (
        "g (float[B,S,8] x, float[8] w) => (float[B,S,8] y) { y = SimplifiedLayerNormalization<epsilon=0.5>(x, w) }",
        {"x": X["x"], "w": X["w"]},
        {"RMSNormalization": 1},
    ),
    "rotation from a first position": (
        f"g (float[B,3,8] x, {TABLES}, int64[1] p) => (float[B,3,8] y) "
        "{ y = com.microsoft.RotaryEmbedding<num_heads=2>(x, p, cos, sin) }",
        {**ROTARY, "p": np.asarray([2])},
        {"RotaryEmbedding": 1, "Shape": 1, "Gather": 2, "Range": 1, "Add": 1, "Expand": 1},
    ),
    "rotation of heads by positions": (
        f"g (float[B,2,3,4] x, {TABLES}, int64[B,3] p) => (float[B,2,3,4] y) "
        "{ y = com.microsoft.RotaryEmbedding<interleaved=1>(x, p, cos, sin) }",
        {**ROTARY, "x": normal(2, 2, 3, 4), "p": np.asarray([[0, 1, 2], [3, 4, 5]])},
        {"RotaryEmbedding": 1},
    ),
}


@pytest.mark.parametrize(("text", "feed", "made"), LOWERED.values(), ids=LOWERED)
def test_computes_the_same_with_operators_of_the_standard(
    text: str, feed: Mapping[str, Array], made: dict[str, int]
) -> None:
    model = draw(text, opset=23)
    if "com.microsoft" not in model.graph.opset_imports:  # where it stands in the standard's name space
        model.graph.opset_imports["com.microsoft"] = 1
    before = run(model, feed)
    lowered, stay = lower(GraphEdit(model))
    assert (lowered, stay) == (1, [])
    assert operators(model) == made
    assert all(node.domain == "" for node in model.graph)
    onnx.checker.check_model(ir.to_proto(model))
    for old, new in zip(before, run(model, feed), strict=True):
        np.testing.assert_allclose(new, old, rtol=0, atol=TOLERANCE * max(1.0, float(np.abs(old).max())))


LOWEST_ROWS = {
    "all keys": (LOWEST,) * 5,
    "all keys, some of them twice": (LOWEST, LOWEST, -np.inf, -np.inf, LOWEST),
    "the only key left": (-np.inf, -np.inf, LOWEST, -np.inf, -np.inf),
}


@pytest.mark.parametrize("row", LOWEST_ROWS.values(), ids=LOWEST_ROWS)
@pytest.mark.parametrize("made", ["given", "chosen", "spread"])
def test_a_query_whose_keys_are_all_masked_by_the_lowest_number_stays_the_mean_of_their_values(
    row: tuple[float, ...], made: str
) -> None:
    call = 'y = com.microsoft.MultiHeadAttention<num_heads=2>(q, k, v, "", "", m)'
    choice = "free = Cast<to=9>(keys) m = Where(free, zero, lowest)"
    bodies = {
        "given": (f"{INPUTS}, float[B,1,3,5] m", call),
        "chosen": (f"{INPUTS}, int64[B,1,3,5] keys", f"{choice} {call}"),
        "spread": (f"{INPUTS}, int64[B,1,1,5] keys", f"{choice.replace('m =', 'w =')} m = Expand(w, extent) {call}"),
    }
    inputs, body = bodies[made]
    constants = f"<float zero = {{0}}, float lowest = {{{LOWEST!r}}}, int64[4] extent = {{1, 1, 3, 1}}>"
    model = draw(f"g ({inputs}) => (float[B,3,12] y) {constants} {{ {body} }}", opset=23)
    keys = (mask(*row) == 0).astype(np.int64)
    feed = {"given": {"m": mask(*row)}, "chosen": {"keys": keys}, "spread": {"keys": keys[:, :, 1:2]}}[made]
    before = run(model, {**QKV, **feed})[0]
    assert np.abs(before[-1, 1]).max() > 0
    assert lower(GraphEdit(model))[0] == 1
    after = run(model, {**QKV, **feed})[0]
    np.testing.assert_allclose(after, before, rtol=0, atol=TOLERANCE * float(np.abs(before).max()))


def test_a_mask_that_never_holds_the_lowest_number_is_left_alone() -> None:
    call = 'y = com.microsoft.MultiHeadAttention<num_heads=2>(q, k, v, "", "", m)'
    inputs = f"{INPUTS}, bool[B,1,3,5] free"
    constants = "<float zero = {0}, float low = {-10000}>"
    model = draw(f"g ({inputs}) => (float[B,3,12] y) {constants} {{ m = Where(free, zero, low) {call} }}", opset=23)
    lower(GraphEdit(model))
    assert operators(model) == {"Where": 1, "Attention": 1}


STAY = {
    "mask of keys": (
        attention(f"{INPUTS}, int32[B,5] keys", 'q, k, v, "", keys'),
        "MultiHeadAttention has a mask of keys, the standard's Attention one of scores",
    ),
    "packed": (
        "g (float[B,3,2,3,4] qkv) => (float[B,3,8] y) { y = com.microsoft.MultiHeadAttention<num_heads=2>(qkv) }",
        "MultiHeadAttention reads query, key and value packed",
    ),
    "looking back over other lengths": (
        attention(INPUTS, "q, k, v", "num_heads=2, unidirectional=1"),
        "MultiHeadAttention looks back only, over keys of another length than the queries",
    ),
    "rotation that scales": (
        f"g (float[B,3,8] x, {TABLES}, int64[1] p) => (float[B,3,8] y) "
        "{ y = com.microsoft.RotaryEmbedding<num_heads=2, scale=2.0>(x, p, cos, sin) }",
        "RotaryEmbedding scales or packs, which the standard's does not",
    ),
    "another operator": (
        "g (float[3,4] x, float[4,5] w) => (float[3,5] y) { y = com.microsoft.FusedMatMul(x, w) }",
        "no standard form of FusedMatMul, an operator of ONNX Runtime, is known here",
    ),
    "a statistic that is read": (
        f"g ({NORM}) => (float[B,S,8] y, float[B,S,1] z) "
        "{ y, z = com.microsoft.SkipLayerNormalization(x, s, w, b, c) }",
        "output 'z' is read, which the standard's operator has not",
    ),
}


@pytest.mark.parametrize(("text", "reason"), STAY.values(), ids=STAY)
def test_leaves_what_the_standard_cannot_say(text: str, reason: str) -> None:
    model = draw(text, opset=23)
    before = ir.to_proto(model)
    lowered, stay = lower(GraphEdit(model))
    assert (lowered, [skip.reason for skip in stay]) == (0, [reason])
    assert ir.to_proto(model) == before


@pytest.mark.parametrize(("name", "opset"), [("exact GELU", 19), ("attention", 22), ("RMSNorm", 22)])
def test_leaves_what_an_older_opset_does_not_have(name: str, opset: int) -> None:
    model = draw(LOWERED[name][0], opset=opset)
    lowered, (skip,) = lower(GraphEdit(model))
    (operator,) = LOWERED[name][2]
    assert (lowered, skip.reason) == (0, f"opset {opset} has no {operator}")
