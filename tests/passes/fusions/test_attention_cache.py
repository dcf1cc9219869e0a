"""New keys and values are appended to the cache by the operator, where nobody needs the longer cache before it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.passes.fusions.fusing import draw, fuse, normal, operators
from tests.passes.fusions.test_grouped_queries import (
    ATTENTION,
    CACHE,
    GROUPED_WITH_CACHE,
    PROJECT,
    WEIGHTS,
    feeds,
    graph,
)

PLAIN = (
    PROJECT.replace("wq", "wk").replace("query_split", "key_split")
    + CACHE
    + ATTENTION.replace("(kf)", "(kc)").replace("vf)", "vc)").replace("merged", "merged_few")
)
PRESENT = ", float[B, 2, T, 4] kc, float[B, 2, T, 4] vc"


@pytest.mark.parametrize("outputs", ["", PRESENT], ids=["cache dropped", "cache given back"])
@pytest.mark.parametrize("body", [PLAIN, GROUPED_WITH_CACHE], ids=["each its own keys", "grouped"])
def test_appends_in_the_operator(body: str, outputs: str) -> None:
    model = graph(body, outputs=outputs)
    result = fuse(model, *feeds(model))
    assert result.counts["attention_caches_fused"] == 1
    assert operators(result.model)["Concat"] == 1, "that of the bias"
    assert [value.name for value in result.model.graph.outputs] == [value.name for value in model.graph.outputs]


def test_a_second_run_changes_nothing() -> None:
    once = fuse(graph(GROUPED_WITH_CACHE, outputs=PRESENT)).model
    assert not fuse(once).counts


LEFT_ALONE = {
    "the longer cache is measured": PLAIN + "size = Shape(kc) ",
    "new tokens come first": PLAIN.replace("(past_k, kh)", "(kh, past_k)").replace("(past_v, vh)", "(vh, past_v)"),
    "values without a cache": PLAIN.replace("(past_v, vh)", "(vh)"),
}


@pytest.mark.parametrize("body", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_leaves_the_cache_alone(body: str) -> None:
    model = graph(body, outputs=", int64[4] size" if "size" in body else "")
    result = fuse(model, *([] if "(vh)" in body else feeds(model)))
    assert operators(result.model)["MultiHeadAttention"] == 1
    assert "attention_caches_fused" not in result.counts


OPERATOR = (
    "k4 = Reshape(k, split) v4 = Reshape(v, split) kh = Transpose <perm=[0, 2, 1, 3]> (k4) "
    "vh = Transpose <perm=[0, 2, 1, 3]> (v4) kc = Concat <axis=2> (pk, kh) vc = Concat <axis=2> (pv, vh) "
    "y = com.microsoft.MultiHeadAttention <num_heads=2> (q, kc, vc) "
)
INPUTS = "float[B, S, 8] q, float[B, S, 8] k, float[B, S, 8] v, float[B, 2, P, 4] pk, float[B, 2, P, 4] pv"
FEED = {
    **{name: normal(2, 3, 8, seed=seed) for seed, name in enumerate("qkv")},
    **{name: normal(2, 2, 5, 4, seed=seed) for seed, name in enumerate(("pk", "pv"))},
}
MASK = np.asarray([[1, 1, 1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1, 1, 1]], np.int32)
OTHERS = {
    "that looks back only": (OPERATOR.replace("num_heads=2", "num_heads=2, unidirectional=1"), INPUTS, {}),
    "with a mask of keys": (
        OPERATOR.replace("(q, kc, vc)", "(q, kc, vc, , mask, bias)"),
        f"{INPUTS}, int32[B, T] mask, float[1, 1, S, T] bias",
        {"mask": MASK, "bias": normal(1, 1, 3, 8)},
    ),
    "of new keys and values in other numbers": (
        OPERATOR,
        INPUTS.replace("float[B, S, 8] v", "float[B, R, 8] v").replace("float[B, 2, P, 4] pv", "float[B, 2, Q, 4] pv"),
        {"v": normal(2, 2, 8), "pv": normal(2, 2, 6, 4)},
    ),
}


@pytest.mark.parametrize(("body", "inputs", "feed"), OTHERS.values(), ids=OTHERS)
def test_leaves_an_operator_of_the_source_alone(body: str, inputs: str, feed: dict[str, np.ndarray]) -> None:
    split = {"split": np.asarray([0, 0, 2, 4])}
    plain = fuse(draw(f"g ({INPUTS}) => (float[B, S, 8] y) {{ {OPERATOR} }}", split), FEED)
    assert plain.counts["attention_caches_fused"] == 1
    result = fuse(draw(f"g ({inputs}) => (float[B, S, 8] y) {{ {body} }}", split), {**FEED, **feed})
    assert "attention_caches_fused" not in result.counts


@pytest.mark.parametrize("body", [PLAIN, GROUPED_WITH_CACHE], ids=["each its own keys", "grouped"])
def test_takes_the_cache_in_where_the_mask_gives_the_number_of_keys_a_name_of_its_own(body: str) -> None:
    mask = "m4 = Unsqueeze(mask, i12) free = Cast <to=9> (m4) "
    masked = mask + body.replace("bias = Concat <axis=3> (past_bias, new_bias) ", "")
    masked = masked.replace("sm = Add(s, bias)", "sm = Where(free, s, low)")
    weights = {"i12": np.asarray([1, 2]), "low": np.asarray(-1e9, np.float32)}
    used = {name: array for name, array in {**WEIGHTS, **weights}.items() if name in re.findall(r"\w+", masked)}
    inputs = "float[B, S, 8] x, int64[B, T] mask, float[B, 2, P, 4] past_k, float[B, 2, P, 4] past_v"
    model = draw(f"g ({inputs}) => (float[B, S, W] y{PRESENT.replace('T', 'L')}) {{ {masked} }}", used)
    feed = {"x": normal(2, 3, 8), "mask": MASK.astype(np.int64), "past_k": FEED["pk"], "past_v": FEED["pv"]}
    result = fuse(model, feed)
    assert result.counts["attention_caches_fused"] == 1
    assert operators(result.model)["Concat"] == 1, "that of the bias's shape"
