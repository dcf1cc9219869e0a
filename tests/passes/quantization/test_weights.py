"""Weights are found wherever a model may keep them, and stay where they were."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressor.model.tensors import all_tensors
from compressor.passes.contract import PassResult
from compressor.passes.quantization.options import Scheme
from tests.passes.quantization.drawn import Array, assert_near, draw, normal, operators, quantize, uneven


def large_floats(result: PassResult) -> list[str]:
    """What is still float, biases and scales aside."""
    return [
        held.label
        for held in all_tensors(result.model)
        if held.tensor.dtype is ir.DataType.FLOAT and held.tensor.size > 64
    ]


def with_constant(text: str, name: str, array: Array) -> str:
    """Write a weight as a Constant node into ONNX text."""
    numbers = ", ".join(repr(float(number)) for number in array.reshape(-1))
    dims = ", ".join(map(str, array.shape))
    return text.replace("CONSTANT", f"{name} = Constant<value = float[{dims}] {{{numbers}}}>()")


@pytest.mark.parametrize("scheme", Scheme)
def test_a_constant_node_is_a_weight_too(scheme: Scheme) -> None:
    text = with_constant("g (float[N, 64] x) => (float[N, 32] y) { CONSTANT y = MatMul(x, w) }", "w", uneven(64, 32))
    model = draw(text)
    result = quantize(model, scheme=scheme)
    assert result.counts["weights_quantized"] == 1
    assert "Constant" not in operators(result)
    assert not large_floats(result)
    assert_near(model, result, x=normal(8, 64, seed=1))


BRANCHES = """g (float[N, 64] x, bool c) => (float[N, 32] y) {
    y = If(c) <
        then_branch = t () => (float[N, 32] p) { %s p = MatMul(x, %s) },
        else_branch = e () => (float[N, 32] q) { r = MatMul(x, w) q = Neg(r) }
    >
}"""


@pytest.mark.parametrize("scheme", Scheme)
@pytest.mark.parametrize("is_true", [False, True])
def test_branches_share_a_weight_of_the_outer_graph(is_true: bool, scheme: Scheme) -> None:
    model = draw(BRANCHES % ("", "w"), w=uneven(64, 32))
    result = quantize(model, scheme=scheme)
    assert result.counts["weights_quantized"] == 1
    assert not large_floats(result)
    assert_near(model, result, x=normal(8, 64, seed=1), c=np.array(is_true))


@pytest.mark.parametrize("is_true", [False, True])
def test_a_branch_may_hold_a_weight_of_its_own(is_true: bool) -> None:
    text = with_constant(BRANCHES % ("CONSTANT", "own"), "own", uneven(64, 32, seed=2))
    model = draw(text, w=uneven(64, 32))
    result = quantize(model)
    assert result.counts == {"weights_quantized": 2, "matmul_in_int8": 2}
    assert not large_floats(result)
    assert_near(model, result, x=normal(8, 64, seed=1), c=np.array(is_true))


def test_an_initializer_of_a_loop_body_is_quantized_there() -> None:
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["h", "w"], ["next"]),
            helper.make_node("Identity", ["going"], ["still"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("h", TensorProto.FLOAT, [8, 64]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [8, 64]),
        ],
        [numpy_helper.from_array(normal(64, 64), "w")],
    )
    model = draw("g (float[8, 64] x, int64 n) => (float[8, 64] y) { y = Identity(x) }")
    del model.graph.node[:]
    model.graph.node.append(helper.make_node("Loop", ["n", "", "x"], ["y"], body=body))
    result = quantize(model)
    assert result.counts == {"weights_quantized": 1, "matmul_in_int8": 1}
    assert not large_floats(result)
    assert_near(model, result, x=normal(8, 64, seed=1), n=np.array(2))


@pytest.mark.parametrize("scheme", Scheme)
def test_a_constant_of_a_function_is_quantized_in_the_function(scheme: Scheme) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
    g (float[N, 64] x) => (float[N, 32] y, float[N, 32] z) { y = local.Project(x) h = Neg(x) z = local.Project(h) }
    <domain: "local", opset_import: ["" : 17]>
    Project (a) => (b) { CONSTANT s = MatMul(a, w) t = MatMul(a, w) b = Add(s, t) }"""
    model = draw(with_constant(text, "w", uneven(64, 32)))
    result = quantize(model, scheme=scheme)
    assert result.counts["weights_quantized"] == 1
    assert not large_floats(result)
    assert_near(model, result, x=normal(8, 64, seed=1))


def test_a_weight_handed_to_a_function_is_decoded_outside() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
    g (float[N, 64] x) => (float[N, 32] y) { y = local.Multiply(x, w) }
    <domain: "local", opset_import: ["" : 17]>
    Multiply (a, b) => (c) { c = MatMul(a, b) }"""
    model = draw(text, w=uneven(64, 32))
    result = quantize(model)
    assert result.counts == {"weights_quantized": 1, "decoded_to_float": 1}
    assert_near(model, result, x=normal(8, 64, seed=1))


@pytest.mark.parametrize("scheme", Scheme)
def test_a_long_chain_of_identities_is_followed(scheme: Scheme) -> None:
    chain = " ".join(f"v{n + 1} = Identity(v{n})" for n in range(3000))
    model = draw(f"g (float[N, 64] x) => (float[N, 32] y) {{ {chain} y = MatMul(x, v3000) }}", v0=uneven(64, 32))
    assert quantize(model, scheme=scheme).counts["weights_quantized"] == 1


def test_the_standard_domain_may_be_spelled_out() -> None:
    model = draw("g (float[N, 64] x) => (float[N, 32] y) { y = MatMul(x, w) }", w=normal(64, 32))
    model.opset_import[0].domain = "ai.onnx"
    assert quantize(model).counts["matmul_in_int8"] == 1


def test_equal_weights_that_were_two_stay_two() -> None:
    model = draw(
        "g (float[N, 64] x) => (float[N, 32] y, float[N, 32] z) { y = MatMul(x, a) z = MatMul(x, b) }",
        a=normal(64, 32), b=normal(64, 32),
    )  # fmt: skip
    result = quantize(model)
    integers = [v for v in result.model.graph.initializers.values() if v.dtype is ir.DataType.INT8]
    assert len(integers) == 2


def test_new_names_avoid_all_that_exist() -> None:
    model = draw(
        "g (float[N, 64] x) => (float[N, 32] y)"
        "{ y_int32 = MatMul(x, w) x_uint8 = Add(y_int32, w_scale)"
        "  x_scale = Add(x_uint8, w_int8) y = Identity(x_scale) }",
        w=uneven(64, 32), w_scale=normal(32), w_int8=normal(32),
    )  # fmt: skip
    model.graph.node[-1].name = "DynamicQuantizeLinear_x_uint8"
    result = quantize(model)
    assert result.counts["matmul_in_int8"] == 1
    names = [value.name for node in result.model.graph for value in node.outputs] + list(
        result.model.graph.initializers
    )
    assert len(names) == len(set(names))
    assert_near(model, result, x=normal(8, 64, seed=1))


@pytest.mark.parametrize("name", ["", "MatMul"])
def test_nodes_without_a_name_of_their_own_keep_their_own_scales(name: str) -> None:
    model = draw(
        "g (float[N, 64] x) => (float[N, 32] y, float[N, 32] z) { y = MatMul(x, a) z = MatMul(x, b) }",
        a=normal(64, 32), b=1e-4 * normal(64, 32, seed=2),
    )  # fmt: skip
    named = onnx.ModelProto.FromString(model.SerializeToString())
    for node in named.graph.node:
        node.name = name
    assert_near(model, quantize(named), x=normal(8, 64, seed=1))
