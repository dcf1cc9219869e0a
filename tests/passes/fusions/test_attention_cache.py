"""New keys and values are appended to the cache by the operator, where nobody needs the longer cache before it."""

from __future__ import annotations

import pytest

from tests.passes.fusions.fusing import fuse, operators
from tests.passes.fusions.test_grouped_queries import (
    ATTENTION,
    CACHE,
    GROUPED_WITH_CACHE,
    PROJECT,
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
