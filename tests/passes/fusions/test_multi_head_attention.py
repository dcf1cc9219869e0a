"""Attention in every spelling becomes MultiHeadAttention; what does not compute the same stays, with a reason."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest

from compressor.passes.fuse import FuseTransformer
from tests.passes.fusions.fusing import Array, assert_left_alone, draw, fuse, normal, operators, reasons, run

HEADS, SIZE, WIDTH = 2, 4, 8
WEIGHTS = {f"w{name}": 0.5 * normal(WIDTH, WIDTH, seed=seed) for seed, name in enumerate("qkvo")}
CONSTANTS: Mapping[str, Array] = {
    "split": np.asarray([0, 0, HEADS, SIZE]),
    "merge": np.asarray([0, 0, WIDTH]),
    "half": np.asarray(0.5, np.float32),
    "root": np.asarray(0.5**0.5, np.float32),
    "two": np.asarray(2.0, np.float32),
    "odd": np.asarray(0.3, np.float32),
    "zero": np.asarray(0.0, np.float32),
    "one": np.asarray(1.0, np.float32),
    "lowest": np.asarray(np.finfo(np.float32).min, np.float32),
    "infinite": np.asarray(-np.inf, np.float32),
    "soft": np.asarray(-2.0, np.float32),
    "ax12": np.asarray([1, 2]),
    "i0": np.asarray([0]),
    "i1": np.asarray([1]),
    "minus": np.asarray([-1]),
    "heads": np.asarray([HEADS]),
    "size": np.asarray([SIZE]),
    "wide": np.asarray([WIDTH]),
}
PROJECT = "q = MatMul(x, wq) k = MatMul(x, wk) v = MatMul(x, wv) "
SPLIT = (
    "q4 = Reshape(q, split) qh = Transpose <perm=[0, 2, 1, 3]> (q4) v4 = Reshape(v, split) vh = "
    "Transpose <perm=[0, 2, 1, 3]> (v4) k4 = Reshape(k, split) "
)
KEY_AT_ONCE = "kt = Transpose <perm=[0, 2, 3, 1]> (k4) "
KEY_IN_TWO = "kh = Transpose <perm=[0, 2, 1, 3]> (k4) kt = Transpose <perm=[0, 1, 3, 2]> (kh) "
PLAIN = "qk = MatMul(qh, kt) s = Mul(qk, half) "
MASK = "m4 = Unsqueeze(mask, ax12) free = Cast <to=9> (m4) "
ADDED = MASK + "bias = Where(free, zero, lowest) sm = Add(s, bias) "
SOFTMAX = "p = Softmax <axis=-1> (sm) c = MatMul(p, vh) "
MERGE = "ct = Transpose <perm=[0, 2, 1, 3]> (c) cm = Reshape(ct, merge) y = MatMul(cm, wo) "
INPUTS = "float[B, S, 8] x, int64[B, S] mask"


def graph(
    body: str,
    outputs: str = "float[B, S, 8] y",
    inputs: str = INPUTS,
    opset: int = 17,
    weights: Mapping[str, Array] | None = None,
) -> ir.Model:
    """Draw a graph with those of the weights and constants that it names."""
    words = set(body.replace(",", " ").replace("(", " ").replace(")", " ").split())
    known = {**WEIGHTS, **CONSTANTS, **(weights or {})}
    used = {name: array for name, array in known.items() if name in words and f" {name} = " not in body}
    return draw(f"g ({inputs}) => ({outputs}) {{ {body} }}", used, opset)


def masks(batch: int, length: int) -> Array:
    """Padding right, left, and holes, in turn."""
    mask = np.ones((batch, length), np.int64)
    for row in range(batch):
        if row % 3 == 0:
            mask[row, length - length // 3 :] = 0
        elif row % 3 == 1:
            mask[row, : length // 3] = 0
        else:
            mask[row, 1::2] = 0
    return mask


def feeds(batch: int, length: int) -> dict[str, Array]:
    return {"x": normal(batch, length, WIDTH, seed=length), "mask": masks(batch, length)}


FEEDS = (feeds(3, 7), feeds(1, 4))

ADDED_INFINITE = ADDED.replace("lowest", "infinite")

SPELLINGS = {
    "key transposed at once": PROJECT + SPLIT + KEY_AT_ONCE + PLAIN + ADDED + SOFTMAX + MERGE,
    "key transposed in two steps": PROJECT + SPLIT + KEY_IN_TWO + PLAIN + ADDED + SOFTMAX + MERGE,
    "scores divided": PROJECT + SPLIT + KEY_AT_ONCE + "qk = MatMul(qh, kt) s = Div(qk, two) " + ADDED + SOFTMAX + MERGE,
    "query scaled": PROJECT + SPLIT + KEY_AT_ONCE + "qs = Mul(qh, half) s = MatMul(qs, kt) " + ADDED + SOFTMAX + MERGE,
    "query scaled before the split": PROJECT.replace("q = MatMul(x, wq)", "qu = MatMul(x, wq) q = Mul(half, qu)")
    + SPLIT
    + KEY_AT_ONCE
    + "s = MatMul(qh, kt) "
    + ADDED
    + SOFTMAX
    + MERGE,
    "query and key by the root": PROJECT
    + SPLIT
    + KEY_IN_TWO
    + "qs = Mul(qh, root) ks = Mul(kt, root) s = MatMul(qs, ks) "
    + ADDED
    + SOFTMAX
    + MERGE,
    "scale left as a computation": PROJECT
    + SPLIT
    + KEY_AT_ONCE
    + "qd = Shape <start=3> (qh) qf = Cast <to=1> (qd) qr = Sqrt(qf) qk = MatMul(qh, kt) s = Div(qk, qr) "
    + ADDED
    + SOFTMAX
    + MERGE,
    "another scale": PROJECT + SPLIT + KEY_AT_ONCE + PLAIN.replace("half", "odd") + ADDED + SOFTMAX + MERGE,
    "no mask": PROJECT + SPLIT + KEY_AT_ONCE + PLAIN + SOFTMAX.replace("sm", "s") + MERGE,
    "soft mask": PROJECT + SPLIT + KEY_AT_ONCE + PLAIN + ADDED.replace("lowest", "soft") + SOFTMAX + MERGE,
    "scores replaced": PROJECT
    + SPLIT
    + KEY_AT_ONCE
    + PLAIN
    + MASK
    + "sm = Where(free, s, infinite) "
    + SOFTMAX
    + MERGE,
    "scores replaced where not": PROJECT
    + SPLIT
    + KEY_AT_ONCE
    + PLAIN
    + MASK
    + "hidden = Not(free) sm = Where(hidden, lowest, s) "
    + SOFTMAX
    + MERGE,
    "mask by arithmetic": PROJECT
    + SPLIT
    + KEY_AT_ONCE
    + PLAIN
    + "m4 = Unsqueeze(mask, ax12) mf = Cast <to=1> (m4) mi = Sub(one, mf) bias = Mul(mi, lowest) sm = Add(bias, s) "
    + SOFTMAX
    + MERGE,
    "guarded": PROJECT
    + SPLIT
    + KEY_AT_ONCE
    + PLAIN
    + ADDED.replace("lowest", "infinite")
    + "p0 = Softmax <axis=-1> (sm) nan = IsNaN(p0) p = Where(nan, zero, p0) c = MatMul(p, vh) "
    + MERGE,
    "identity, dropout and casts": PROJECT
    + SPLIT
    + KEY_AT_ONCE
    + PLAIN
    + ADDED
    + "p0 = Softmax <axis=-1> (sm) p1 = Dropout(p0) p2 = Cast <to=1> (p1) p = Identity(p2) c = MatMul(p, vh) "
    + MERGE,
    "shapes computed": PROJECT
    + (
        "d = Shape(x) b0 = Gather <axis=0> (d, i0) s0 = Gather <axis=0> (d, i1) split = Concat "
        "<axis=0> (b0, s0, minus, size) "
    )
    + SPLIT
    + KEY_AT_ONCE
    + PLAIN
    + ADDED
    + SOFTMAX
    + (
        "ct = Transpose <perm=[0, 2, 1, 3]> (c) cd = Shape(ct) cb = Gather <axis=0> (cd, i0) cs = "
        "Gather <axis=0> (cd, i1) "
    )
    + "back = Concat <axis=0> (cb, cs, wide) cm = Reshape(ct, back) y = MatMul(cm, wo) ",
    "einsum": PROJECT
    + (
        "q4 = Reshape(q, split) k4 = Reshape(k, split) v4 = Reshape(v, split) qk = Einsum "
        '<equation="bqhd,bkhd->bhqk"> (q4, k4) s = Mul(qk, half) '
    )
    + ADDED
    + (
        'p = Softmax <axis=-1> (sm) c = Einsum <equation="bhqk,bkhd->bqhd"> (p, v4) cm = Reshape(c, '
        "merge) y = MatMul(cm, wo) "
    ),
    "keys first": PROJECT
    + SPLIT
    + (
        "qt = Transpose <perm=[0, 1, 3, 2]> (qh) kh = Transpose <perm=[0, 2, 1, 3]> (k4) qk = "
        "MatMul(kh, qt) s = Mul(qk, half) "
    )
    + "pt = Softmax <axis=2> (s) p = Transpose <perm=[0, 1, 3, 2]> (pt) c = MatMul(p, vh) "
    + MERGE,
    "rows only": PROJECT
    + SPLIT
    + KEY_AT_ONCE
    + PLAIN
    + ADDED
    + SOFTMAX
    + "ct = Transpose <perm=[0, 2, 1, 3]> (c) d = Shape(x) "
    "rows = Concat <axis=0> (minus, wide) cm = Reshape(ct, rows) r = MatMul(cm, wo) y = Reshape(r, d)",
}


@pytest.mark.parametrize("body", SPELLINGS.values(), ids=SPELLINGS)
def test_fuses_every_spelling(body: str) -> None:
    model = graph(body, inputs=INPUTS if "mask" in body else "float[B, S, 8] x")
    given = [{name: feed[name] for name in ("x", "mask") if name == "x" or "mask" in body} for feed in FEEDS]
    result = fuse(model, *given)
    found = operators(result.model)
    assert found["MultiHeadAttention"] == 1
    assert found["Softmax"] == 0
    assert result.counts["attention_fused"] == 1
    assert found["MatMul"] == 4, "the projections stay plain products, each with its own weight"


TIME_FIRST = (
    "xt = Transpose <perm=[1, 0, 2]> (x) q = MatMul(xt, wq) k = MatMul(xt, wk) v = MatMul(xt, "
    "wv) d = Shape(xt) t0 = Gather <axis=0> (d, i0) "
    "b0 = Gather <axis=0> (d, i1) bn = Mul(b0, heads) split = Concat <axis=0> (t0, bn, size) q3 "
    "= Reshape(q, split) k3 = Reshape(k, split) v3 = Reshape(v, split) "
    "qh = Transpose <perm=[1, 0, 2]> (q3) kt = Transpose <perm=[1, 2, 0]> (k3) vh = Transpose "
    "<perm=[1, 0, 2]> (v3) qs = Mul(qh, half) s = MatMul(qs, kt) "
    "p = Softmax <axis=-1> (s) c = MatMul(p, vh) ct = Transpose <perm=[1, 0, 2]> (c) cm = "
    "Reshape(ct, d) yt = MatMul(cm, wo) y = Transpose <perm=[1, 0, 2]> (yt)"
)


def test_fuses_attention_with_time_first_and_batch_and_heads_in_one_axis() -> None:
    result = fuse(graph(TIME_FIRST, inputs="float[B, S, 8] x"), {"x": normal(3, 5, 8)})
    assert operators(result.model)["MultiHeadAttention"] == 1
    node = next(node for node in result.model.graph if node.op_type == "MultiHeadAttention")
    assert node.attributes["num_heads"].as_int() == HEADS


def test_fuses_attention_with_channels_before_the_sequence() -> None:
    body = (
        "xt = Transpose <perm=[0, 2, 1]> (x) q = MatMul(wq, xt) k = MatMul(wk, xt) v = MatMul(wv, xt) "
        "q4 = Reshape(q, apart) qh = Transpose <perm=[0, 1, 3, 2]> (q4) kt = Reshape(k, apart) v4 = Reshape(v, apart) "
        "vh = Transpose <perm=[0, 1, 3, 2]> (v4) " + PLAIN + ADDED + SOFTMAX + "ct = Transpose <perm=[0, 1, 3, 2]> (c) "
        "cm = Reshape(ct, together) o = MatMul(wo, cm) y = Transpose <perm=[0, 2, 1]> (o)"
    )
    weights = {"apart": np.asarray([0, HEADS, SIZE, -1]), "together": np.asarray([0, WIDTH, -1])}
    result = fuse(graph(body, weights=weights), *FEEDS)
    assert operators(result.model)["MultiHeadAttention"] == 1
    assert operators(result.model)["Reshape"] == 0


def test_fuses_attention_with_time_first_and_heads_in_an_axis_of_their_own() -> None:
    body = (
        "xt = Transpose <perm=[1, 0, 2]> (x) "
        + "".join(f'{n} = Einsum <equation="ibh,hnd->ibnd"> (xt, {n}3) ' for n in "qkv")
        + 'qk = Einsum <equation="ibnd,jbnd->bnij"> (q, k) s = Mul(qk, half) '
        + ADDED
        + 'p = Softmax <axis=-1> (sm) c = Einsum <equation="bnij,jbnd->ibnd"> (p, v) '
        + 'o = Einsum <equation="ibnd,hnd->ibh"> (c, o3) y = Transpose <perm=[1, 0, 2]> (o)'
    )
    weights = {f"{name}3": normal(WIDTH, HEADS, SIZE, seed=seed) for seed, name in enumerate("qkvo")}
    model = graph(body, weights=weights)
    before = FuseTransformer().run(model.clone()).model
    assert operators(before)["MultiHeadAttention"] == 1
    for feed in FEEDS:
        np.testing.assert_allclose(run(before, feed)[0], run(model, feed)[0], rtol=0, atol=2e-5)


def test_takes_an_open_length_of_a_bias_along_the_keys_for_theirs_but_not_along_the_queries() -> None:
    body = PROJECT + SPLIT + KEY_AT_ONCE + PLAIN + "sm = Add(s, bias) " + SOFTMAX + MERGE
    for shape, bias in (("K", normal(4)), ("K", normal(1)), ("1, K", normal(1, 4)), ("B, 1, 1, K", normal(3, 1, 1, 4))):
        model = graph(body, inputs=f"float[B, S, 8] x, float[{shape}] bias")
        result = fuse(model, {"x": normal(3, 4, 8), "bias": bias})
        assert operators(result.model)["MultiHeadAttention"] == 1
    model = graph(body, inputs="float[B, S, 8] x, float[Q, 1] bias")
    result = assert_left_alone(model, {"x": normal(3, 4, 8), "bias": normal(4, 1)})
    assert reasons(result) == ["'bias' (Q x 1) does not fit scores of B x 2 x S x S"]


def test_leaves_a_gap_in_a_reason_where_a_size_is_long() -> None:
    body = PROJECT + SPLIT + KEY_AT_ONCE + PLAIN + "sm = Add(s, bias) " + SOFTMAX + MERGE
    model = graph(body, inputs=f"float[B, S, 8] x, float[{'Q' * 41}, 1] bias")
    result = assert_left_alone(model, {"x": normal(3, 4, 8), "bias": normal(4, 1)})
    assert reasons(result) == ["'bias' (… x 1) does not fit scores of B x 2 x S x S"]


ALIBI = {
    "per key": ("float[B, 2, 1, S] alibi", "back = Concat <axis=0> (minus, i1, length) ", (3, 2, 1, 5)),
    "per query and key": ("float[B, 2, S, S] alibi", "back = Concat <axis=0> (minus, length, length) ", (3, 2, 5, 5)),
}


@pytest.mark.parametrize(("bias", "shape_of_bias", "shape"), ALIBI.values(), ids=ALIBI)
def test_fuses_a_bias_with_batch_and_heads_in_one_axis(bias: str, shape_of_bias: str, shape: tuple[int, ...]) -> None:
    made = f"length = Gather <axis=0> (d, i0) {shape_of_bias}flat = Reshape(alibi, back) sb = Add(s, flat) "
    body = TIME_FIRST.replace("p = Softmax <axis=-1> (s)", f"{made}p = Softmax <axis=2> (sb)")
    result = fuse(graph(body, inputs=f"float[B, S, 8] x, {bias}"), {"x": normal(3, 5, 8), "alibi": normal(*shape)})
    assert operators(result.model)["MultiHeadAttention"] == 1
    assert operators(result.model)["Softmax"] == 0


def test_leaves_a_bias_for_heads_before_batch_alone() -> None:
    made = "turned = Transpose <perm=[1, 0, 2, 3]> (alibi) flat = Reshape(turned, wide3) sb = Add(s, flat) "
    body = TIME_FIRST.replace("p = Softmax <axis=-1> (s)", f"{made}p = Softmax <axis=2> (sb)")
    inputs = "float[3, 5, 8] x, float[2, 2, 1, 5] alibi"
    model = graph(body, "float[3, 5, 8] y", inputs, weights={"wide3": np.asarray([4, 1, 5])})
    result = FuseTransformer().run(model)  # batches of 3 and 2: it cannot run
    assert reasons(result) == ["'flat' (4 x 1 x 5) does not fit scores of 3 x 2 x 5 x 5"]


def test_fuses_a_single_head_without_any_split() -> None:
    body = PROJECT + (
        "kt = Transpose <perm=[0, 2, 1]> (k) qk = MatMul(q, kt) s = Mul(qk, odd) p = Softmax "
        "<axis=-1> (s) y = MatMul(p, v)"
    )
    result = fuse(graph(body, inputs="float[B, S, 8] x"), {"x": normal(3, 5, 8)})
    assert operators(result.model)["MultiHeadAttention"] == 1


def test_fuses_a_cache_of_heads_in_front_of_keys_and_values() -> None:
    body = (
        PROJECT
        + SPLIT
        + "kn = Transpose <perm=[0, 2, 1, 3]> (k4) kh = Concat <axis=2> (pk, kn) va = Concat <axis=2> (pv, vh) "
        "kt = Transpose <perm=[0, 1, 3, 2]> (kh) "
        + PLAIN
        + "sm = Add(s, bias) p = Softmax <axis=-1> (sm) c = MatMul(p, va) "
        + MERGE
    )
    inputs = 'float[B, S, 8] x, float[B, 2, P, 4] pk, float[B, 2, P, 4] pv, float[B, 1, S, "P + S"] bias'
    feed = {
        "x": normal(2, 3, 8),
        "pk": normal(2, 2, 5, 4),
        "pv": normal(2, 2, 5, 4, seed=1),
        "bias": normal(2, 1, 3, 8),
    }
    result = fuse(graph(body, inputs=inputs), feed)
    assert operators(result.model)["MultiHeadAttention"] == 1


def test_fuses_keys_of_another_length_than_queries() -> None:
    body = SPLIT + KEY_AT_ONCE + PLAIN + ADDED + SOFTMAX + MERGE
    body = "q = MatMul(z, wq) k = MatMul(x, wk) v = MatMul(x, wv) " + body
    model = graph(body, "float[B, T, 8] y", f"{INPUTS}, float[B, T, 8] z")
    result = fuse(model, *({**feed, "z": normal(len(feed["x"]), 9, 8)} for feed in FEEDS))
    assert operators(result.model)["MultiHeadAttention"] == 1


def test_fuses_values_of_another_width_than_keys() -> None:
    body = SPLIT.replace("Reshape(v, split)", "Reshape(v, wsplit)") + KEY_AT_ONCE + PLAIN + ADDED + SOFTMAX
    body += "ct = Transpose <perm=[0, 2, 1, 3]> (c) y = Reshape(ct, wmerge)"
    weights = {"wv": normal(8, 12), "wsplit": np.asarray([0, 0, HEADS, 6]), "wmerge": np.asarray([0, 0, 12])}
    result = fuse(graph(PROJECT + body, "float[B, S, 12] y", weights=weights), *FEEDS)
    assert operators(result.model)["MultiHeadAttention"] == 1


def test_layers_with_one_mask_share_one_bias() -> None:
    first = PROJECT + SPLIT + KEY_AT_ONCE + PLAIN + MASK + "sm = Where(free, s, lowest) " + SOFTMAX + MERGE
    names = ["q", "k", "v", "q4", "qh", "v4", "vh", "k4", "kt", "qk", "s", "sm", "p", "c", "ct", "cm", "y"]
    second = first.replace(MASK, "")
    for name in names:
        for before, after in (
            (f" {name} =", f" {name}_2 ="),
            (f"({name})", f"({name}_2)"),
            (f"({name},", f"({name}_2,"),
            (f", {name})", f", {name}_2)"),
        ):
            second = second.replace(before, after)
        second = second.replace(f", {name},", f", {name}_2,")
    second = second.replace("q = ", "q_2 = ", 1).replace("(x, ", "(y, ").replace("y_2 =", "out =")
    result = fuse(graph(first + second, "float[B, S, 8] out"), *FEEDS)
    found = operators(result.model)
    assert found["MultiHeadAttention"] == 2
    assert found["Where"] == found["Expand"] == 1


def test_a_bias_per_head_stays_per_head() -> None:
    body = (
        PROJECT
        + SPLIT
        + KEY_AT_ONCE
        + PLAIN
        + "sr = Add(s, rel) "
        + ADDED.replace("Add(s,", "Add(sr,")
        + SOFTMAX
        + MERGE
    )
    model = graph(
        body, "float[B, 6, 8] y", "float[B, 6, 8] x, int64[B, 6] mask", weights={"rel": normal(1, HEADS, 6, 6)}
    )
    assert operators(fuse(model, feeds(3, 6)).model)["MultiHeadAttention"] == 1


def test_fully_masked_rows_of_guarded_attention_give_zero() -> None:
    feed = feeds(2, 6)
    feed["mask"][1] = 0
    fuse(graph(SPELLINGS["guarded"]), feed)


def test_fully_masked_rows_of_plain_attention_stay_what_they_are() -> None:
    feed = feeds(2, 6)
    feed["mask"][1] = 0
    for name in ("scores replaced", "scores replaced where not", "key transposed at once"):
        fuse(graph(SPELLINGS[name]), feed)


STANDARD = SPELLINGS["key transposed at once"]
REFUSED = {
    "probabilities are an output": (
        STANDARD,
        "float[B, S, 8] y, float[B, 2, S, S] p",
        "the probabilities 'p' are read elsewhere, too",
    ),
    "scores are an output": (
        STANDARD,
        "float[B, S, 8] y, float[B, 2, S, S] s",
        "the scores 's' are read elsewhere, too",
    ),
    "softmax over queries": (
        STANDARD.replace("axis=-1", "axis=2"),
        "float[B, S, 8] y",
        "the Softmax is not along the keys",
    ),
    "mild fill": (
        SPELLINGS["scores replaced"].replace("infinite", "soft"),
        "float[B, S, 8] y",
        "masked scores are replaced by -2, which an added mask cannot express",
    ),
    "scores times a tensor": (
        STANDARD.replace("Add(s, bias)", "Mul(s, bias)"),
        "float[B, S, 8] y",
        "the scores are multiplied with something that is not a constant number",
    ),
    "scores through tanh": (
        STANDARD.replace("s = Mul(qk, half)", "t = Mul(qk, half) s = Tanh(t)"),
        "float[B, S, 8] y",
        "the scores go through Tanh before the Softmax",
    ),
}


@pytest.mark.parametrize(("body", "outputs", "reason"), REFUSED.values(), ids=REFUSED)
def test_leaves_what_would_not_compute_the_same(body: str, outputs: str, reason: str) -> None:
    result = fuse(graph(body, outputs), *FEEDS)
    assert operators(result.model)["MultiHeadAttention"] == 0
    assert operators(result.model)["Softmax"] == 1
    assert reasons(result) == [reason]


def test_leaves_heads_that_are_mixed_up_when_merged_alone() -> None:
    body = STANDARD.replace("ct = Transpose <perm=[0, 2, 1, 3]> (c)", "ct = Transpose <perm=[0, 2, 3, 1]> (c)")
    result = fuse(graph(body), *FEEDS)
    assert result.counts.get("attention_fused", 0) in (0, 1)  # either way the outputs are the same, which fuse checks


def test_leaves_batches_that_are_repeated_alone() -> None:
    body = (
        "q = MatMul(x, wq) k = MatMul(z, wk) v = MatMul(z, wv) "
        + SPLIT
        + KEY_AT_ONCE
        + PLAIN
        + SOFTMAX.replace("sm", "s")
        + MERGE
    )
    model = graph(body, inputs="float[B, S, 8] x, float[1, S, 8] z")
    result = assert_left_alone(model, {"x": normal(3, 4, 8), "z": normal(1, 4, 8)})
    assert reasons(result) == ["batch sizes differ: B, 1, 1"]


def test_leaves_double_precision_alone() -> None:
    body = STANDARD
    doubled = {n: a.astype(np.float64) for n, a in {**WEIGHTS, **CONSTANTS}.items() if a.dtype == np.float32}
    model = graph(body, "double[B, S, 8] y", "double[B, S, 8] x, int64[B, S] mask", weights=doubled)
    result = fuse(model)
    assert operators(result.model)["Softmax"] == 1
    assert reasons(result) == ["query, key and value are not all of one type, float32 or float16"]


def test_leaves_a_softmax_between_other_things_without_a_word() -> None:
    result = assert_left_alone(
        graph("h = MatMul(x, wq) p = Softmax <axis=-1> (h) y = MatMul(p, wo)", inputs="float[B, S, 8] x")
    )
    assert reasons(result) == []


def test_softmax_of_an_old_opset_over_several_axes_is_left_alone() -> None:
    body = PROJECT + SPLIT + KEY_AT_ONCE + PLAIN + "p = Softmax(s) c = MatMul(p, vh) " + MERGE
    result = fuse(graph(body, inputs="float[B, S, 8] x", opset=11), {"x": normal(2, 3, 8)})
    assert operators(result.model)["Softmax"] == 1
    assert reasons(result) == ["the Softmax is not along the keys"]


def test_leaves_a_bias_that_makes_the_scores_larger_alone() -> None:
    body = PROJECT + SPLIT + KEY_AT_ONCE + PLAIN + "sm = Add(s, bias) " + SOFTMAX + MERGE.replace("merge", "rows")
    model = graph(
        body,
        "float[3, S, 8] y",
        "float[1, S, 8] x, float[3, 1, S, S] bias",
        weights={"rows": np.asarray([3, -1, 8])},
    )
    result = fuse(model, {"x": normal(1, 4, 8), "bias": normal(3, 1, 4, 4)})
    assert operators(result.model)["Softmax"] == 1
    assert reasons(result) == ["'bias' (3 x 1 x S x S) does not fit scores of 1 x 2 x S x S"]


KEYS_AND_VALUES_APART = (
    "q = MatMul(x, wq) k = MatMul(z, wk) v = MatMul(u, wv) "
    + SPLIT
    + KEY_AT_ONCE
    + PLAIN
    + SOFTMAX.replace("sm", "s")
    + MERGE
)


def test_fuses_keys_and_values_of_lengths_that_no_run_can_have_different() -> None:
    model = graph(KEYS_AND_VALUES_APART, inputs="float[B, S, 8] x, float[B, T, 8] z, float[B, U, 8] u")
    feed = {"x": normal(2, 3, 8), "z": normal(2, 5, 8), "u": normal(2, 5, 8, seed=1)}
    result = fuse(model, feed)
    assert operators(result.model)["MultiHeadAttention"] == 1
    for refused in (model, result.model):
        with pytest.raises(Exception, match=r"MatMul|Input 'key' and 'value'"):
            run(refused, {**feed, "u": normal(2, 4, 8)})


def test_leaves_keys_and_values_of_different_lengths_alone() -> None:
    model = graph(KEYS_AND_VALUES_APART, inputs="float[B, S, 8] x, float[B, 5, 8] z, float[B, 4, 8] u")
    result = fuse(model)
    assert operators(result.model)["Softmax"] == 1
    assert reasons(result) == ["lengths of keys and values differ: 5, 4"]


NO_MASK = SPELLINGS["no mask"]
REFUSED_WITHOUT_MASK = {
    "scale of zero": (
        NO_MASK.replace("Mul(qk, half)", "Mul(qk, zero)"),
        "the scale is 0, which the fused operator reads as not given",
    ),
    "scaled values": (
        NO_MASK.replace("MatMul(p, vh)", "MatMul(p, vs)").replace("p = Soft", "vs = Mul(vh, odd) p = Soft"),
        "the values are scaled",
    ),
    "keys first with a bias": (
        SPELLINGS["keys first"].replace("pt = Softmax <axis=2> (s)", "sb = Add(s, odd) pt = Softmax <axis=2> (sb)"),
        "something is added to scores that are transposed",
    ),
    "a guard that gives one": (
        SPELLINGS["guarded"]
        .replace("Where(nan, zero, p0)", "Where(nan, one, p0)")
        .replace(ADDED_INFINITE, "sm = Identity(s) "),
        "the probabilities 'p0' are read elsewhere, too",
    ),
}


@pytest.mark.parametrize(("body", "reason"), REFUSED_WITHOUT_MASK.values(), ids=REFUSED_WITHOUT_MASK)
def test_leaves_what_the_fused_operator_cannot_say(body: str, reason: str) -> None:
    result = fuse(graph(body, inputs="float[B, S, 8] x"), {"x": normal(2, 5, 8)})
    assert operators(result.model)["Softmax"] == 1
    assert reasons(result) == [reason]


SCALES_OF_WHOLE_NUMBERS = {
    "a root cut to a whole number": "r = Sqrt(three) n = Cast <to=7> (r) f = Cast <to=1> (n) s = Mul(qk, f) ",
    "a quotient of whole numbers": "n = Cast <to=7> (three) h = Div(n, w2) f = Cast <to=1> (h) s = Mul(qk, f) ",
    "a truth value": "b = Cast <to=9> (three) f = Cast <to=1> (b) s = Mul(qk, f) ",
}


@pytest.mark.parametrize("scale", SCALES_OF_WHOLE_NUMBERS.values(), ids=SCALES_OF_WHOLE_NUMBERS)
def test_a_scale_that_loses_its_fraction_on_the_way_is_not_read_with_it(scale: str) -> None:
    weights = {"three": np.asarray(3.0, np.float32), "w2": np.asarray(2)}
    model = graph(NO_MASK.replace("s = Mul(qk, half) ", scale), inputs="float[B, S, 8] x", weights=weights)
    result = fuse(model, {"x": normal(2, 5, 8)})
    assert reasons(result) == ["the scores are multiplied with something that is not a constant number"]


def test_a_scale_of_a_whole_number_is_read_through_a_cast() -> None:
    scale = "r = Sqrt(nine) n = Cast <to=7> (r) f = Cast <to=1> (n) s = Mul(qk, f) "
    weights = {"nine": np.asarray(9.0, np.float32)}
    model = graph(NO_MASK.replace("s = Mul(qk, half) ", scale), inputs="float[B, S, 8] x", weights=weights)
    assert operators(fuse(model, {"x": normal(2, 5, 8)}).model)["MultiHeadAttention"] == 1


def test_leaves_attention_over_heads_that_come_and_go_as_heads_alone() -> None:
    body = "kt = Transpose <perm=[0, 1, 3, 2]> (k) s = MatMul(q, kt) p = Softmax <axis=-1> (s) c = MatMul(p, v)"
    inputs = "float[B, 2, S, 4] q, float[B, 2, S, 4] k, float[B, 2, S, 6] v"
    model = graph(body, "float[B, 2, S, 6] c", inputs)
    feed = {"q": normal(3, 2, 5, 4), "k": normal(3, 2, 5, 4, seed=1), "v": normal(3, 2, 5, 6)}
    result = assert_left_alone(model, feed)
    assert reasons(result) == ["the heads are not split and merged around the attention, so fusing would add nodes"]


def test_leaves_a_mask_of_an_opset_without_expand_alone() -> None:
    body = PROJECT + SPLIT + KEY_AT_ONCE + PLAIN + "sm = Add(s, bias) " + SOFTMAX.replace("axis=-1", "axis=3") + MERGE
    model = graph(body, inputs="float[B, S, 8] x, float[B, 1, 1, S] bias", opset=7)
    result = fuse(model, {"x": normal(2, 3, 8), "bias": normal(2, 1, 1, 3)})
    assert operators(result.model)["Softmax"] == 1
    assert reasons(result) == ["opset 7 has no operators to bring a mask into the shape the fused one takes"]
