"""Attention that shares heads, shifts its scores or scales them by head becomes the same operator."""

from __future__ import annotations

import numpy as np
import pytest

from tests.passes.fusions.fusing import assert_left_alone, fuse, normal, operators, reasons
from tests.passes.fusions.test_multi_head_attention import (
    ADDED,
    FEEDS,
    KEY_AT_ONCE,
    MASK,
    MERGE,
    PLAIN,
    PROJECT,
    SIZE,
    SOFTMAX,
    SPELLINGS,
    SPLIT,
    WIDTH,
    graph,
)

ONE_HEAD = (
    "q = MatMul(x, wq) k = MatMul(x, wk1) v = MatMul(x, wv1) q4 = Reshape(q, split) "
    "qh = Transpose <perm=[0, 2, 1, 3]> (q4) k4 = Unsqueeze(k, i1) kt = Transpose <perm=[0, 1, 3, 2]> (k4) "
    "vh = Unsqueeze(v, i1) "
)


CHANGED_IN_HEADS = ONE_HEAD.replace("(k4) vh = Unsqueeze(v, i1)", "(kr) v4 = Unsqueeze(v, i1) vh = Relu(v4)").replace(
    "kt =", "kr = Relu(k4) kt ="
)


@pytest.mark.parametrize("heads", [ONE_HEAD, CHANGED_IN_HEADS], ids=["unchanged", "changed in heads"])
def test_repeats_the_one_head_of_keys_and_values_that_all_queries_share(heads: str) -> None:
    weights = {"wk1": normal(WIDTH, SIZE), "wv1": normal(WIDTH, SIZE, seed=1)}
    result = fuse(graph(heads + PLAIN + ADDED + SOFTMAX + MERGE, weights=weights), *FEEDS)
    found = operators(result.model)
    assert found["MultiHeadAttention"] == 1
    assert found["Softmax"] == 0
    assert found["Tile"] == 2


MASKED_TWICE = MASK + "hidden = Not(free) sm = Where(hidden, fill, s) p0 = Softmax <axis=-1> (sm) "
EMPTY_ROW = {**FEEDS[0], "mask": FEEDS[0]["mask"] * np.asarray([[1], [0], [1]])}


@pytest.mark.parametrize("fill", [-10000.0, -1e30, -np.inf])
@pytest.mark.parametrize("zeroed", ["p = Where(hidden, zero, p0) ", "p = Where(free, p0, zero) "])
def test_fuses_probabilities_that_are_set_to_zero_where_they_are_masked(fill: float, zeroed: str) -> None:
    masked = (
        MASKED_TWICE
        if "hidden, zero" in zeroed
        else MASKED_TWICE.replace("Where(hidden, fill, s)", "Where(free, s, fill)")
    )
    body = PROJECT + SPLIT + KEY_AT_ONCE + PLAIN + masked + zeroed + "c = MatMul(p, vh) " + MERGE
    result = fuse(graph(body, weights={"fill": np.asarray(fill, np.float32)}), *FEEDS, EMPTY_ROW)
    assert operators(result.model)["MultiHeadAttention"] == 1
    assert operators(result.model)["Softmax"] == 0


@pytest.mark.parametrize("zeroed", ["p = Where(free, zero, p0) ", "p = Where(hidden, half, p0) "])
def test_leaves_probabilities_alone_that_are_set_to_something_else(zeroed: str) -> None:
    body = PROJECT + SPLIT + KEY_AT_ONCE + PLAIN + MASKED_TWICE + zeroed + "c = MatMul(p, vh) " + MERGE
    result = assert_left_alone(graph(body, weights={"fill": np.asarray(-1e9, np.float32)}), *FEEDS)
    assert reasons(result) == ["the probabilities go through Where before the product with the values"]


def test_leaves_probabilities_alone_of_which_masked_keys_have_a_share_before_they_are_set_to_zero() -> None:
    zeroed = "p = Where(hidden, zero, p0) c = MatMul(p, vh) "
    body = PROJECT + SPLIT + KEY_AT_ONCE + PLAIN + MASKED_TWICE + zeroed + MERGE
    result = assert_left_alone(graph(body, weights={"fill": np.asarray(-2.0, np.float32)}), *FEEDS)
    assert reasons(result) == ["masked scores are replaced by -2, which an added mask cannot express"]


PEAK = "m = ReduceMax <axes=[-1], keepdims=0> (b) u = Unsqueeze(m, minus) d = Sub(b, u) sm = Mul(d, two) "
SHIFTED = PROJECT + SPLIT + KEY_AT_ONCE + PLAIN + ADDED.replace("sm =", "a =") + "b = Div(a, two) "


@pytest.mark.parametrize("peak", [PEAK, PEAK.replace("keepdims=0> (b) u = Unsqueeze(m, minus)", "keepdims=1> (b)")])
def test_drops_the_maximum_that_is_taken_from_each_row(peak: str) -> None:
    peak = peak if "(b) u" in peak else peak.replace("Sub(b, u)", "Sub(b, m)")
    result = fuse(graph(SHIFTED + peak + SOFTMAX + MERGE), *FEEDS)
    found = operators(result.model)
    assert found["MultiHeadAttention"] == 1
    assert found["ReduceMax"] == found["Softmax"] == 0


@pytest.mark.parametrize(
    ("peak", "reason"),
    [
        (PEAK.replace("Unsqueeze(m, minus)", "Unsqueeze(m, twos)").replace("[-1]", "[2]"), "are read elsewhere, too"),
        (PEAK.replace("ReduceMax", "ReduceMin"), "are read elsewhere, too"),
        (PEAK.replace("Sub(b, u)", "Sub(u, b)"), "not as in any attention known here"),
    ],
    ids=["of each column", "the minimum", "the other way round"],
)
def test_leaves_scores_alone_from_which_something_else_is_taken(peak: str, reason: str) -> None:
    result = assert_left_alone(graph(SHIFTED + peak + SOFTMAX + MERGE, weights={"twos": np.asarray([2])}), *FEEDS)
    assert any(reason in given for given in reasons(result))


@pytest.mark.parametrize(
    ("step", "name"),
    [("p = Mul(p0, half)", "Mul"), ("p = Clip(p0, zero, half)", "Clip"), ("p = Dropout(p0, half, yes)", "Dropout")],
)
def test_leaves_probabilities_alone_that_something_is_done_to(step: str, name: str) -> None:
    softmax = f"p0 = Softmax <axis=-1> (sm) {step} c = MatMul(p, vh) "
    model = graph(PROJECT + SPLIT + KEY_AT_ONCE + PLAIN + ADDED + softmax + MERGE, weights={"yes": np.asarray(True)})
    result = assert_left_alone(model, *(FEEDS if name != "Dropout" else ()))  # dropout in training is random
    assert reasons(result) == [f"the probabilities go through {name} before the product with the values"]


@pytest.mark.parametrize("shape", [(2, 1, 1), (1, 2, 1, 1), (3, 1, 1, 1), (1, 1)])
def test_multiplies_the_query_where_each_head_has_a_factor_of_its_own(shape: tuple[int, ...]) -> None:
    scaled = PLAIN.replace("Mul(qk, half)", "Mul(qk, factor)")
    body = PROJECT + SPLIT + KEY_AT_ONCE + scaled + ADDED + SOFTMAX + MERGE
    inputs = f"float[3, S, 8] x, int64[3, S] mask, float[{', '.join(map(str, shape))}] factor"
    result = fuse(graph(body, "float[3, S, 8] y", inputs), {**FEEDS[0], "factor": normal(*shape)})
    assert operators(result.model)["MultiHeadAttention"] == 1
    assert operators(result.model)["Softmax"] == 0


@pytest.mark.parametrize("shape", ["3, 1, S, 1", "3, 1, 1, S", "N, 1, 1"])
def test_leaves_scores_alone_that_are_multiplied_with_something_else(shape: str) -> None:
    scaled = PLAIN.replace("Mul(qk, half)", "Mul(qk, factor)")
    body = PROJECT + SPLIT + KEY_AT_ONCE + scaled + ADDED + SOFTMAX + MERGE
    inputs = f"float[3, S, 8] x, int64[3, S] mask, float[{shape}] factor"
    sizes = [{"S": 7, "N": 2}.get(size, 0) or int(size) for size in shape.split(", ")]
    model = graph(body, "float[3, S, 8] y", inputs)
    result = assert_left_alone(model, {**FEEDS[0], "factor": normal(*sizes)})
    assert reasons(result) == ["the scores are multiplied with something that is not a constant number"]


WINDOWS = (
    PROJECT
    + SPLIT
    + KEY_AT_ONCE
    + PLAIN
    + "s5 = Reshape(s, windows) sb = Add(s5, bias) sm = Reshape(sb, back) "
    + SOFTMAX
    + MERGE
)
SHAPES = {"windows": np.asarray([-1, 3, 2, 6, 6]), "back": np.asarray([-1, 2, 6, 6])}


@pytest.mark.parametrize(("bias", "shape"), [("1, 3, 1, 6, 6", (1, 3, 1, 6, 6)), ("1, 3, 2, 1, 6", (1, 3, 2, 1, 6))])
def test_repeats_a_bias_of_the_windows_of_an_image_for_every_image(bias: str, shape: tuple[int, ...]) -> None:
    model = graph(WINDOWS, 'float["3*B", 6, 8] y', f'float["3*B", 6, 8] x, float[{bias}] bias', weights=SHAPES)
    result = fuse(model, *({"x": normal(3 * batch, 6, 8), "bias": normal(*shape)} for batch in (1, 2)))
    assert operators(result.model)["MultiHeadAttention"] == 1
    assert operators(result.model)["Softmax"] == 0


@pytest.mark.parametrize(("bias", "shape"), [("B, 1, 1, 6, 6", (2, 1, 1, 6, 6)), ("2, 6, 6", (2, 6, 6))])
def test_leaves_a_bias_of_the_images_of_windows_alone(bias: str, shape: tuple[int, ...]) -> None:
    model = graph(WINDOWS, 'float["3*B", 6, 8] y', f'float["3*B", 6, 8] x, float[{bias}] bias', weights=SHAPES)
    result = assert_left_alone(model, {"x": normal(6, 6, 8), "bias": normal(*shape)})
    assert reasons(result) == [f"'bias' ({bias.replace(', ', ' x ')}) does not fit scores of B x 3 x 2 x 6 x 6"]


def test_leaves_transposed_scores_alone_from_which_a_maximum_along_the_queries_is_taken() -> None:
    peak = "m = ReduceMax <axes=[-1], keepdims=1> (s) d = Sub(s, m) pt = Softmax <axis=2> (d)"
    body = SPELLINGS["keys first"].replace("pt = Softmax <axis=2> (s)", peak)
    result = assert_left_alone(graph(body, inputs="float[B, S, 8] x"), {"x": normal(2, 5, 8)})
    assert reasons(result) == ["something is added to scores that are transposed"]
