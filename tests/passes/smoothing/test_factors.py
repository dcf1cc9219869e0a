"""Matrices read in blocks against the same in one piece, and factors against what they are for."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from compressor.passes.quantization.channels import measure_channels
from compressor.passes.smoothing.matrix import channel_reach, measure_features, scaled_features
from tests.passes.smoothing.drawn import FEATURES, drawn, same, samples, smoothed

SHAPE = (1001, 300)
"""More elements than one block, and an odd number of rows."""

either_axis = pytest.mark.parametrize("axis", [0, 1])


def matrix() -> ir.TensorProtocol:
    random = np.random.default_rng(0)
    return ir.Tensor((random.normal(size=SHAPE) * random.lognormal(size=(SHAPE[0], 1))).astype(np.float32), name="w")


@either_axis
def test_features_are_measured_over_all_blocks(axis: int) -> None:
    peak, energy = measure_features(matrix(), axis)
    whole = matrix().numpy().astype(np.float64)
    assert np.array_equal(peak, np.abs(whole).max(axis=1 - axis).astype(np.float32))
    np.testing.assert_allclose(energy, np.square(whole).sum(axis=1 - axis))


@either_axis
def test_channels_reach_what_the_quantizer_makes_them_reach(axis: int) -> None:
    factors = np.exp2(np.random.default_rng(1).integers(-3, 3, SHAPE[axis])).astype(np.float32)
    plain, scaled = channel_reach(matrix(), axis, (np.ones_like(factors), factors))
    for reach, tensor in ((plain, matrix()), (scaled, scaled_features(matrix(), axis, factors))):
        theirs = measure_channels(tensor, frozenset({1 - axis}), paired={axis}).reach
        assert np.array_equal(reach, theirs.reshape(-1))


@either_axis
def test_a_matrix_is_scaled_block_by_block(axis: int) -> None:
    factors = np.exp2(np.arange(SHAPE[axis]) % 7 - 3).astype(np.float32)
    scaled = scaled_features(matrix(), axis, factors)
    expected = matrix().numpy() * (factors[:, None] if axis == 0 else factors)
    assert np.array_equal(scaled.numpy(), expected)
    again = scaled_features(scaled, axis, (1 / factors).astype(np.float32))
    assert np.array_equal(again.numpy(), matrix().numpy())


def test_features_whose_weights_are_small_are_divided_by_more() -> None:
    model = drawn("n = LayerNormalization(x, gamma, beta) a = MatMul(n, w1) y = Add(a, n)")
    small, large = 5, 6
    for name in ("gamma", "beta"):
        vector = model.graph.initializers[name]
        numbers = np.ones(FEATURES, np.float32)
        numbers[:3] = 40
        vector.const_value = ir.tensor(numbers, name=name)
    held = model.graph.initializers["w1"]
    assert held.const_value is not None
    weights = held.const_value.numpy().copy()
    weights[small] = np.sign(weights[small]) * 2.0**-14
    weights[large] = np.sign(weights[large]) * 2.0**-1
    held.const_value = ir.tensor(weights, name="w1")
    result = smoothed(model)
    multiplied = next(node for node in result.model.graph if node.op_type == "Mul").inputs[1]
    assert multiplied is not None
    assert multiplied.const_value is not None
    factors = 1 / multiplied.const_value.numpy()
    assert factors[small] >= 8 * factors[large]
    assert np.array_equal(np.log2(factors), np.rint(np.log2(factors)))
    assert same(model, result.model, samples(seed=3))
