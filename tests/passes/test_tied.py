"""Tied weights: one storage for a weight and its transpose or reshape, and the same outputs to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from compressor.model.load import load
from compressor.model.save import save
from compressor.passes.contract import PassResult
from compressor.passes.deduplicate import DeduplicateInitializers

ROWS, COLUMNS = 97, 24


def weight(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def draw(
    nodes: list[NodeProto], tensors: dict[str, NDArray[Any]], *, opset: int = 17, ir_version: int = 8
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "sequence"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def language_model(
    head: NDArray[Any], table: NDArray[Any], operator: str = "MatMul", **attributes: int
) -> onnx.ModelProto:
    nodes = [helper.make_node("Gather", ["table", "ids"], ["h"])]
    if operator == "Gemm":
        nodes.append(helper.make_node("Flatten", ["h"], ["flat"], axis=2))
    nodes.append(helper.make_node(operator, ["flat" if operator == "Gemm" else "h", "head"], ["y"]))
    return draw(nodes, {"head": head, "table": table})


def deduplicate(model: onnx.ModelProto, folder: Path, **options: bool) -> tuple[onnx.ModelProto, PassResult]:
    source, out = folder / "model.onnx", folder / "small.onnx"
    onnx.save(model, source)
    result = DeduplicateInitializers(**options).run(load(source))
    save(result.model, out)
    feeds = {"ids": np.arange(12).reshape(3, 4)}
    before, after = (ort.InferenceSession(path).run(None, feeds)[0] for path in (source, out))
    assert before.tobytes() == after.tobytes()
    return onnx.load(out), result


def stored(model: onnx.ModelProto) -> list[str]:
    return [tensor.name for tensor in model.graph.initializer]


@pytest.mark.parametrize("operator", ["MatMul", "Gemm"])
def test_keeps_the_table_and_reaches_the_head_by_transposing_it(operator: str, tmp_path: Path) -> None:
    table = weight(ROWS, COLUMNS)
    model, result = deduplicate(language_model(np.ascontiguousarray(table.T), table, operator), tmp_path)
    assert stored(model) == ["table"]
    assert dict(result.counts) == {"weights_tied": 1}
    assert [node.op_type for node in model.graph.node][:2] == ["Transpose", "Gather"]
    assert model.graph.node[0].output == ["head"]
    assert "both forms" in result.note


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    table = weight(ROWS, COLUMNS)
    deduplicate(language_model(np.ascontiguousarray(table.T), table), tmp_path)
    assert not DeduplicateInitializers().run(load(tmp_path / "small.onnx")).is_changed


def test_reaches_a_reshaped_weight_by_a_shape_that_the_model_holds(tmp_path: Path) -> None:
    table = weight(ROWS, COLUMNS)
    tensors = {"head": table.reshape(COLUMNS, ROWS), "table": table, "shape": np.array([COLUMNS, ROWS])}
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["h"]),
        helper.make_node("Reshape", ["table", "shape"], ["other"]),
        helper.make_node("MatMul", ["h", "head"], ["one"]),
        helper.make_node("MatMul", ["h", "other"], ["two"]),
        helper.make_node("Add", ["one", "two"], ["y"]),
    ]
    once, _ = deduplicate(draw(nodes, tensors), tmp_path)
    assert {tensor.name for tensor in once.graph.initializer} == {"table", "shape"}
    onnx.save(once, tmp_path / "once.onnx")
    again = DeduplicateInitializers().run(load(tmp_path / "once.onnx"))
    assert not again.is_changed


def test_leaves_a_transpose_that_differs_in_one_element(tmp_path: Path) -> None:
    table = weight(ROWS, COLUMNS)
    head = np.ascontiguousarray(table.T)
    head[COLUMNS // 2 + 1, ROWS // 2 + 1] = np.nextafter(head[COLUMNS // 2 + 1, ROWS // 2 + 1], np.float32(9))
    model, result = deduplicate(language_model(head, table), tmp_path)
    assert stored(model) == ["head", "table"]
    assert not result.is_changed


def test_tells_negative_zero_from_zero_in_a_transpose(tmp_path: Path) -> None:
    table = np.zeros((ROWS, COLUMNS), np.float32)
    head = np.zeros((COLUMNS, ROWS), np.float32)
    head[0, 0] = -0.0
    model, _ = deduplicate(language_model(head, table), tmp_path)
    assert len(stored(model)) == 2


def test_ties_a_square_matrix_to_its_transpose(tmp_path: Path) -> None:
    table = weight(COLUMNS, COLUMNS)
    model, result = deduplicate(language_model(np.ascontiguousarray(table.T), table), tmp_path)
    assert stored(model) == ["table"]
    assert dict(result.counts) == {"weights_tied": 1}


def test_ties_a_reshaped_weight(tmp_path: Path) -> None:
    table = weight(ROWS, COLUMNS)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["h"]),
        helper.make_node("ReduceSum", ["flat"], ["s"], keepdims=0),
        helper.make_node("Add", ["h", "s"], ["y"]),
    ]
    model, result = deduplicate(draw(nodes, {"flat": table.reshape(-1), "table": table}), tmp_path)
    assert stored(model) == ["table", "flat_shape"]
    assert dict(result.counts) == {"weights_tied": 1}


def test_leaves_a_reshaped_weight_where_reshape_takes_no_input(tmp_path: Path) -> None:
    table = weight(ROWS, COLUMNS)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["h"]),
        helper.make_node("ReduceSum", ["flat"], ["s"], keepdims=0),
        helper.make_node("Mul", ["h", "s"], ["y"], broadcast=1),
    ]
    source = tmp_path / "model.onnx"
    onnx.save(draw(nodes, {"flat": table.reshape(-1), "table": table}, opset=4, ir_version=4), source)
    assert not DeduplicateInitializers().run(load(source)).is_changed


@pytest.mark.parametrize("order", [(0, 2, 1), (2, 0, 1), (1, 2, 0)])
def test_ties_axes_in_any_order(order: tuple[int, ...], tmp_path: Path) -> None:
    base = weight(5, 7, 40)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["h"]),
        helper.make_node("ReduceSum", ["a"], ["s"], keepdims=0),
        helper.make_node("ReduceMax", ["b"], ["m"], keepdims=0),
        helper.make_node("Sum", ["h", "s", "m"], ["y"]),
    ]
    tensors = {"a": base, "b": np.ascontiguousarray(base.transpose(order)), "table": weight(ROWS, 3, seed=1)}
    model, result = deduplicate(draw(nodes, tensors), tmp_path)
    assert sorted(stored(model)) == ["a", "table"]
    assert dict(result.counts) == {"weights_tied": 1}


def test_ties_integers(tmp_path: Path) -> None:
    table = np.random.default_rng(0).integers(-100, 100, (ROWS, COLUMNS)).astype(np.int8)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["g"]),
        helper.make_node("Cast", ["g"], ["h"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["head"], ["w"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["h", "w"], ["y"]),
    ]
    model, _ = deduplicate(draw(nodes, {"head": np.ascontiguousarray(table.T), "table": table}), tmp_path)
    assert stored(model) == ["table"]


def test_leaves_reordered_copies_alone_when_told_to(tmp_path: Path) -> None:
    table = weight(ROWS, COLUMNS)
    model, result = deduplicate(language_model(np.ascontiguousarray(table.T), table), tmp_path, tie=False)
    assert len(stored(model)) == 2
    assert not result.is_changed


def test_leaves_weights_below_the_price_of_a_node(tmp_path: Path) -> None:
    table = weight(20, 3)
    model, _ = deduplicate(language_model(np.ascontiguousarray(table.T), table), tmp_path)
    assert len(stored(model)) == 2


def test_never_ties_what_callers_may_override(tmp_path: Path) -> None:
    table = weight(ROWS, COLUMNS)
    model = language_model(np.ascontiguousarray(table.T), table)
    model.graph.input.append(helper.make_tensor_value_info("head", TensorProto.FLOAT, [COLUMNS, ROWS]))
    after, result = deduplicate(model, tmp_path)
    assert len(stored(after)) == 2
    assert not result.is_changed


def test_reads_the_tied_weight_inside_a_branch(tmp_path: Path) -> None:
    table = weight(ROWS, COLUMNS)

    def branch(name: str, sign: str) -> onnx.GraphProto:
        return helper.make_graph(
            [helper.make_node("MatMul", ["h", "inner"], ["m"]), helper.make_node(sign, ["m"], [f"{name}_out"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.ascontiguousarray(table.T), "inner")],
        )

    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["h"]),
        helper.make_node("ReduceSum", ["ids"], ["total"], keepdims=0),
        helper.make_node("Cast", ["total"], ["flag"], to=TensorProto.BOOL),
        helper.make_node("If", ["flag"], ["y"], then_branch=branch("a", "Neg"), else_branch=branch("b", "Abs")),
    ]
    model, result = deduplicate(draw(nodes, {"table": table}), tmp_path)
    assert stored(model) == ["table"]
    assert dict(result.counts) == {"initializers_merged": 2, "weights_tied": 1}


def test_leaves_transposes_of_elements_too_wide_to_compare(tmp_path: Path) -> None:
    numbers = (weight(ROWS, COLUMNS) + 1j * weight(ROWS, COLUMNS, seed=1)).astype(np.complex128)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["a"], ["x"]), helper.make_node("Identity", ["b"], ["y"])],
        "g",
        [],
        [helper.make_tensor_value_info(name, TensorProto.COMPLEX128, None) for name in "xy"],
        [numpy_helper.from_array(numbers, "a"), numpy_helper.from_array(np.ascontiguousarray(numbers.T), "b")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    assert not DeduplicateInitializers().run(load(tmp_path / "m.onnx")).is_changed
