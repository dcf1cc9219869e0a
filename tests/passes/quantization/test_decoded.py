"""Weights of operators that compute in float: stored in int8, decoded once for all their uses."""

from __future__ import annotations

import numpy as np
import pytest

from compressor.passes.quantization.options import Scheme, WeightType
from tests.passes.quantization.drawn import (
    BY_CHANNEL,
    Array,
    assert_near,
    draw,
    normal,
    operators,
    quantize,
    reasons,
    uneven,
)

CONTRIB = '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>'
GRAPHS: dict[str, tuple[str, dict[str, Array], dict[str, Array]]] = {
    "Conv": (
        "g (float[1, 8, 9, 9] x) => (float[1, 32, 7, 7] y) { y = Conv(x, w) }",
        {"w": uneven(32, 8, 3, 3)},
        {"x": normal(1, 8, 9, 9, seed=1)},
    ),
    "depth-wise Conv": (
        "g (float[1, 256, 9] x) => (float[1, 256, 7] y) { y = Conv<group = 256>(x, w) }",
        {"w": uneven(256, 1, 3)},
        {"x": normal(1, 256, 9, seed=1)},
    ),
    "ConvTranspose": (
        "g (float[1, 8, 9] x) => (float[1, 32, 17] y) { y = ConvTranspose(x, w) }",
        {"w": uneven(8, 32, 9)},
        {"x": normal(1, 8, 9, seed=1)},
    ),
    "GRU": (
        "g (float[5, 1, 16] x) => (float[5, 1, 1, 16] y) { y = GRU<hidden_size = 16>(x, w, r) }",
        {"w": 0.3 * normal(1, 48, 16), "r": 0.3 * normal(1, 48, 16, seed=2)},
        {"x": normal(5, 1, 16, seed=1)},
    ),
    "FusedMatMul": (
        CONTRIB + "g (float[8, 32] x) => (float[8, 48] y) { y = com.microsoft.FusedMatMul<transB = 1>(x, w) }",
        {"w": uneven(48, 32)},
        {"x": normal(8, 32, seed=1)},
    ),
    "FusedGemm": (
        CONTRIB + "g (float[8, 32] x) => (float[8, 48] y)"
        '{ y = com.microsoft.FusedGemm<transB = 1, activation = "Relu">(x, w) }',
        {"w": uneven(48, 32)},
        {"x": normal(8, 32, seed=1)},
    ),
    "GatherND": (
        "g (float[32] x) => (float[2, 32] y)"
        "{ i = Constant<value = int64[2, 1] {3, 7}>() h = GatherND(w, i) y = Add(h, x) }",
        {"w": uneven(100, 32)},
        {"x": np.zeros(32, np.float32)},
    ),
    "MatMul of slices": (
        "g (float[8, 32] x) => (float[8, 16] y)"
        "{ s = Constant<value_ints = [0]>() e = Constant<value_ints = [16]>() a = Constant<value_ints = [1]>()"
        "  part = Slice(w, s, e, a) y = MatMul(x, part) }",
        {"w": normal(32, 48)},
        {"x": normal(8, 32, seed=1)},
    ),
    "MatMul of weights put together": (
        "g (float[8, 32] x) => (float[8, 48] y) { w = Concat<axis = 1>(a, b) y = MatMul(x, w) }",
        {"a": uneven(32, 32), "b": normal(32, 16, seed=3)},
        {"x": normal(8, 32, seed=1)},
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_stores_integers_and_computes_in_float(name: str) -> None:
    text, weights, feeds = GRAPHS[name]
    model = draw(text, **weights)
    result = quantize(model)
    assert result.counts["decoded_to_float"] == len(weights)
    assert not result.skipped
    assert_near(model, result, channel_axis=1 if "Conv" in name else None, **feeds)


def test_decodes_a_shared_weight_once() -> None:
    model = draw(
        "g (float[1, 16, 9] x) => (float[1, 16, 5] y) { h = Conv(x, w) y = Conv(h, w) }", w=0.2 * normal(16, 16, 3)
    )
    result = quantize(model)
    assert operators(result) == ["Cast", "Mul", "Conv", "Conv"]
    assert_near(model, result, channel_axis=1, x=normal(1, 16, 9, seed=1))


@pytest.mark.parametrize("weight_type", WeightType)
def test_a_weight_may_be_multiplied_in_integers_and_sliced_in_float(weight_type: WeightType) -> None:
    text = (
        GRAPHS["MatMul of slices"][0].replace("=> (", "=> (float[8, 48] z, ").replace("y = ", "z = MatMul(x, w) y = ")
    )
    model = draw(text, w=normal(32, 48))
    result = quantize(model, weight_type=weight_type)
    assert result.counts == {"weights_quantized": 1, "matmul_in_int8": 1, "decoded_to_float": 1}
    assert_near(model, result, x=normal(8, 32, seed=1))


@pytest.mark.parametrize("scheme", BY_CHANNEL)
def test_leaves_an_addend_in_float_and_names_the_operator(scheme: Scheme) -> None:
    model = draw("g (float[32, 32] x) => (float[32, 32] y) { h = MatMul(x, w) y = Add(h, w) }", w=normal(32, 32))
    result = quantize(model, scheme=scheme)
    assert reasons(result) == {"w": "used in float by Add y"}
    assert result.skipped[0].weight_bytes == 4096
    assert not result.counts


@pytest.mark.parametrize("opset", [7, 10])
def test_an_opset_without_dynamic_quantization_stores_integers_all_the_same(opset: int) -> None:
    header = f'<ir_version: 4, opset_import: ["" : {opset}]>'
    model = draw(header + "g (float[8, 64] x) => (float[8, 32] y) { y = MatMul(x, w) }", w=uneven(64, 32))
    result = quantize(model)
    assert result.counts == {"weights_quantized": 1, "decoded_to_float": 1}
    assert f"opset {opset}" in result.note
    assert result.model.graph.opset_imports[""] == opset
    assert_near(model, result, x=normal(8, 64, seed=1))


def test_an_opset_without_broadcasting_stays_float() -> None:
    header = '<ir_version: 4, opset_import: ["" : 6]>'
    model = draw(header + "g (float[8, 64] x) => (float[8, 32] y) { y = MatMul(x, w) }", w=normal(64, 32))
    assert "opset 6" in reasons(quantize(model))["w"]


def test_names_an_operator_that_has_neither_name_nor_output() -> None:
    model = draw("g (float[8, 32] x) => (float[8, 32] y) { y = Neg(x) }", w=normal(32, 32))
    model.graph.node.add(op_type="Sink", domain="foreign", input=["w"])
    model.opset_import.add(domain="foreign", version=1)
    assert reasons(quantize(model)) == {"w": "used in float by Sink without a name"}
