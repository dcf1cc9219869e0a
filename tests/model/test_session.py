"""A session over a model in memory gives what a session over its file gives, to the last bit."""

from __future__ import annotations

import gc
from itertools import pairwise
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressor.errors import RuntimeRefusal
from compressor.model.load import load
from compressor.model.session import MOST_PLANNED, open_session
from compressor.model.weights import ComputedWeight, DetachedWeight

SIZE = 64
"""Rows and columns of each weight: 16 kB in float32, so it stays in its file."""


def values(seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=(SIZE, SIZE)).astype(np.float32)


def weight(name: str, seed: int) -> TensorProto:
    return numpy_helper.from_array(values(seed), name)


def model_of(
    nodes: list[onnx.NodeProto], weights: list[TensorProto], functions: list[onnx.FunctionProto] | None = None
) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", SIZE]) for name in ("x", "y"))
    graph = helper.make_graph(nodes, "g", [x], [y], weights)
    opsets = [helper.make_opsetid("", 21), *([helper.make_opsetid("local", 1)] if functions else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, functions=functions or [])


def plain() -> onnx.ModelProto:
    return model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], [weight("w", 1)])


def in_constant() -> onnx.ModelProto:
    constant = helper.make_node("Constant", [], ["c"], value=weight("", 1))
    return model_of([constant, helper.make_node("MatMul", ["x", "c"], ["y"])], [])


def in_branches() -> onnx.ModelProto:
    """Initializers and Constant nodes in the branches, of the same names in both."""

    def branch(seed: int) -> onnx.GraphProto:
        nodes = [
            helper.make_node("Constant", [], ["c"], value=weight("", seed)),
            helper.make_node("Add", ["c", "inner"], ["sum"]),
            helper.make_node("MatMul", ["x", "sum"], ["out"]),
        ]
        out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", SIZE])
        return helper.make_graph(nodes, "b", [], [out], [weight("inner", seed + 10)])

    nodes = [
        helper.make_node("Constant", [], ["flag"], value=helper.make_tensor("", TensorProto.BOOL, [], [True])),
        helper.make_node("If", ["flag"], ["y"], then_branch=branch(1), else_branch=branch(2)),
    ]
    return model_of(nodes, [])


def in_function() -> onnx.ModelProto:
    body = [
        helper.make_node("Constant", [], ["c"], value=weight("", 1)), helper.make_node("MatMul", ["a", "c"], ["b"]),
    ]  # fmt: skip
    function = helper.make_function("local", "F", ["a"], ["b"], body, [helper.make_opsetid("", 21)])
    nodes = [helper.make_node("F", ["x"], ["m"], domain="local"), helper.make_node("MatMul", ["m", "w"], ["y"])]
    return model_of(nodes, [weight("w", 2)], [function])


def cast_from(tensor: TensorProto) -> onnx.ModelProto:
    return model_of(
        [
            helper.make_node("Cast", [tensor.name], ["c"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["x", "c"], ["y"]),
        ],
        [tensor],
    )


def of_float16() -> onnx.ModelProto:
    return cast_from(numpy_helper.from_array(values(1).astype(np.float16), "w"))


def of_bfloat16() -> onnx.ModelProto:
    raw = values(1).astype(ml_dtypes.bfloat16).tobytes()
    return cast_from(TensorProto(name="w", data_type=TensorProto.BFLOAT16, dims=[SIZE, SIZE], raw_data=raw))


def of_float8() -> onnx.ModelProto:
    raw = values(1).astype(ml_dtypes.float8_e4m3fn).tobytes()
    return cast_from(TensorProto(name="w", data_type=TensorProto.FLOAT8E4M3FN, dims=[SIZE, SIZE], raw_data=raw))


def of_int4() -> onnx.ModelProto:
    raw = np.random.default_rng(1).bytes(SIZE * SIZE // 2)
    return cast_from(TensorProto(name="w", data_type=TensorProto.INT4, dims=[SIZE, SIZE], raw_data=raw))


def of_int64() -> onnx.ModelProto:
    return cast_from(numpy_helper.from_array(np.arange(SIZE * SIZE).reshape(SIZE, SIZE), "w"))


def of_bool() -> onnx.ModelProto:
    return cast_from(numpy_helper.from_array(values(1) > 0, "w"))


def of_a_shared_weight() -> onnx.ModelProto:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("MatMul", ["m", "w"], ["y"])]
    return model_of(nodes, [weight("w", 1)])


def of_an_unread_weight() -> onnx.ModelProto:
    return model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], [weight("w", 1), weight("unread", 2)])


def of_a_weight_hidden_where_it_is_read() -> onnx.ModelProto:
    """Each branch has an initializer of the outer one's name."""
    model = in_branches()
    names = {tensor.name for node in model.graph.node for a in node.attribute for tensor in a.g.initializer}
    model.graph.initializer.append(weight(min(names), 9))
    return model


DRAWN = [
    plain, in_constant, in_branches, in_function, of_float16, of_bfloat16, of_float8, of_int4, of_int64, of_bool,
    of_a_shared_weight, of_an_unread_weight, of_a_weight_hidden_where_it_is_read,
]  # fmt: skip

X = np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32)


def outputs(session: onnxruntime.InferenceSession) -> list[bytes]:
    return [output.tobytes() for output in session.run(None, {"x": X})]


def from_file(path: Path, is_optimized: bool = True) -> list[bytes]:
    options = onnxruntime.SessionOptions()
    if not is_optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return outputs(onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]))


@pytest.mark.parametrize("is_optimized", [True, False], ids=["optimized", "as it stands"])
@pytest.mark.parametrize("draw", DRAWN)
def test_gives_what_the_file_gives_to_the_last_bit(tmp_path: Path, draw: Any, is_optimized: bool) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(draw().SerializeToString())
    expected = from_file(path, is_optimized)
    assert outputs(open_session(load(path), is_optimized=is_optimized)) == expected


def test_unaligned_weights_are_read_right(tmp_path: Path) -> None:
    """The mapped array of a weight in a protobuf file starts at any byte."""
    for length in range(8):
        model = plain()
        model.graph.name = "n" * (length + 1)
        path = tmp_path / "model.onnx"
        path.write_bytes(model.SerializeToString())
        assert outputs(open_session(load(path))) == from_file(path)


@pytest.mark.parametrize("draw", [plain, in_constant, of_float16, of_int64, of_bool])
def test_a_stored_weight_is_handed_over_as_it_lies_in_its_file(tmp_path: Path, draw: Any) -> None:
    """Put into the serialized model instead, the weights of a large model would pass what protobuf can hold."""
    path = tmp_path / "model.onnx"
    path.write_bytes(draw().SerializeToString())
    assert len(open_session(load(path)).compressor_weights) == 1


def test_the_weights_live_as_long_as_the_session(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(plain().SerializeToString())
    expected = from_file(path)
    session = open_session(load(path))  # the model itself is gone by now
    gc.collect()
    rubbish = [np.full(SIZE * SIZE, seed, np.float32) for seed in range(200)]
    assert outputs(session) == expected
    assert len(rubbish) == 200


def test_computed_weights_are_computed(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(plain().SerializeToString())
    model = load(path)
    blocks = np.split(values(7), 4)
    computed = ComputedWeight(lambda: iter(blocks), ir.DataType.FLOAT, ir.Shape((SIZE, SIZE)), name="w")
    model.graph.initializers["w"].const_value = computed
    (result,) = open_session(model, is_optimized=False).run(None, {"x": np.eye(SIZE, dtype=np.float32)})
    assert result.tobytes() == values(7).tobytes()


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(in_constant().SerializeToString())
    model = load(path)
    open_session(model)
    assert [node.op_type for node in model.graph] == ["Constant", "MatMul"]
    value = model.graph.node(0).attributes["value"].as_tensor()
    assert isinstance(value, DetachedWeight)


def test_options_reach_the_runtime(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(plain().SerializeToString())
    session = open_session(load(path), threads=1, config={"session.x64quantprecision": "1"})
    options = session.get_session_options()
    assert options.intra_op_num_threads == 1
    assert options.get_session_config_entry("session.x64quantprecision") == "1"


def test_what_the_runtime_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    model = plain()
    model.graph.node[0].domain = "unheard.of"
    model.opset_import.append(helper.make_opsetid("unheard.of", 1))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(RuntimeRefusal, match=r"cannot load the model.*unheard\.of"):
        open_session(load(path))


@pytest.mark.parametrize(("nodes", "is_planned"), [(MOST_PLANNED, True), (MOST_PLANNED + 1, False)])
def test_reuse_of_buffers_is_planned_for_small_graphs_only(
    monkeypatch: pytest.MonkeyPatch, nodes: int, is_planned: bool
) -> None:
    planned = []

    def noting(model: bytes, options: onnxruntime.SessionOptions, **others: object) -> Any:
        planned.append(options.enable_mem_reuse)
        options.enable_mem_reuse = False
        return real(model, options, **others)

    real = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", noting)
    names = ["x", *(f"v{index}" for index in range(nodes - 1)), "y"]
    chain = [helper.make_node("Neg", [before], [after]) for before, after in pairwise(names)]
    session = open_session(ir.from_proto(model_of(chain, [])), is_optimized=False)
    assert planned == [is_planned]
    (y,) = session.run(None, {"x": values(0)})
    assert np.array_equal(y, values(0) if nodes % 2 == 0 else -values(0))
