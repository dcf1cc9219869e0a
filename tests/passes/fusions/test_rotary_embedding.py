"""Rotations by position become RotaryEmbedding, in every spelling; what does not compute the same stays."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest

from tests.passes.fusions.fusing import Array, assert_left_alone, draw, fuse, normal, operators, reasons, run

HEADS, SIZE, WIDTH = 2, 8, 16
FREQUENCIES = (10.0 ** -np.arange(SIZE // 2)).astype(np.float32)


def _table(rows: int, entries: int) -> Array:
    """Angles of which the two features of a pair share one."""
    half = normal(rows, entries // 2, seed=3)
    return np.concatenate([half, half], axis=1)


CONSTANTS: Mapping[str, Array] = {
    "split": np.asarray([0, 0, HEADS, SIZE]),
    "frequencies": FREQUENCIES,
    "fewer": FREQUENCIES[:2],
    "scaling": np.asarray(1.5, np.float32),
    "table": _table(32, SIZE),
    "deep_table": _table(32, SIZE)[None, None],
    "uneven": normal(32, SIZE, seed=4),
    "i0": np.asarray([0]),
    "i1": np.asarray([1]),
    "i2": np.asarray([2]),
    "i3": np.asarray([3]),
    "i4": np.asarray([4]),
    "i8": np.asarray([8]),
    "last": np.asarray([-1]),
    "open": np.asarray([2**62]),
    "zero": np.asarray(0),
    "one": np.asarray(1),
    "minus": np.asarray(-1.0, np.float32),
    "thirds": np.asarray([3, 5]),
    "twice": np.asarray([1, 1, 1, 1, 2]),
    "rows": np.asarray([0, 0, 0, SIZE]),
    "rows_of_three": np.asarray([0, 0, SIZE]),
    "pairs": np.asarray([0, 0, 0, SIZE // 2, 2]),
    "halves": np.asarray([0, 0, 0, 2, SIZE // 2]),
    "half": np.asarray(SIZE // 2),
    "f": np.asarray(0.0, np.float32),
}
TO_HEADS = "x4 = Reshape(x, split) h = Transpose <perm=[0, 2, 1, 3]> (x4) "
POSITIONS = "s = Shape <start=1, end=2> (x) n = Squeeze(s) p = Range(zero, n, one) pb = Unsqueeze(p, i0) "
ANGLES = "pc = Unsqueeze(pb, i2) pf = Cast <to=1> (pc) half_angles = Mul(pf, frequencies) "
TWICE = "angles = Concat <axis=-1> (half_angles, half_angles) "
COSINES = "c3 = Cos(angles) n3 = Sin(angles) c = Unsqueeze(c3, i1) n1 = Unsqueeze(n3, i1) "
GIVEN = "pb = Identity(positions) "
PER_PAIR = "c3 = Cos(half_angles) n3 = Sin(half_angles) c = Unsqueeze(c3, i1) n1 = Unsqueeze(n3, i1) "
SLICED = "a = Slice(h, i0, i4, last) b = Slice(h, i4, open, last) "
QUARTER = "m = Neg(b) q = Concat <axis=-1> (m, a) "
ADDED = "hc = Mul(h, c) qn = Mul(q, n1) y = Add(hc, qn) "
NEIGHBOURS = "a = Slice(h, i0, open, last, i2) b = Slice(h, i1, open, last, i2) "
WOVEN = "m = Neg(b) mc = Unsqueeze(m, last) ac = Unsqueeze(a, last) w = Concat <axis=-1> (mc, ac) q = Reshape(w, rows) "
WOVEN_ANGLES = (
    "hc3 = Cos(half_angles) hn3 = Sin(half_angles) hc1 = Unsqueeze(hc3, i1) hn1 = Unsqueeze(hn3, i1) "
    "uc = Unsqueeze(hc1, last) un = Unsqueeze(hn1, last) ec = Tile(uc, twice) en = Tile(un, twice) "
    "c = Reshape(ec, rows) n1 = Reshape(en, rows) "
)
BY_HALVES = "ac = Mul(a, c) bn = Mul(b, n1) u = Sub(ac, bn) bc = Mul(b, c) an = Mul(a, n1) v = Add(bc, an) "
FRONT = TO_HEADS + POSITIONS + ANGLES + TWICE + COSINES
LOOKED_UP = GIVEN + "c3 = Gather(table, pb) n3 = Neg(c3) c = Unsqueeze(c3, i1) n1 = Unsqueeze(n3, i1) "

SPELLINGS = {
    "halves cut by Slice": FRONT + SLICED + QUARTER + ADDED,
    "halves cut by Split": FRONT + "a, b = Split <axis=-1> (h) " + QUARTER + ADDED,
    "halves as rows of a table": FRONT
    + "t = Reshape(h, halves) a = Gather <axis=3> (t, zero) b = Gather <axis=3> (t, one) "
    + QUARTER
    + ADDED,
    "negated by a product": FRONT + SLICED + QUARTER.replace("Neg(b)", "Mul(minus, b)") + ADDED,
    "operands the other way round": FRONT + SLICED + QUARTER + "hc = Mul(c, h) qn = Mul(n1, q) y = Add(qn, hc) ",
    "heads behind the sequence": FRONT.replace("h = Transpose <perm=[0, 2, 1, 3]> (x4)", "h = Identity(x4)")
    .replace("c = Unsqueeze(c3, i1)", "c = Unsqueeze(c3, i2)")
    .replace("n1 = Unsqueeze(n3, i1)", "n1 = Unsqueeze(n3, i2)")
    + SLICED
    + QUARTER
    + ADDED,
    "scaled cosines": FRONT.replace("c = Unsqueeze(c3, i1)", "cs = Mul(c3, scaling) c = Unsqueeze(cs, i1)")
    + SLICED
    + QUARTER
    + ADDED,
    "positions given for each row": TO_HEADS + GIVEN + ANGLES + TWICE + COSINES + SLICED + QUARTER + ADDED,
    "cosines looked up in a table": TO_HEADS + LOOKED_UP + SLICED + QUARTER + ADDED,
    "cosines looked up in a table cut to the length": TO_HEADS
    + "s = Shape <start=1, end=2> (x) cc = Slice(deep_table, i0, s, i2, i1) c1 = Squeeze(cc, i1) c2 = Squeeze(c1, i0) "
    + "n = Squeeze(s) p = Range(zero, n, one) pb = Unsqueeze(p, i0) "
    + "c3 = Gather(c2, pb) n3 = Neg(c3) c = Unsqueeze(c3, i1) n1 = Unsqueeze(n3, i1) "
    + SLICED
    + QUARTER
    + ADDED,
    "neighbours": TO_HEADS + POSITIONS + ANGLES + WOVEN_ANGLES + NEIGHBOURS + WOVEN + ADDED,
    "neighbours, angles woven before their cosines": TO_HEADS
    + POSITIONS
    + ANGLES
    + "ua = Unsqueeze(half_angles, last) wa = Concat <axis=-1> (ua, ua) angles = Reshape(wa, rows_of_three) "
    + COSINES
    + NEIGHBOURS
    + WOVEN
    + ADDED,
    "neighbours as columns of a table": TO_HEADS
    + POSITIONS
    + ANGLES
    + WOVEN_ANGLES
    + "t = Reshape(h, pairs) a = Gather <axis=-1> (t, zero) b = Gather <axis=-1> (t, one) "
    + WOVEN
    + ADDED,
    "half by half": TO_HEADS + POSITIONS + ANGLES + PER_PAIR + SLICED + BY_HALVES + "y = Concat <axis=-1> (u, v) ",
    "half by half, neighbours, positions given": TO_HEADS
    + GIVEN
    + ANGLES
    + PER_PAIR
    + NEIGHBOURS
    + BY_HALVES
    + "uc = Unsqueeze(u, last) vc = Unsqueeze(v, last) w = Concat <axis=-1> (uc, vc) y = Reshape(w, rows) ",
    "the first features only": FRONT.replace("frequencies", "fewer")
    + "k = Slice(h, i0, i4, last) rest = Slice(h, i4, open, last) "
    + "a = Slice(k, i0, i2, last) b = Slice(k, i2, i4, last) "
    + QUARTER
    + "hc = Mul(k, c) qn = Mul(q, n1) r = Add(hc, qn) y = Concat <axis=-1> (r, rest) ",
    "in heads from the start": POSITIONS.replace("<start=1, end=2> (x)", "<start=2, end=3> (h)")
    + ANGLES
    + TWICE
    + COSINES
    + SLICED
    + QUARTER
    + ADDED,
}


def twice(body: str) -> str:
    """Rotate two tensors by the same angles, as query and key are: what follows from the data is there as `…_2` too."""
    again, source = [], "h" if "x4" not in body else "x"
    names = {source}
    for outputs, operator, inputs in re.findall(r"([\w, ]+?) = (\w+(?: <[^>]*>)?) ?\(([^)]*)\)", body):
        made, read = outputs.strip().split(", "), inputs.split(", ")
        if operator.startswith("Shape") or not names & set(read):
            continue
        names.update(made)
        renamed = [", ".join(f"{name}_2" if name in names else name for name in given) for given in (made, read)]
        again.append(f"{renamed[0]} = {operator} ({renamed[1]})")
    return f"{body} {source}_2 = Abs({source}) {' '.join(again)} "


def graph(body: str, weights: Mapping[str, Array] | None = None, extra: str = "", source: str = "") -> ir.Model:
    """Draw a graph with those of the constants that it names, which rotates two tensors."""
    words = set(body.replace(",", " ").replace("(", " ").replace(")", " ").split())
    known = {**CONSTANTS, **(weights or {})}
    used = {name: array for name, array in known.items() if name in words and f" {name} = " not in body}
    given = source or ("float[B, 2, S, 8] h" if "x" not in words else "float[B, S, 16] x")
    given += ", int64[B, S] positions" if "positions" in words else ""
    outputs = f"float[B, N, T, 8] y, float[B, N, T, 8] y_2{extra}"
    return draw(f"g ({given}) => ({outputs}) {{ {twice(body)} }}", used)


def feeds(model: ir.Model) -> list[dict[str, Array]]:
    found = []
    names = {value.name for value in model.graph.inputs}
    for batch, length in ((1, 1), (1, 5), (3, 7)):
        rng = np.random.default_rng(length)
        feed: dict[str, Array] = {
            "x": normal(batch, length, WIDTH),
            "h": normal(batch, HEADS, length, SIZE),
            "positions": rng.integers(0, 32, (batch, length)),
        }
        found.append({name: array for name, array in feed.items() if name in names})
    return found


@pytest.mark.parametrize("body", SPELLINGS.values(), ids=SPELLINGS)
def test_fuses_every_spelling(body: str) -> None:
    model = graph(body)
    result = fuse(model, *feeds(model))
    assert result.counts["rotary_embedding_fused"] == 2
    assert operators(result.model)["RotaryEmbedding"] == 2
    assert not operators(result.model).keys() & {"Add", "Sub"}
    assert not result.skipped


@pytest.mark.parametrize("body", SPELLINGS.values(), ids=SPELLINGS)
def test_a_second_run_changes_nothing(body: str) -> None:
    once = fuse(graph(body)).model
    assert not fuse(once).counts


def test_half_precision_stays_half_precision() -> None:
    front = FRONT.replace("h = Transpose", "hf = Transpose").replace("c3 =", "cf =").replace("n3 =", "nf =")
    halved = "h = Cast <to=10> (hf) c3 = Cast <to=10> (cf) n3 = Cast <to=10> (nf) "
    front = front.replace(" c = Unsqueeze", f" {halved}c = Unsqueeze")
    model = graph(front + SLICED + QUARTER + ADDED.replace("y = Add", "yh = Add") + "y = Cast <to=1> (yh) ")
    result = fuse(model, *feeds(model), tolerance=2e-3)  # two roundings of 11 bits
    assert result.counts["rotary_embedding_fused"] == 2


def test_tables_are_made_once_for_all_rotations() -> None:
    model = graph(SPELLINGS["halves cut by Slice"])
    assert operators(fuse(model).model)["Slice"] == 2, "one for the cosines, one for the sines"


def test_positions_run_on_through_a_batch_whose_rows_differ() -> None:
    model = graph(SPELLINGS["positions given for each row"])
    result = fuse(model, *feeds(model))
    assert operators(result.model)["Range"] == 1
    empty: dict[str, Array] = {"x": np.zeros((2, 0, WIDTH), np.float32), "positions": np.zeros((2, 0), np.int64)}
    assert run(result.model, empty)[0].shape == run(model, empty)[0].shape


NEXT = "b = Identity(e) " + WOVEN + ADDED
LEFT_ALONE = {
    "turned the other way": (FRONT + SLICED + "m = Neg(a) q = Concat <axis=-1> (b, m) " + ADDED),
    "not negated": (FRONT + SLICED + "m = Abs(b) q = Concat <axis=-1> (m, a) " + ADDED),
    "the first half negated": (FRONT + SLICED + "m = Neg(a) q = Concat <axis=-1> (m, b) " + ADDED),
    "cut into uneven parts": (FRONT + "a, b = Split <axis=-1> (h, thirds) " + QUARTER + ADDED),
    "halves of another tensor": (FRONT + "o = Abs(h) " + SLICED.replace("(h", "(o") + QUARTER + ADDED),
    "halves of two tensors": (
        FRONT + "o = Abs(h) a = Slice(h, i0, i4, last) b = Slice(o, i4, open, last) " + QUARTER + ADDED
    ),
    "neighbours turned the other way": (
        TO_HEADS + POSITIONS + ANGLES + WOVEN_ANGLES + NEIGHBOURS.replace("a =", "e =").replace("b =", "a =") + NEXT
    ),
    "half by half with other sines": (
        TO_HEADS
        + POSITIONS
        + ANGLES
        + PER_PAIR
        + SLICED
        + BY_HALVES.replace("an = Mul(a, n1)", "o = Abs(n1) an = Mul(a, o)")
        + "y = Concat <axis=-1> (u, v) "
    ),
    "half by half with the signs exchanged": (
        TO_HEADS
        + POSITIONS
        + ANGLES
        + PER_PAIR
        + SLICED
        + BY_HALVES.replace("Sub(ac, bn)", "Add(ac, bn)").replace("Add(bc, an)", "Sub(bc, an)")
        + "y = Concat <axis=-1> (u, v) "
    ),
}


@pytest.mark.parametrize("body", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_leaves_what_is_no_such_rotation_alone(body: str) -> None:
    model = graph(body)
    result = fuse(model, *feeds(model))
    assert "RotaryEmbedding" not in operators(result.model)


ROTATED = SLICED + QUARTER + ADDED
REFUSED = {
    "features of a pair with angles of their own": (
        FRONT.replace("angles = Concat <axis=-1> (half_angles, ", "o = Abs(half_angles) angles = Concat <axis=-1> (o, ")
        + ROTATED,
        "the two features of a pair are not known to turn by the same angle",
    ),
    "a table of uneven halves": (
        TO_HEADS + LOOKED_UP.replace("table", "uneven") + ROTATED,
        "the two features of a pair are not known to turn by the same angle",
    ),
    "halves with the angles of neighbours": (
        TO_HEADS + POSITIONS + ANGLES + WOVEN_ANGLES + ROTATED,
        "the two features of a pair are not known to turn by the same angle",
    ),
    "neighbours with the angles of halves": (
        FRONT + NEIGHBOURS + WOVEN + ADDED,
        "the two features of a pair are not known to turn by the same angle",
    ),
    "angles for each head": (
        FRONT.replace("c = Unsqueeze(c3, i1)", "cu = Unsqueeze(c3, i1) c = Expand(cu, to_heads)").replace(
            "n1 = Unsqueeze(n3, i1)", "nu = Unsqueeze(n3, i1) n1 = Expand(nu, to_heads)"
        )
        + ROTATED,
        "the angles (1 x 2 x S x 8) are not one for each token of B x 2 x S x 8",
    ),
    "cosines for each head, sines for all": (
        FRONT.replace("c = Unsqueeze(c3, i1)", "cu = Unsqueeze(c3, i1) c = Expand(cu, to_heads)") + ROTATED,
        "cosines and sines of the rotation are not known to be of one shape",
    ),
}


@pytest.mark.parametrize(("body", "reason"), REFUSED.values(), ids=REFUSED)
def test_refuses_with_a_reason(body: str, reason: str) -> None:
    model = graph(body, {"to_heads": np.asarray([1, HEADS, 1, 1])})
    result = fuse(model, *feeds(model))
    assert "RotaryEmbedding" not in operators(result.model)
    assert reasons(result) == [reason] * 2


def test_refuses_angles_that_make_a_batch_of_one_row() -> None:
    model = graph(SPELLINGS["positions given for each row"], source="float[1, S, 16] x")
    feed = {"x": normal(1, 5, WIDTH), "positions": np.random.default_rng(0).integers(0, 32, (3, 5))}
    result = fuse(model, feed)
    assert reasons(result) == ["the angles (B x 1 x S x 8) are not one for each token of 1 x 2 x S x 8"] * 2


def test_refuses_to_take_a_value_away_that_is_read_elsewhere() -> None:
    model = graph(FRONT + SLICED + QUARTER + ADDED, extra=", float[B, N, T, 8] q")
    result = fuse(model, *feeds(model))
    assert reasons(result) == ["a part of the rotation, 'q', is read elsewhere, too"]
    assert result.counts["rotary_embedding_fused"] == 1


def test_is_left_out_where_the_user_says_so() -> None:
    model = graph(SPELLINGS["halves cut by Slice"])
    assert "RotaryEmbedding" not in operators(
        assert_left_alone(model, *feeds(model), without=frozenset({"rotary_embedding"})).model
    )


def test_looks_at_each_value_once_however_many_ways_lead_to_it() -> None:
    """Squares of squares: 2^20 ways from the cosines to the table."""
    squares = "t0 = Exp(c3) " + "".join(f"t{step + 1} = Mul(t{step}, t{step}) " for step in range(20))
    looked_up = LOOKED_UP.replace("c = Unsqueeze(c3, i1)", f"{squares}c = Unsqueeze(t20, i1)")
    started = time.process_time()
    assert fuse(graph(TO_HEADS + looked_up + ROTATED)).counts["rotary_embedding_fused"] == 2
    assert time.process_time() - started < 5, "a hundredth of that"
