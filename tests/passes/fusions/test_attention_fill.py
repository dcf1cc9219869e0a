"""Scores that are replaced where they are masked: rows in which every score is show what they are replaced by."""

from __future__ import annotations

import numpy as np
import pytest

from compressor.passes.contract import PassResult
from tests.passes.fusions.fusing import Array, fuse, normal, operators, reasons
from tests.passes.fusions.test_multi_head_attention import (
    FEEDS,
    HEADS,
    KEY_AT_ONCE,
    MASK,
    MERGE,
    PLAIN,
    PROJECT,
    SOFTMAX,
    SPLIT,
    graph,
)

LENGTH = 7
EMPTY_ROW = {**FEEDS[0], "mask": FEEDS[0]["mask"] * np.asarray([[1], [0], [1]])}
SCORES = PROJECT + SPLIT + KEY_AT_ONCE + PLAIN + MASK
CAUSAL = np.tril(np.ones((LENGTH, LENGTH), bool))
LOWEST = float(np.finfo(np.float32).min)


def number(value: float) -> Array:
    return np.asarray(value, np.float32)


def fuse_masked(masked: str, **weights: Array) -> PassResult:
    """Fuse attention whose scores `s` become `sm` by `masked`; rows padded left lose every key they may see."""
    shapes = f"float[B, {LENGTH}, 8] x, int64[B, {LENGTH}] mask"
    known = {"causal": CAUSAL, "relative": normal(HEADS, LENGTH, LENGTH), **weights}
    model = graph(SCORES + masked + SOFTMAX + MERGE, f"float[B, {LENGTH}, 8] y", shapes, weights=known)
    return fuse(model, FEEDS[0], EMPTY_ROW)


PADDED_ADDED = "added = Where(free, zero, padded) "
EXPRESSIBLE = {
    "two fills": "sf = Where(causal, s, fill) sm = Where(free, sf, fill) ",
    "a fill of added masks": PADDED_ADDED + "sf = Add(s, added) sm = Where(causal, sf, fill) ",
    "a bias that is masked": "sf = Add(s, relative) sm = Where(free, sf, fill) ",
    "a fill, halved": "sf = Where(free, s, fill) sm = Mul(sf, half) ",
}


@pytest.mark.parametrize("fill", [-1e9, -1e36, -np.inf])
@pytest.mark.parametrize("masked", EXPRESSIBLE.values(), ids=EXPRESSIBLE)
def test_masks_in_the_order_of_the_graph(masked: str, fill: float) -> None:
    result = fuse_masked(masked, fill=number(fill), padded=number(LOWEST))
    assert operators(result.model)["MultiHeadAttention"] == 1


@pytest.mark.parametrize("padded", [LOWEST, -1e4])
def test_adds_to_a_fill_that_swallows_scores_what_the_graph_adds(padded: float) -> None:
    masked = "sf = Where(causal, s, fill) " + PADDED_ADDED + "sm = Add(sf, added) "
    result = fuse_masked(masked, fill=number(LOWEST), padded=number(padded))
    assert operators(result.model)["MultiHeadAttention"] == 1


@pytest.mark.parametrize("fill", [LOWEST, -np.inf])
def test_masks_two_times_with_different_numbers(fill: float) -> None:
    masked = "sf = Where(causal, s, padded) sm = Where(free, sf, fill) "
    assert operators(fuse_masked(masked, fill=number(fill), padded=number(-1e9)).model)["MultiHeadAttention"] == 1


REFUSED = {
    "a bias after a mild fill": ("sf = Where(free, s, fill) sm = Add(sf, relative) ", -1e4, "'relative' is added to"),
    "a mask after a mild fill": (
        "sf = Where(causal, s, fill) " + PADDED_ADDED + "sm = Add(sf, added) ",
        -1e4,
        "is added to scores that were replaced by -10000",
    ),
    "a mask before a fill like it": (
        PADDED_ADDED + "sf = Add(s, added) sm = Where(causal, sf, fill) ",
        -1e4,
        "scores that are masked by up to 10000 already are replaced by -10000",
    ),
    "a mask divided before a fill like it": (
        PADDED_ADDED + "each = Div(added, half) sf = Add(s, each) sm = Where(causal, sf, fill) ",
        -1e4,
        "scores that are masked by up to 10000 already are replaced by -10000",
    ),
    "a mask of a number with axes before a fill like it": (
        PADDED_ADDED.replace("padded", "shaped") + "sf = Add(s, added) sm = Where(causal, sf, fill) ",
        -1e4,
        "scores that are masked by up to 10000 already are replaced by -10000",
    ),
    "a mask made of arithmetic before a fill like it": (
        "kept = Cast <to=1> (free) hidden = Sub(one, kept) added = Mul(hidden, fill) sf = Add(added, s) "
        "sm = Where(causal, sf, fill) ",
        -1e9,
        "scores that are masked by up to 1e+09 already are replaced by -1e+09",
    ),
    "two mild fills": ("sf = Where(causal, s, padded) sm = Where(free, sf, fill) ", -1e5, "by both -10000 and -100000"),
    "a fill made small": ("sf = Where(free, s, fill) sm = Mul(sf, tiny) ", -1e4, "replaced by -1, which"),
    "a fill made large": (
        "sf = Where(free, s, fill) sm = Neg(sf) ".replace("Neg(sf", "Mul(sf, minus"),
        -1e9,
        "by 1e+09",
    ),
    "a fill that is no number": ("sm = Where(free, s, fill) ", np.nan, "replaced by nan"),
}


@pytest.mark.parametrize(("masked", "fill", "reason"), REFUSED.values(), ids=REFUSED)
def test_leaves_what_rows_without_any_key_would_show(masked: str, fill: float, reason: str) -> None:
    constants = {
        "fill": number(fill),
        "padded": number(-1e4),
        "shaped": number(-1e4).reshape(1, 1, 1),
        "tiny": number(1e-4),
        "minus": number(-1),
    }
    result = fuse_masked(masked, **constants)
    assert operators(result.model)["Softmax"] == 1
    assert reason in reasons(result)[0]


def test_leaves_a_bias_of_six_axes_alone() -> None:
    body = SCORES.replace(MASK, "") + "s6 = Reshape(s, six) sb = Add(s6, bias) sm = Reshape(sb, four) "
    shapes = {"six": np.asarray([1, 1, 3, HEADS, 7, 7]), "four": np.asarray([3, HEADS, 7, 7])}
    model = graph(
        body + SOFTMAX + MERGE,
        "float[3, 7, 8] y",
        "float[3, 7, 8] x",
        weights={**shapes, "bias": normal(*[1] * 4, 7, 7)},
    )
    assert operators(fuse(model, {"x": normal(3, 7, 8)}).model)["Softmax"] == 1


def test_scores_divided_by_zero_are_left_alone() -> None:
    body = SCORES.replace(MASK, "").replace("Mul(qk, half)", "Div(qk, zero)") + SOFTMAX.replace("sm", "s") + MERGE
    result = fuse(graph(body, inputs="float[B, S, 8] x"), {"x": normal(2, 3, 8)})
    assert operators(result.model)["Softmax"] == 1
