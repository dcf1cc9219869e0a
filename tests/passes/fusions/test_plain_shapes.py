"""Shape arithmetic goes, the shapes stay."""

from __future__ import annotations

import numpy as np

from tests.passes.fusions.fusing import assert_left_alone, draw, fuse, normal, operators, run

I0, I1 = np.asarray([0]), np.asarray([1])


def test_a_reshape_by_computed_sizes_needs_constants_only() -> None:
    text = """g (float[B, S, 8] x) => (float[B, S, 2, 4] y) {
        d = Shape(x) b = Gather(d, i0) s = Gather(d, i1) t = Concat <axis=0> (b, s, two, four) y = Reshape(x, t) }"""
    model = draw(text, {"i0": I0, "i1": I1, "two": np.asarray([2]), "four": np.asarray([4])})
    result = fuse(model, {"x": normal(3, 5, 8)}, {"x": normal(1, 2, 8)})
    assert operators(result.model) == {"Reshape": 1}
    assert [value.name for value in result.model.graph.initializers.values()] != ["i0", "i1", "two", "four"]


def test_sizes_of_inner_values_are_read_from_the_input() -> None:
    text = """g (float[B, S, 8] x) => (float[B, S, 8] y, int64[1] n) {
        a = Relu(x) c = Tanh(a) d = Shape(x) e = Shape(c) n0 = Gather(d, i0) n1 = Gather(e, i0) n = Add(n0, n1)
        y = Exp(c) }"""
    result = fuse(draw(text, {"i0": I0}), {"x": normal(3, 5, 8)})
    assert operators(result.model)["Shape"] == 1


def test_what_changes_nothing_is_dropped_but_not_what_is_an_output() -> None:
    text = """g (float[B, 8] x) => (float[B, 8] y, float[B, 8] k) {
        a = Identity(x) b = Cast <to=1> (a) c = Dropout(b) d = Transpose <perm=[0, 1]> (c) e = Reshape(d, t) f = Relu(e)
        k = Identity(f) y = Exp(f) }"""
    result = fuse(draw(text, {"t": np.asarray([0, 8])}), {"x": normal(3, 8)})
    assert operators(result.model) == {"Relu": 1, "Identity": 1, "Exp": 1}


def test_a_cast_or_reshape_that_does_something_stays() -> None:
    text = (
        "g (float[B, 8] x) => (float[B, 8] y) { a = Cast <to=7> (x) b = Cast <to=1> (a) c = "
        "Reshape(b, t) y = Reshape(c, u) }"
    )
    model = draw(text, {"t": np.asarray([8, -1]), "u": np.asarray([-1, 8])})
    assert_left_alone(model, {"x": normal(3, 8)})


def test_dropout_that_trains_stays() -> None:
    text = "g (float[B, 8] x, bool training) => (float[B, 8] y) { a = Dropout(x, ratio, training) y = Relu(a) }"
    assert_left_alone(draw(text, {"ratio": np.asarray(0.5, np.float32)}))


def test_a_reshape_to_sizes_of_another_tensor_stays_as_it_is() -> None:
    text = "g (float[N, 4] x, float[A, B, 4] z) => (float[A, B, 4] y) { d = Shape(z) y = Reshape(x, d) }"
    model = draw(text)
    assert_left_alone(model, {"x": normal(6, 4), "z": normal(2, 3, 4)})


def test_empty_batches_stay_possible() -> None:
    text = (
        "g (float[B, S, 8] x) => (float[B, S, 2, 4] y) { d = Shape(x) b = Gather(d, i) t = Concat "
        "<axis=0> (b, r) y = Reshape(x, t) }"
    )
    model = draw(text, {"i": np.asarray([0, 1]), "r": np.asarray([2, 4])})
    fuse(model, {"x": normal(0, 5, 8)}, {"x": normal(3, 5, 8)})


def test_slices_that_may_be_cut_short_are_not_taken_for_their_bound() -> None:
    text = """g (float[S, 4] x, float[T, 4] z) => (float[N, 4] y, int64[2] w) {
        d = Shape(z) t = Gather(d, i0) y = Slice(x, i0, t) e = Shape(y) w = Mul(e, e)
        v = Neg(d) }"""
    fuse(
        draw(text.replace("int64[2] w", "int64[2] w, int64[2] v"), {"i0": I0}),
        {"x": normal(3, 4), "z": normal(7, 4)},
        {"x": normal(7, 4), "z": normal(3, 4)},
    )


def test_a_literal_zero_stays_a_size_of_zero() -> None:
    text = """g (float[B, N] x) => (float[M, B] y) {
        d = Shape(x) b = Gather(d, i0) t = Concat <axis=0> (i0, b) y = Reshape <allowzero=1> (x, t) }"""
    fuse(draw(text, {"i0": I0}), {"x": normal(3, 0)})


def test_the_length_of_a_trimmed_table_is_not_taken_for_that_of_the_tokens() -> None:
    text = """g (float[B, S, 8] x) => (float[8] y) {
        d = Shape(x) n = Gather(d, i1) t = Slice(table, i0, n, i0) u = Relu(t) e = Shape(u) k = Gather(e, i0)
        kf = Cast <to=1> (k) nf = Cast <to=1> (n) q = Div(kf, nf) r = ReduceSum <keepdims=0> (u, i0) y = Mul(r, q) }"""
    model = draw(text, {"i0": I0, "i1": I1, "table": normal(10, 8)})
    fuse(model, {"x": normal(2, 3, 8)}, {"x": normal(2, 12, 8)})


def test_a_trimmed_table_has_the_length_of_the_tokens_once_it_is_expanded_to_it() -> None:
    text = """g (float[B, S, 8] x) => (float[B, S, S] y) {
        d = Shape(x) b = Gather(d, i0) s = Gather(d, i1) t = Slice(table, i0, s, i1)
        bs = Concat <axis=0> (b, s) e = Expand(t, bs) q = Unsqueeze(e, i1) k = Unsqueeze(e, i2) r = Sub(q, k)
        f = Shape(r) h = Expand(half, f) u = Min(r, h) bss = Concat <axis=0> (b, s, s) y = Reshape(u, bss) }"""
    model = draw(text, {"i0": I0, "i1": I1, "i2": np.asarray([2]), "table": normal(1, 10), "half": normal(1)})
    result = fuse(model, {"x": normal(2, 3, 8)}, {"x": normal(1, 1, 8)}, {"x": normal(2, 10, 8)})
    assert result.counts["reshapes_made_constant"] == 1


def test_the_least_of_three_sizes_is_known() -> None:
    text = """g (float[B, S, 8] x) => (float[B, N, 8] y) {
        d = Shape(x) b = Gather(d, i0) s = Gather(d, i1) n = Min(b, s, nine) y = Slice(x, i0, n, i1) }"""
    fuse(draw(text, {"i0": I0, "i1": I1, "nine": np.asarray([9])}), {"x": normal(2, 3, 8)}, {"x": normal(20, 12, 8)})


def test_a_unit_matrix_has_the_type_it_is_asked_for() -> None:
    text = "g (int64[4, 4] x) => (int64[4, 4] y) { e = EyeLike <dtype=1> (x) c = Cast <to=7> (e) y = Add(c, x) }"
    assert_left_alone(draw(text), {"x": np.ones((4, 4), np.int64)})


def test_zeros_of_either_sign_are_not_one() -> None:
    body = (
        "a = Constant<value_float = 0.0>() b = Constant<value_float = -0.0>() p = Div(x, a) n = Div(x, b) y = Sub(p, n)"
    )
    model = draw(f"g (float[B, 2] x) => (float[B, 2] y) {{ {body} }}")
    result = assert_left_alone(model)
    (y,) = run(result.model, {"x": np.ones((1, 2), np.float32)})
    assert np.isposinf(y).all()
