"""Gather: tables are stored in int8, a scale for each row, and tied tables stay tied."""

from __future__ import annotations

import numpy as np
import pytest

from compressor.passes.quantization.options import Scheme, WeightType
from tests.passes.quantization.drawn import BY_CHANNEL, Array, assert_near, draw, normal, operators, quantize, uneven

IDS: Array = np.array([[0, 7, -1], [99, 3, 3]], np.int64)
LOOKUP = "g (int64[A, B] ids) => (float[A, B, 64] y) { y = Gather(w, ids) }"


@pytest.mark.parametrize("scheme", BY_CHANNEL)
def test_looks_up_integers_and_the_scale_of_their_row(scheme: Scheme) -> None:
    model = draw(LOOKUP, w=uneven(100, 64))
    result = quantize(model, scheme=scheme)
    assert result.counts == {"weights_quantized": 1, "gather_in_int8": 1}
    assert operators(result) == ["Gather", "Gather", "Cast", "Mul"]
    assert_near(model, result, channel_axis=1, ids=IDS)


def test_each_row_keeps_its_own_size() -> None:
    w = normal(100, 64)
    w[7] *= 1e-6
    model = draw(LOOKUP, w=w)
    assert_near(model, quantize(model), channel_axis=1, ids=np.array([[7, 1], [7, 2]], np.int64))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("ids", [np.array(3, np.int64), np.array([3, 0], np.int64), IDS % 16])
def test_takes_any_axis_and_any_indices(axis: int, ids: Array) -> None:
    w = uneven(16, 24, 32)
    y = np.take(w, ids, axis)
    shapes = [f"[{', '.join(map(str, a.shape))}]" if a.ndim else "" for a in (ids, y)]
    model = draw(f"g (int64{shapes[0]} i) => (float{shapes[1]} y) {{ y = Gather<axis = {axis}>(w, i) }}", w=w)
    result = quantize(model)
    assert result.counts["gather_in_int8"] == 1
    assert_near(model, result, channel_axis=None, i=ids)


def test_short_rows_share_a_scale_by_column() -> None:
    model = draw("g (int64[A] i) => (float[A, 4] y) { y = Gather(w, i) }", w=uneven(1000, 4))
    result = quantize(model)
    scales = next(v.const_value for v in result.model.graph.initializers.values() if v.name != "w_int8")
    assert scales is not None
    assert scales.size == 4


TIED = """g (int64[A, B] ids) => (float[A, B, 100] logits) {
    x = Gather(w, ids)
    %s
}"""


@pytest.mark.parametrize("weight_type", WeightType)
@pytest.mark.parametrize(
    "head",
    [
        "t = Transpose<perm = [1, 0]>(w) logits = MatMul(x, t)",
        "s = Constant<value_ints = [-1, 64]>() f = Reshape(x, s) g = Gemm<transB = 1>(f, w)"
        " o = Constant<value_ints = [4, 25, 100]>() logits = Reshape(g, o)",
    ],
    ids=["MatMul", "Gemm"],
)
def test_a_tied_table_is_stored_once_with_a_scale_for_each_token(head: str, weight_type: WeightType) -> None:
    w = normal(100, 64) * np.geomspace(0.5, 2, 100, dtype=np.float32)[:, None]
    model = draw(TIED % head, w=w)
    result = quantize(model, weight_type=weight_type)
    assert result.counts["weights_quantized"] == 1
    assert result.counts["gather_in_int8"] == 1
    large = [
        v for v in result.model.graph.initializers.values() if v.const_value is not None and v.const_value.size > 200
    ]
    assert len(large) == 1
    scales = [
        v for v in result.model.graph.initializers.values() if v.const_value is not None and v.const_value.size == 100
    ]
    assert len(scales) == 1
    assert_near(model, result, ids=np.arange(100).reshape(4, 25))


def test_one_table_looked_up_twice_is_stored_once() -> None:
    model = draw(
        "g (int64[A] i, int64[B] j) => (float[A, 64] y, float[B, 64] z) { y = Gather(w, i) z = Gather(w, j) }",
        w=uneven(100, 64),
    )
    result = quantize(model)
    assert result.counts == {"weights_quantized": 1, "gather_in_int8": 2}
    assert len(result.model.graph.initializers) == 2
    assert_near(model, result, channel_axis=0, i=np.array([1, 2], np.int64), j=np.array([5, 99], np.int64))


def test_indices_are_never_quantized() -> None:
    model = draw("g (int64[A, B] ids) => (int64[A, B] y) { y = Gather(w, ids) }", w=np.arange(5000, dtype=np.int64))
    assert not quantize(model).counts


def test_float16_rows_come_out_as_float16() -> None:
    model = draw(LOOKUP.replace("float", "float16"), w=uneven(100, 64).astype(np.float16))
    result = quantize(model)
    assert result.counts["gather_in_int8"] == 1
    assert_near(model, result, channel_axis=1, ids=IDS)
