"""Sizes, layouts and shapes: what is proved is true in every run, what is not is not claimed."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from compressor.passes.fusions.dimensions import ONE, Size, broadcast, product
from compressor.passes.fusions.layout import Walk, back_through, plain_layout, regroup
from compressor.passes.fusions.shape_facts import infer, named_size
from tests.passes.fusions.fusing import Array, draw, normal, run

NAMES = ("b", "s", "t")
sizes = st.recursive(
    st.one_of(st.integers(0, 12).map(Size.of), st.sampled_from(NAMES).map(Size.of)),
    lambda inner: st.tuples(inner, inner, st.sampled_from(["+", "*", "-"])).map(
        lambda parts: {"+": parts[0] + parts[1], "*": parts[0] * parts[1], "-": parts[0] - parts[1]}[parts[2]]
    ),
    max_leaves=6,
)


def value_of(size: Size, run: dict[str, int]) -> int:
    return sum(factor * int(np.prod([run[name] for name in names], dtype=object)) for names, factor in size.terms)


runs = st.fixed_dictionaries({name: st.integers(1, 9) for name in NAMES})


def is_spelled_out(size: Size) -> bool:
    """Not one of those with so many terms that only a name is kept of them."""
    return not any(name.startswith("sum#") for names, _ in size.terms for name in names)


@given(sizes, sizes, runs)
def test_sizes_calculate_as_numbers_do(left: Size, right: Size, run: dict[str, int]) -> None:
    assume(all(map(is_spelled_out, (left, right, left + right, left - right, left * right))))
    a, b = value_of(left, run), value_of(right, run)
    assert value_of(left + right, run) == a + b
    assert value_of(left - right, run) == a - b
    assert value_of(left * right, run) == a * b
    quotient = left.divided_by(right)
    if quotient is not None:
        assert value_of(quotient, run) * b == a
    if left.is_never_negative:
        assert a >= 0
    if left == right:
        assert a == b


def test_long_sums_that_differ_in_one_coefficient_differ() -> None:
    halves = [sum((Size.of(f"{part}{number}") for number in range(10)), Size.of(0)) for part in "ab"]
    once, twice = (halves[0] - Size.of("m") * Size.of(times) + halves[1] for times in (1, 2))
    assert not is_spelled_out(once)
    assert once != twice
    assert once == halves[0] + (halves[1] - Size.of("m"))


@given(st.integers(-20, 20), st.integers(0, 9), st.integers(1, 7), st.integers(-4, 4), st.integers(1, 7))
def test_a_quotient_of_a_quotient_is_rounded_down_twice(
    constant: int, factor: int, by: int, more: int, further: int
) -> None:
    found = ((Size.of(constant) + Size.of(factor) * Size.of("s")) // Size.of(by) + Size.of(more)) // Size.of(further)
    for s in (1, 5, 12, 33):
        value = sum(c * math.prod(eval(name, {"s": s}) for name in names) for names, c in found.terms)
        assert value == ((constant + factor * s) // by + more) // further


def test_names_of_sums_and_products_are_read() -> None:
    assert named_size("past + sequence") == Size.of("sequence") + Size.of("past")
    assert named_size("2*batch") == Size.of(2) * Size.of("batch")
    assert named_size("Min(512, s)") == named_size("min(s, 512)") == Size.of("min(512, s)")
    assert named_size("max(0, 1 - s)") == Size.of(0)
    assert named_size("((b*s)//b)") == Size.of("s")
    assert named_size("2*(s - 1)") == Size.of(2) * Size.of("s") - Size.of(2)
    for odd in ("a.b", "/model/Slice[1]", "f(x)", "2**s", "(" * 400, "9" * 5000):
        assert named_size(odd) == Size.of(odd)


def test_broadcasting_claims_only_what_must_be() -> None:
    b, s = Size.of("b"), Size.of("s")
    assert broadcast(b, ONE) == b
    assert broadcast(ONE, b) == b
    assert broadcast(b, Size.of(4)) == Size.of(4)
    assert broadcast(b, s) not in (b, s)
    assert broadcast(b, s) == broadcast(s, b)


def test_heads_are_found_in_the_features_only_where_they_are() -> None:
    b, s, h = Size.of("b"), Size.of("s"), Size.of(12)
    layout = plain_layout((b, s, h))
    found = regroup(layout, (b, s, Size.of(3), Size.of(4)))
    assert found is not None
    groups, splits = found
    assert [product(axis.size for axis in group) for group in groups] == [b, s, Size.of(3), Size.of(4)]
    assert list(splits) == [layout[2][0]]
    assert regroup(layout, (b, s, Size.of(5), Size.of(4))) is None
    assert regroup(layout, (s, b, h)) is None
    assert regroup(layout, (b, s)) is None


@pytest.mark.parametrize(
    "body",
    [
        "a = Reshape(x, split) y = Transpose <perm=[0, 2, 1, 3]> (a)",
        "a = Reshape(x, split) b = Transpose <perm=[2, 0, 3, 1]> (a) y = Transpose <perm=[1, 0, 3, 2]> (b)",
        "a = Reshape(x, split) b = Transpose <perm=[0, 2, 1, 3]> (a) c = Reshape(b, joined) y = Reshape(c, apart)",
    ],
)
def test_a_walk_back_tells_where_every_element_comes_from(body: str) -> None:
    constants: dict[str, Array] = {
        "split": np.asarray([2, 5, 3, 4]),
        "joined": np.asarray([6, 5, 4]),
        "apart": np.asarray([2, 3, 5, 4]),
    }
    used = {name: array for name, array in constants.items() if name in body}
    model = draw(f"g (float[2, 5, 12] x) => (float[N, M, K, L] y) {{ {body} }}", used)
    facts = infer(model.graph, 17)
    value = model.graph.outputs[0]
    shape = facts.shape(value)
    assert shape is not None
    layout = plain_layout(shape)
    walk = Walk(layout, value, layout)
    while (further := back_through(facts, walk)) is not None:
        walk = further
    assert walk.value.name == "x"
    x = normal(2, 5, 12)
    atoms = [axis for group in walk.layout for axis in group]
    lengths = [axis.size.number or 0 for axis in atoms]
    order = [atoms.index(axis) for group in walk.start for axis in group]
    expected = x.reshape(lengths).transpose(order).reshape([int(size.number or 0) for size in shape])
    assert np.array_equal(run(model, {"x": x})[0], expected)


ZEROTH = np.asarray([0])
OPERATORS: dict[str, tuple[str, dict[str, Array]]] = {
    "matmul": ("y = MatMul(x, w)", {"w": normal(4, 6)}),
    "reshape copies and infers": ("y = Reshape(x, t)", {"t": np.asarray([0, -1])}),
    "reshape by sizes": ("d = Shape(x) f = Gather(d, i) y = Reshape(x, f)", {"i": np.asarray([1, 0, 2])}),
    "transpose": ("y = Transpose <perm=[2, 0, 1]> (x)", {}),
    "plain transpose": ("y = Transpose(x)", {}),
    "concat": ("y = Concat <axis=1> (x, x, z)", {}),
    "split": ("a, y = Split <axis=2> (x, t)", {"t": np.asarray([1, 3])}),
    "slice": ("y = Slice(x, a, e, ax)", {"a": np.asarray([1]), "e": np.asarray([-1]), "ax": np.asarray([2])}),
    "slice backwards": (
        "y = Slice(x, a, e, ax, st)",
        {"a": np.asarray([-1]), "e": np.asarray([-99]), "ax": np.asarray([2]), "st": np.asarray([-2])},
    ),
    "gather": ("y = Gather <axis=1> (x, i)", {"i": np.asarray([[0, 1]])}),
    "squeeze": ("u = Unsqueeze(x, ax) y = Squeeze(u, ax)", {"ax": np.asarray([0])}),
    "expand": ("y = Expand(z, t)", {"t": np.asarray([2, 1, 1, 1])}),
    "tile": ("y = Tile(x, t)", {"t": np.asarray([1, 2, 3])}),
    "pad": ("y = Pad(x, t)", {"t": np.asarray([0, 1, 0, 0, 2, 0])}),
    "pad as TorchScript writes it": (
        "a = Reshape(p, two) b = Slice(a, minus, first, zero, minus) c = Transpose <perm=[1, 0]> (b) "
        "t = Reshape(c, minus) y = Pad(x, t)",
        {
            "p": np.asarray([0, 5, 1, 2, 0, 0]),
            "two": np.asarray([-1, 2]),
            "minus": np.asarray([-1]),
            "first": np.asarray([-(2**63) + 1]),
            "zero": np.asarray([0]),
        },
    ),
    "slice but the first": ("y = Slice(x, a, e, a)", {"a": np.asarray([1]), "e": np.asarray([2**63 - 1])}),
    "slice but the last": ("y = Slice(x, a, e, ax)", {"a": ZEROTH, "e": np.asarray([-1]), "ax": np.asarray([1])}),
    "slice of all, counted from the end": (
        "d = Shape <start=1, end=2> (x) n = Neg(d) y = Slice(x, n, e, ax)",
        {"e": np.asarray([2**63 - 1]), "ax": np.asarray([1])},
    ),
    "slice of what a table has left": (
        "d = Shape <start=1, end=2> (x) n = Sub(w, d) y = Slice(table, n, e, ax)",
        {"table": normal(2, 9), "w": np.asarray([9]), "e": np.asarray([2**63 - 1]), "ax": np.asarray([1])},
    ),
    "slice of a table up to its limit": (
        "d = Shape <start=1, end=2> (x) n = Min(w, d) y = Slice(table, zero, n, ax)",
        {"table": normal(2, 9), "w": np.asarray([9]), "zero": ZEROTH, "ax": np.asarray([1])},
    ),
    "slice of a table from its limit": (
        "d = Shape <start=1, end=2> (x) n = Sub(w, d) m = Max(n, zero) y = Slice(table, m, w, ax)",
        {"table": normal(2, 9), "w": np.asarray([9]), "zero": ZEROTH, "ax": np.asarray([1])},
    ),
    "reshape to sizes in other words": (
        "b = Shape <end=1> (x) s = Shape <start=1, end=2> (x) m = Min(s, w) t = Concat <axis=0> (b, m, four) "
        "y = Reshape(x, t)",
        {"w": np.asarray([9]), "four": np.asarray([4])},
    ),
    "gather elements by place": ("y = GatherND(x, i)", {"i": np.asarray([[0, 1], [0, 0], [0, 1]])}),
    "rest of a division": (
        "d = Shape <start=1, end=2> (x) t = Mod(d, d) s = Div(d, two) u = Concat <axis=0> (t, s, two) "
        "y = ConstantOfShape(u)",
        {"two": np.asarray([2])},
    ),
    "reshape to a size nobody knows": (
        "u = ReduceMax <keepdims=0> (z) c = Clip(u, one, one) i = Cast <to=7> (c) r = Unsqueeze(i, zero) "
        "t = Concat <axis=0> (minus, r, r) y = Reshape(x, t)",
        {"one": np.asarray(1, np.float32), "zero": ZEROTH, "minus": np.asarray([-1])},
    ),
    "range backwards": (
        "d = Shape <start=1, end=2> (x) s = Squeeze(d, zero) n = Neg(s) y = Range(s, n, minus)",
        {"zero": ZEROTH, "minus": np.asarray(-1)},
    ),
    "max pool": ("y = MaxPool <kernel_shape=[2], strides=[2]> (x)", {}),
    "mean pool, rounded up": ("y = AveragePool <kernel_shape=[3], strides=[2], ceil_mode=1> (x)", {}),
    "global pool": ("y = GlobalMaxPool(x)", {}),
    "resize to sizes": ("y = Resize(x, , , t)", {"t": np.asarray([2, 3, 9])}),
    "resize by factors": ("y = Resize(x, , f)", {"f": np.asarray([1, 2, 1], np.float32)}),
    "conv of an open length": (
        "u = Transpose <perm=[0, 2, 1]> (x) c = Conv <pads=[1, 1]> (u, w) y = Transpose <perm=[0, 2, 1]> (c)",
        {"w": normal(5, 4, 3)},
    ),
    "flatten": ("y = Flatten <axis=2> (x)", {}),
    "mean": ("y = ReduceMean <axes=[-1], keepdims=0> (x)", {}),
    "sum over all": ("y = ReduceSum(x)", {}),
    "einsum": ('y = Einsum <equation="bsd,btd->bst"> (x, z)', {}),
    "arg max": ("y = ArgMax <axis=1, keepdims=0> (x)", {}),
    "broadcast": ("r = ReduceMax <axes=[1]> (x) y = Mul(r, z)", {}),
    "conv": ("y = Conv <strides=[2], pads=[1, 1]> (x, w)", {"w": normal(5, 3, 3)}),
}


OPEN = {
    "rest of a division",
    "reshape to a size nobody knows",
    "resize by factors",
    "mean pool, rounded up",
}
"""Those with an axis whose size cannot be said with the names of the inputs' sizes."""


@pytest.mark.parametrize("case", OPERATORS)
def test_facts_are_what_a_run_gives(case: str) -> None:
    body, weights = OPERATORS[case]
    first = "float[B, 3, 4]" if body.startswith("y = Conv") or "Pool" in body else "float[B, S, 4]"
    model = draw(f"g ({first} x, float[B, T, 4] z) => (float y) {{ {body} }}", weights)
    output = model.graph.outputs[0]
    output.shape = None  # nothing is stated, everything is worked out
    facts = infer(model.graph, 17)
    shape, dtype = facts.shape(output), facts.dtype(output)
    assert shape is not None
    assert dtype is not None
    output.type = ir.TensorType(dtype)
    for batch, length, other in ((2, 3, 5), (1, 3, 2)):
        result = run(model, {"x": normal(batch, length, 4), "z": normal(batch, other, 4)})[0]
        named = {"B": batch, "S": length, "T": other}
        assert len(shape) == result.ndim
        for size, actual in zip(shape, result.shape, strict=True):
            is_known = all(name in named for names, _ in size.terms for name in names)
            assert value_of(size, named) == actual if is_known else case in OPEN
