"""Query heads that share keys become further queries of one head; keys and values are repeated no more."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest

from tests.passes.fusions.fusing import Array, draw, fuse, normal, operators

HEADS, GROUP, SIZE = 2, 3, 4
"""Heads of keys, query heads for each, features."""

WEIGHTS: Mapping[str, Array] = {
    "wq": 0.5 * normal(8, HEADS * GROUP * SIZE, seed=1),
    "wk": 0.5 * normal(8, HEADS * SIZE, seed=2),
    "wv": 0.5 * normal(8, HEADS * SIZE, seed=3),
    "query_split": np.asarray([0, 0, HEADS * GROUP, SIZE]),
    "key_split": np.asarray([0, 0, HEADS, SIZE]),
    "joined": np.asarray([0, HEADS * GROUP, -1, SIZE]),
    "merged": np.asarray([0, 0, HEADS * GROUP * SIZE]),
    "merged_few": np.asarray([0, 0, HEADS * SIZE]),
    "group": np.asarray([1, 1, GROUP, 1, 1]),
    "i1": np.asarray([1]),
    "i2": np.asarray([2]),
    "half": np.asarray(0.5, np.float32),
}
PROJECT = (
    "q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv) q4 = Reshape(q, query_split) k4 = Reshape(k, key_split) "
    "v4 = Reshape(v, key_split) qh = Transpose <perm=[0, 2, 1, 3]> (q4) kh = Transpose <perm=[0, 2, 1, 3]> (k4) "
    "vh = Transpose <perm=[0, 2, 1, 3]> (v4) "
)
NO_CACHE = "kc = Identity(kh) vc = Identity(vh) "
CACHE = (
    "bias = Concat <axis=3> (past_bias, new_bias) kc = Concat <axis=2> (past_k, kh) vc = Concat <axis=2> (past_v, vh) "
)
REPEATED = (
    "ku = Unsqueeze(kc, i2) vu = Unsqueeze(vc, i2) ke = Expand(ku, group) ve = Expand(vu, group) "
    "kf = Reshape(ke, joined) vf = Reshape(ve, joined) "
)
ATTENTION = (
    "kt = Transpose <perm=[0, 1, 3, 2]> (kf) qk = MatMul(qh, kt) s = Mul(qk, half) sm = Add(s, bias) "
    "p = Softmax <axis=-1> (sm) c = MatMul(p, vf) ct = Transpose <perm=[0, 2, 1, 3]> (c) y = Reshape(ct, merged) "
)
GROUPED = PROJECT + NO_CACHE + REPEATED + ATTENTION
GROUPED_WITH_CACHE = PROJECT + CACHE + REPEATED + ATTENTION


def graph(body: str, rows: str = "B", heads: int = 1, outputs: str = "", weights: Mapping[str, Array] = {}) -> ir.Model:
    """Draw a graph with those of the weights that it names, and a cache if it reads one."""
    words = set(body.replace(",", " ").replace("(", " ").replace(")", " ").split())
    given = f"float[B, S, 8] x, float[{rows}, {heads}, S, S] bias"
    if "past_k" in words:
        given = given.replace(" bias", f" new_bias, float[{rows}, {heads}, S, P] past_bias")
        given += ", float[B, 2, P, 4] past_k, float[B, 2, P, 4] past_v"
    used = {name: array for name, array in {**WEIGHTS, **weights}.items() if name in words}
    return draw(f"g ({given}) => (float[B, S, W] y{outputs}) {{ {body} }}", used)


def feeds(model: ir.Model) -> list[dict[str, Array]]:
    """Prompts and single tokens, with no past, a little and more; masks that hide any key from any query."""
    found = []
    for batch, length, past in ((1, 5, 0), (3, 4, 6), (2, 1, 9)):
        feed = {}
        sizes = {"B": batch, "S": length, "P": past}
        for seed, value in enumerate(model.graph.inputs):
            assert value.shape is not None
            shape = [size if isinstance(size, int) else sizes[str(size)] for size in value.shape]
            numbers = normal(*shape, seed=seed)
            feed[value.name or ""] = (
                np.where(numbers < -0.5, np.float32(-1e9), np.float32(0)) if "bias" in (value.name or "") else numbers
            )
        found.append(feed)
    return found


@pytest.mark.parametrize("heads", [1, HEADS * GROUP])
@pytest.mark.parametrize("rows", ["1", "B"])
@pytest.mark.parametrize("body", [GROUPED, GROUPED_WITH_CACHE], ids=["no cache", "cache"])
def test_repeats_no_keys_and_values(body: str, rows: str, heads: int) -> None:
    model = graph(body, rows, heads)
    result = fuse(model, *feeds(model), without=frozenset({"attention_cache"}))
    assert result.counts["grouped_queries_fused"] == 1
    assert "Expand" not in operators(result.model)
    fused = next(node for node in result.model.graph if node.op_type == "MultiHeadAttention")
    assert fused.attributes["num_heads"].as_int() == HEADS


def test_leaves_heads_repeated_in_another_order_alone() -> None:
    """As often as there are heads: what comes out has the same shape."""
    body = GROUPED.replace("i2)", "i1)").replace("group)", "heads_apart)")
    few = {
        "wq": WEIGHTS["wq"][:, : HEADS * HEADS * SIZE],
        "query_split": np.asarray([0, 0, HEADS * HEADS, SIZE]),
        "heads_apart": np.asarray([1, HEADS, 1, 1, 1]),
        "joined": np.asarray([0, HEADS * HEADS, -1, SIZE]),
        "merged": np.asarray([0, 0, HEADS * HEADS * SIZE]),
    }
    model = graph(body, weights=few)
    result = fuse(model, *feeds(model))
    assert operators(result.model)["MultiHeadAttention"] == 1
    assert operators(result.model)["Expand"] == 2
    assert "grouped_queries_fused" not in result.counts


def test_leaves_keys_and_values_of_different_groups_alone() -> None:
    body = GROUPED.replace("Reshape(v, key_split)", "Reshape(v, value_split)").replace(
        "Expand(vu, group)", "Expand(vu, pairs)"
    )
    threes = {
        "wv": 0.5 * normal(8, GROUP * SIZE, seed=3),
        "value_split": np.asarray([0, 0, GROUP, SIZE]),
        "pairs": np.asarray([1, 1, HEADS, 1, 1]),
    }
    model = graph(body, weights=threes)
    result = fuse(model, *feeds(model))
    assert operators(result.model)["MultiHeadAttention"] == 1
    assert "grouped_queries_fused" not in result.counts


def test_leaves_values_that_are_not_repeated_as_the_keys_are_alone() -> None:
    body = GROUPED.replace("ve = Expand(vu, group) ", "").replace("vu = Unsqueeze(vc, i2) ", "")
    body = body.replace("v = MatMul(x, wv)", "v = MatMul(x, wq)").replace(
        "Reshape(v, key_split)", "Reshape(v, query_split)"
    )
    body = body.replace("vf = Reshape(ve, joined)", "vf = Identity(vc)")
    model = graph(body)
    result = fuse(model, *feeds(model))
    assert operators(result.model)["MultiHeadAttention"] == 1
    assert "grouped_queries_fused" not in result.counts
