"""Rows whose few large values would ruin a channel are multiplied in float; all others in integers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from compressor.passes.quantization.channels import measure_channels
from compressor.passes.quantization.options import Scheme
from compressor.passes.quantization.outliers import COLUMNS, find_outlier_rows
from compressor.passes.quantize import QuantizeDynamic
from tests.passes.quantization.drawn import (
    Array,
    assert_near,
    assert_unchanged,
    draw,
    normal,
    operators,
    quantize,
    reasons,
    run_both,
)

SPOILED = {5: 3, 200: 3, 70: 8, 131: 20}
"""Row of each huge value, and its column; two of them in one column."""

RUINED = "a few large values in"
PLAIN = "g (float[N, 512] x) => (float[N, 48] y) { y = MatMul(x, w) }"


def spoiled(places: dict[int, int] = SPOILED) -> Array:
    w = normal(512, 48)
    for row, column in places.items():
        w[row, column] = 1000
    return w


def activations(*shape: int) -> Array:
    """Random numbers that are 0 where they meet huge weights, which would hide the error of all others."""
    x = normal(*shape, seed=1)
    x[..., list(SPOILED)] *= 1e-3
    return x


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_channel_ruined_by_one_row_is_near_and_small(dtype: type) -> None:
    name = "float" if dtype is np.float32 else "float16"
    text = f"g ({name}[N, 512] x) => ({name}[N, 48] y) {{ y = MatMul(x, w) }}"
    model = draw(text, w=spoiled().astype(dtype))
    result = quantize(model)
    assert result.counts == {"weights_quantized": 1, "matmul_in_int8": 1, "outlier_rows_kept_in_float": 4}
    assert result.note == "rows with outliers stay float: 4 of w"
    tensors = [value.const_value for value in result.model.graph.initializers.values() if value.const_value is not None]
    assert sum(tensor.nbytes for tensor in tensors) < 1.3 * 512 * 48
    assert_near(model, result, x=activations(64, 512).astype(dtype))


def test_a_large_feature_does_not_coarsen_the_others() -> None:
    model = draw(PLAIN, w=spoiled())
    x = normal(8, 512, seed=1)
    x[:, 5] = 1000
    clean = [column for column in range(48) if column not in SPOILED.values()]
    exact = np.delete(x, list(SPOILED), 1) @ np.delete(spoiled(), list(SPOILED), 0)
    floats = x[:, list(SPOILED)] @ spoiled()[list(SPOILED)]
    for _, actual in run_both(model, quantize(model), x=x):
        error = (actual - floats - exact)[:, clean]
        assert np.abs(error).max() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize("rank_is_known", [True, False])
@pytest.mark.parametrize("shape", [(512,), (8, 512), (2, 4, 512), (2, 3, 4, 512)])
def test_takes_activations_of_any_rank(shape: tuple[int, ...], rank_is_known: bool) -> None:
    given, made = ", ".join(map(str, shape)), ", ".join(map(str, (*shape[:-1], 48)))
    product = "y = MatMul(x, w)" if rank_is_known else "h = Identity(x) y = MatMul(h, w)"
    model = draw(f"g (float[{given}] x) => (float[{made}] y) {{ {product} }}", w=spoiled())
    result = quantize(model)
    assert result.counts["outlier_rows_kept_in_float"] == 4
    assert_near(model, result, channel_axis=-1 if len(shape) > 1 else None, x=activations(*shape))


def test_an_empty_batch_works_as_before() -> None:
    model = draw(PLAIN, w=spoiled())
    for expected, actual in run_both(model, quantize(model), x=np.zeros((0, 512), np.float32)):
        assert expected.shape == actual.shape == (0, 48)


def test_a_bias_after_the_product_is_added_once() -> None:
    text = "g (float[N, 512] x) => (float[N, 48] y) { p = MatMul(x, w) y = Add(p, b) }"
    model = draw(text, w=spoiled(), b=normal(48, seed=3) * 10)
    result = quantize(model)
    assert result.counts["outlier_rows_kept_in_float"] == 4
    assert_near(model, result, x=activations(8, 512))


def test_one_split_serves_all_products_of_a_shared_weight() -> None:
    model = draw(
        "g (float[N, 512] x, float[N, 512] z) => (float[N, 48] y, float[N, 48] t, float[N, 48] u)"
        "{ y = MatMul(x, w) t = MatMul(z, w) h = Relu(x) u = MatMul(h, w) }",
        w=spoiled(),
    )
    result = quantize(model)
    assert result.counts == {"weights_quantized": 1, "matmul_in_int8": 3, "outlier_rows_kept_in_float": 4}
    sizes = [value.const_value.size for value in result.model.graph.initializers.values() if value.const_value]
    assert sizes.count(512 * 48) == sizes.count(4 * 48) == 1
    assert_near(model, result, x=activations(8, 512), z=activations(8, 512) * 2)


@pytest.mark.parametrize(
    ("inputs", "other", "axis"),
    [
        ("int64[N] ids", "t = Gather(w, ids)", "[N, 48]"),
        ("float[48, N] z", "t = MatMul(w, z)", "[512, N]"),
        ("float[N, 48] z", "v = Transpose<perm = [1, 0]>(w) t = MatMul(z, v)", "[N, 512]"),
    ],
)
def test_a_use_that_cannot_be_split_keeps_the_weight_float(inputs: str, other: str, axis: str) -> None:
    text = f"g (float[N, 512] x, {inputs}) => (float[N, 48] y, float{axis} t) {{ y = MatMul(x, w) {other} }}"
    model = draw(text, w=spoiled())
    result = quantize(model)
    assert list(reasons(result)) == ["w"]
    assert_unchanged(model, result)


def test_outliers_in_too_many_rows_stay_float_with_the_reason() -> None:
    model = draw(PLAIN, w=spoiled({row: row % 48 for row in range(9)}))
    result = quantize(model)
    assert RUINED in reasons(result)["w"]
    assert_unchanged(model, result)


def test_infinity_and_weights_stored_only_stay_as_they_are() -> None:
    infinite = spoiled()
    infinite[7, 7] = np.inf
    for w, options in ((infinite, {}), (spoiled(), {"scheme": Scheme.WEIGHT_ONLY})):
        model = draw(PLAIN, w=w)
        assert_unchanged(model, quantize(model, **options))


def test_a_second_run_changes_nothing() -> None:
    result = quantize(draw(PLAIN, w=spoiled()))
    before = operators(result)
    again = QuantizeDynamic(min_elements=1).run(result.model)
    assert not again.counts
    assert operators(again) == before


def test_finds_rows_across_the_blocks_of_a_large_weight() -> None:
    w = normal(2048, 300)
    for row, column in {1: 7, 1000: 7, 2047: 299, 1023: 0}.items():
        w[row, column] = -1e6
    tensor = ir.tensor(w)
    assert find_outlier_rows(tensor, measure_channels(tensor, COLUMNS), ()) == (1, 1000, 1023, 2047)
