"""Views: the axes of a stored weight are found again behind Transpose and Reshape, or honestly given up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compressor.passes.quantization.views import View
from tests.passes.quantization.drawn import assert_near, draw, normal, operators, quantize, uneven


def test_a_merged_axis_is_made_of_all_its_parts() -> None:
    view = View.whole((768, 12, 64)).reshaped((768, 768))
    assert view.sources == ((0,), (1, 2))


def test_a_split_axis_cannot_be_traced_back() -> None:
    view = View.whole((768, 768)).reshaped((768, 12, 64))
    assert view.sources == ((0,), None, None)


def test_axes_of_size_one_come_and_go() -> None:
    view = View.whole((1, 768, 64)).reshaped((768, 1, 64, 1))
    assert view.sources == ((1,), (), (2,), ())


SIZES = st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=4)


@settings(derandomize=True, database=None)
@given(data=st.data(), shape=SIZES)
def test_spread_scales_are_what_the_rearranged_weight_has(data: st.DataObject, shape: list[int]) -> None:
    """Rearranging a tensor that holds its own scales gives, along traceable axes, the scales as spread."""
    view = View.whole(tuple(shape))
    seen: list[tuple[str, tuple[int, ...]]] = []
    for _ in range(3):
        order = data.draw(st.permutations(range(len(view.shape))))
        view = view.transposed(tuple(order))
        seen.append(("transpose", tuple(order)))
        target = tuple(data.draw(st.permutations(_regroup(data, view.shape))))
        if np.prod(target) == np.prod(view.shape):
            view = view.reshaped(target)
            seen.append(("reshape", target))
    scaled = view.stored_axes(*(axis for axis in range(len(view.shape)) if data.draw(st.booleans())))
    small = [size if axis in scaled else 1 for axis, size in enumerate(shape)]
    scales = np.arange(1, np.prod(small) + 1, dtype=np.float32).reshape(small)
    full = np.broadcast_to(scales, shape)
    for kind, argument in seen:
        full = full.transpose(argument) if kind == "transpose" else full.reshape(argument)
    assert np.array_equal(np.broadcast_to(view.spread(scales), view.shape), full)


def _regroup(data: st.DataObject, shape: tuple[int, ...]) -> list[int]:
    """Merge or split neighbouring sizes at random."""
    if len(shape) > 1 and data.draw(st.booleans()):
        return [*shape[:-2], shape[-2] * shape[-1]]
    return [*shape[:-1], 2, shape[-1] // 2] if shape[-1] % 2 == 0 else list(shape)


@pytest.mark.parametrize(
    ("stored", "views"),
    [
        ((64, 32), "v = Identity(w)"),
        ((32, 64), "v = Transpose<perm = [1, 0]>(w)"),
        ((32, 64), "i = Identity(w) t = Transpose(i) v = Identity(t)"),
        ((64, 4, 8), "s = Constant<value_ints = [0, -1]>() v = Reshape(w, s)"),
        ((4, 64, 8), "t = Transpose<perm = [1, 0, 2]>(w) s = Constant<value = int64[2] {64, 32}>() v = Reshape(t, s)"),
        ((1, 64, 32), "s = Constant<value_ints = [64, 32]>() v = Reshape(w, s)"),
        ((2048,), "s = Constant<value_ints = [64, 32]>() v = Reshape(w, s)"),
    ],
)
def test_multiplies_integers_behind_what_only_rearranges(stored: tuple[int, ...], views: str) -> None:
    model = draw(f"g (float[N, 64] x) => (float[N, 32] y) {{ {views} y = MatMul(x, v) }}", w=normal(*stored))
    result = quantize(model)
    assert result.counts == {"weights_quantized": 1, "matmul_in_int8": 1}
    assert operators(result).count("Transpose") == model.graph.node.__str__().count('"Transpose"')
    assert_near(model, result, x=normal(8, 64, seed=1))


def test_keeps_a_scale_for_each_output_channel_behind_a_transpose_and_a_merge() -> None:
    w = np.ascontiguousarray(uneven(64, 4, 8).transpose(1, 0, 2))
    model = draw(
        "g (float[N, 64] x) => (float[N, 32] y)"
        "{ t = Transpose<perm = [1, 0, 2]>(w) s = Constant<value_ints = [64, 32]>()"
        "  v = Reshape(t, s) y = MatMul(x, v) }",
        w=w,
    )
    assert_near(model, quantize(model), x=normal(8, 64, seed=1))


def test_a_rearrangement_that_others_use_too_stays_for_them() -> None:
    model = draw(
        "g (float[N, 64] x) => (float[N, 32] y, float[16, 32] z)"
        "{ v = Transpose<perm = [1, 0]>(w) y = MatMul(x, v)"
        "  s = Constant<value_ints = [0]>() e = Constant<value_ints = [16]>() z = Slice(v, s, e) }",
        w=normal(32, 64),
    )
    result = quantize(model)
    assert result.counts == {"weights_quantized": 1, "matmul_in_int8": 1, "decoded_to_float": 1}
    assert_near(model, result, x=normal(8, 64, seed=1))


def test_a_reshape_to_a_computed_shape_is_not_looked_through() -> None:
    model = draw(
        "g (float[N, 64] x, int64[2] s) => (float[N, 32] y) { v = Reshape(w, s) y = MatMul(x, v) }", w=normal(64, 32)
    )
    assert not quantize(model).counts
