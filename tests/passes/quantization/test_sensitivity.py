"""Expected noise of a stored weight, held against the noise that really comes out."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest

from compressor.evaluation.observe import add_features
from compressor.passes.quantization.options import Scheme
from compressor.passes.quantization.sensitivity import expected_noise, measure_power, stored_bytes, watched_values
from compressor.passes.quantization.weights import FloatWeight, find_float_weights
from compressor.passes.quantize import QuantizeDynamic
from tests.passes.quantization.drawn import Array, draw, normal, quantize, run_both

PRODUCT = "g (float[n, 64] x) => (float[n, 96] y) { y = MatMul(x, w) }"
TURNED = "g (float[n, 64] x) => (float[n, 96] y) { y = Gemm<transB = 1>(x, w) }"


def only_weight(model: ir.Model) -> FloatWeight:
    (weight,) = find_float_weights(model, 2)
    return weight


def uneven_features(rows: int) -> Array:
    """Normal numbers, some features twenty times as large as others."""
    return normal(rows, 64, seed=1) * np.geomspace(0.2, 4, 64).astype(np.float32)


@pytest.mark.parametrize("scheme", list(Scheme))
@pytest.mark.parametrize("text", [PRODUCT, TURNED])
def test_expected_noise_is_that_of_the_product(text: str, scheme: Scheme) -> None:
    weight = normal(64, 96, seed=2) if text is PRODUCT else normal(96, 64, seed=2)
    model = draw(text, w=weight)
    x = uneven_features(4096)
    expected, found = run_both(model, quantize(model, scheme=scheme), x=x)[-1]
    ratio = float(np.sum((expected - found) ** 2) / np.sum(expected**2))

    read = only_weight(ir.from_proto(model))
    (plan,), _ = QuantizeDynamic(min_elements=1, scheme=scheme).decide([read])
    estimate = expected_noise(plan, measure_power(read.tensor), {"x": add_features(None, x)})
    assert watched_values([read]) == ["x"]
    assert estimate == pytest.approx(ratio, rel=0.5)


def test_a_weight_used_twice_brings_its_noise_twice() -> None:
    once = draw(PRODUCT, w=normal(64, 96))
    twice = draw(
        "g (float[n, 64] x) => (float[n, 96] y, float[n, 96] z) { y = MatMul(x, w) z = MatMul(x, w) }",
        w=normal(64, 96),
    )
    noise = []
    for model in (once, twice):
        weight = only_weight(ir.from_proto(model))
        (plan,), _ = QuantizeDynamic(min_elements=1).decide([weight])
        noise.append(expected_noise(plan, measure_power(weight.tensor), {}))
    assert noise[1] == pytest.approx(2 * noise[0])


def test_power_is_the_sum_of_squares_along_each_axis() -> None:
    values = normal(5, 6, 7)
    power = measure_power(ir.tensor(values))
    for axis, found in enumerate(power.by_axis):
        others = tuple(other for other in range(3) if other != axis)
        np.testing.assert_allclose(found, np.square(values.astype(np.float64)).sum(axis=others))
    assert power.total == pytest.approx(float(np.square(values.astype(np.float64)).sum()))


@pytest.mark.parametrize("dtype", [np.float64, np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn], ids=str)
def test_power_of_any_float_type_is_known(dtype: Any) -> None:
    """A search asks before it knows which weights can be quantized."""
    values = normal(4, 6).astype(dtype)
    tensor = ir.Tensor(values, dtype=ir.DataType.from_numpy(values.dtype))
    assert measure_power(tensor).total == pytest.approx(float(np.square(values.astype(np.float64)).sum()))


@pytest.mark.parametrize("scheme", list(Scheme))
def test_stored_bytes_are_those_of_the_tensors_written(scheme: Scheme) -> None:
    model = draw("g (float[n, 256] x) => (float[n, 512] y) { y = MatMul(x, w) }", w=normal(256, 512))
    (plan,), _ = QuantizeDynamic(min_elements=1, scheme=scheme).decide([only_weight(ir.from_proto(model))])
    tensors = [value.const_value for value in quantize(model, scheme=scheme).model.graph.initializers.values()]
    written = sum(tensor.nbytes for tensor in tensors if tensor is not None)
    assert stored_bytes(plan) == pytest.approx(written, rel=0.01)


def test_a_lookup_table_is_judged_by_itself() -> None:
    text = "g (int64[n] i) => (float[n, 64] y) { y = Gather(w, i) }"
    weight = only_weight(ir.from_proto(draw(text, w=normal(100, 64))))
    (plan,), _ = QuantizeDynamic(min_elements=1).decide([weight])
    assert watched_values([weight]) == []
    assert 1e-6 < expected_noise(plan, measure_power(weight.tensor), {}) < 1e-3
