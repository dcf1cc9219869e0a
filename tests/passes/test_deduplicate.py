"""Deduplication: what is equal is stored once, what is not is left alone, and nobody outside notices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from compressor.model.load import load
from compressor.model.save import save
from compressor.model.skeleton import to_skeleton
from compressor.passes.contract import PassResult
from compressor.passes.deduplicate import DeduplicateInitializers


def deduplicate(model: onnx.ModelProto) -> tuple[onnx.ModelProto, PassResult]:
    """Run the pass on an in-memory copy, without files; weights of these tests are small and stay inline."""
    result = DeduplicateInitializers().run(ir.from_proto(onnx.ModelProto.FromString(model.SerializeToString())))
    proto = to_skeleton(result.model).proto
    onnx.checker.check_model(proto)
    return proto, result


def parse(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(text)


def run(model: onnx.ModelProto, **feeds: object) -> list[bytes]:
    session = ort.InferenceSession(model.SerializeToString())
    outputs = session.run(None, {name: np.asarray(value, np.float32) for name, value in feeds.items()})
    return [np.asarray(output).tobytes() for output in outputs]


def initializers(model: onnx.ModelProto) -> list[str]:
    return [tensor.name for tensor in model.graph.initializer]


PLAIN = """
<ir_version: 8, opset_import: ["" : 17]>
agraph (float[2] x) => (float[2] y) <float[2] a = {1, 2}, float[2] b = {1, 2}, float[2] c = {1, 3}> {
    p = Mul(x, a)
    q = Add(p, b)
    y = Add(q, c)
}
"""


def test_merges_equal_initializers_and_keeps_the_first() -> None:
    before = parse(PLAIN)
    after, result = deduplicate(before)
    assert initializers(after) == ["a", "c"]
    assert list(after.graph.node[1].input) == ["p", "a"]
    assert dict(result.counts) == {"initializers_merged": 1}
    assert run(before, x=[3, 4]) == run(after, x=[3, 4])


def test_a_second_run_changes_nothing() -> None:
    after, _ = deduplicate(parse(PLAIN))
    again, result = deduplicate(after)
    assert again == after
    assert not result.is_changed


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (np.zeros(2, np.float32), -np.zeros(2, np.float32)),
        (np.array([1, 2], np.float32), np.nextafter(np.array([1, 2], np.float32), np.float32(9))),
        (np.array([1, 2], np.float32), np.array([[1, 2]], np.float32)),
        (np.zeros(2, np.float32), np.zeros(2, np.int32)),
        (np.array(1, np.float32), np.array([1], np.float32)),
        (np.array([0x7FC00000], np.uint32).view(np.float32), np.array([0x7FC00001], np.uint32).view(np.float32)),
    ],
    ids=["negative zero", "one ulp", "other shape", "other type", "scalar and one element", "other NaN"],
)
def test_keeps_what_is_not_equal_to_the_last_bit(first: NDArray[Any], second: NDArray[Any]) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["a"], ["y"]), helper.make_node("Identity", ["b"], ["z"])],
        "g",
        [],
        [
            helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(first.dtype), first.shape),
            helper.make_tensor_value_info("z", helper.np_dtype_to_tensor_dtype(second.dtype), second.shape),
        ],
        [numpy_helper.from_array(first, "a"), numpy_helper.from_array(second, "b")],
    )
    before = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    after, result = deduplicate(before)
    assert initializers(after) == ["a", "b"]
    assert not result.is_changed


@pytest.mark.parametrize(
    "kind",
    [
        TensorProto.BFLOAT16, TensorProto.FLOAT8E4M3FN, TensorProto.INT4, TensorProto.UINT4, TensorProto.DOUBLE,
        TensorProto.STRING, TensorProto.BOOL, TensorProto.COMPLEX64,
    ],
)  # fmt: skip
def test_merges_every_data_type(kind: int) -> None:
    def tensor(name: str) -> TensorProto:
        if kind == TensorProto.STRING:
            return TensorProto(name=name, data_type=kind, dims=[2], string_data=[b"a\0", b"b"])
        size: dict[int, int] = {
            TensorProto.INT4: 1,
            TensorProto.UINT4: 1,
            TensorProto.DOUBLE: 16,
            TensorProto.COMPLEX64: 16,
        }
        length = size.get(kind, 4 if kind == TensorProto.BFLOAT16 else 2)
        return TensorProto(name=name, data_type=kind, dims=[2], raw_data=bytes([1] * length))

    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in "ab"]
    outputs = [helper.make_tensor_value_info(f"{name}_out", kind, [2]) for name in "ab"]
    graph = helper.make_graph(nodes, "g", [], outputs, [tensor("a"), tensor("b")])
    after, result = deduplicate(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))
    assert initializers(after) == ["a"]
    assert dict(result.counts) == {"initializers_merged": 1}


def test_tells_strings_with_other_boundaries_apart() -> None:
    tensors = [
        TensorProto(name="a", data_type=TensorProto.STRING, dims=[2], string_data=[b"ab", b"c"]),
        TensorProto(name="b", data_type=TensorProto.STRING, dims=[2], string_data=[b"a", b"bc"]),
    ]
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in "ab"]
    outputs = [helper.make_tensor_value_info(f"{name}_out", TensorProto.STRING, [2]) for name in "ab"]
    graph = helper.make_graph(nodes, "g", [], outputs, tensors)
    after, _ = deduplicate(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    assert initializers(after) == ["a", "b"]


def test_never_touches_initializers_that_callers_may_override() -> None:
    before = parse("""
<ir_version: 8, opset_import: ["" : 17]>
agraph (float[2] x, float[2] a = {1, 2}) => (float[2] y) <float[2] b = {1, 2}> {
    p = Mul(x, a)
    y = Add(p, b)
}
""")
    after, result = deduplicate(before)
    assert set(initializers(after)) == {"a", "b"}
    assert [value.name for value in after.graph.input] == ["x", "a"]
    assert result.skipped[0].candidate == "a"
    assert "override" in result.skipped[0].reason


def test_keeps_the_name_of_an_initializer_that_is_an_output() -> None:
    before = parse("""
<ir_version: 8, opset_import: ["" : 17]>
agraph (float[2] x) => (float[2] y, float[2] b) <float[2] a = {1, 2}, float[2] b = {1, 2}> {
    y = Mul(x, a)
}
""")
    after, _ = deduplicate(before)
    assert initializers(after) == ["b"]
    assert [value.name for value in after.graph.output] == ["y", "b"]
    assert run(before, x=[3, 4]) == run(after, x=[3, 4])


def test_merges_constant_nodes_with_initializers_and_with_each_other() -> None:
    before = parse("""
<ir_version: 8, opset_import: ["" : 17]>
agraph (float[2] x) => (float[2] y) <float[2] a = {1, 2}> {
    p = Mul(x, a)
    b = Constant <value = float[2] {1, 2}> ()
    q = Add(p, b)
    c = Constant <value = float[2] {5, 6}> ()
    r = Add(q, c)
    d = Constant <value = float[2] {5, 6}> ()
    y = Add(r, d)
}
""")
    after, result = deduplicate(before)
    assert [node.op_type for node in after.graph.node] == ["Constant", "Mul", "Add", "Add", "Add"]
    assert dict(result.counts) == {"constants_merged": 2}
    assert run(before, x=[3, 4]) == run(after, x=[3, 4])


BRANCHES = """
<ir_version: 8, opset_import: ["" : 17]>
agraph (bool flag, float[2] x) => (float[2] y) <OUTER> {
    y = If (flag) <
        then_branch = yes () => (float[2] u) <float[2] one = {1, 2}> { u = Mul(x, one) },
        else_branch = no () => (float[2] v) <float[2] two = {1, 2}> { v = Add(x, two) }
    >
}
"""


def run_branches(model: onnx.ModelProto) -> list[bytes]:
    session = ort.InferenceSession(model.SerializeToString())
    x = np.array([3, 4], np.float32)
    return [session.run(None, {"flag": np.array(flag), "x": x})[0].tobytes() for flag in (True, False)]


def test_moves_a_weight_of_two_branches_to_the_graph_around_them() -> None:
    before = parse(BRANCHES.replace("OUTER", "float[2] other = {7, 7}"))
    for attribute in before.graph.node[0].attribute:
        tensor = attribute.g.initializer[0]
        tensor.CopyFrom(numpy_helper.from_array(np.ones((16, 2), np.float32), tensor.name))
    after, result = deduplicate(before)
    assert dict(result.counts) == {"initializers_merged": 2}
    branches = [attribute.g for attribute in after.graph.node[0].attribute]
    assert not any(branch.initializer for branch in branches)
    assert len(after.graph.initializer) == 2
    assert run_branches(before) == run_branches(after)


def test_leaves_small_weights_of_two_branches_where_they_are() -> None:
    _, result = deduplicate(parse(BRANCHES.replace("OUTER", "float[2] other = {7, 7}")))
    assert not result.is_changed


def test_reads_the_outer_weight_in_branches() -> None:
    before = parse(BRANCHES.replace("OUTER", "float[2] w = {1, 2}"))
    after, _ = deduplicate(before)
    assert initializers(after) == ["w"]
    assert run_branches(before) == run_branches(after)


def test_does_not_let_a_branch_capture_another_value_of_the_same_name() -> None:
    before = parse("""
<ir_version: 8, opset_import: ["" : 17]>
agraph (bool flag, float[2] x) => (float[2] y) <float[2] w1 = {1, 2}, float[2] w2 = {1, 2}> {
    p = Mul(x, w1)
    y = If (flag) <
        then_branch = yes () => (float[2] u) <float[2] w1 = {9, 9}> { t = Mul(p, w1)  u = Add(t, w2) },
        else_branch = no () => (float[2] v) { v = Add(p, w2) }
    >
}
""")
    after, _ = deduplicate(before)
    assert run_branches(before) == run_branches(after)


def test_merges_inside_function_bodies_without_reaching_outside() -> None:
    before = parse("""
<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
agraph (float[2] x) => (float[2] y) <float[2] w = {1, 2}> {
    p = local.F(x)
    y = Add(p, w)
}
<domain: "local", opset_import: ["" : 17]>
F (a) => (b) {
    k = Constant <value = float[2] {1, 2}> ()
    t = Mul(a, k)
    l = Constant <value = float[2] {1, 2}> ()
    b = Add(t, l)
}
""")
    after, result = deduplicate(before)
    assert [node.op_type for node in after.functions[0].node] == ["Constant", "Mul", "Add"]
    assert initializers(after) == ["w"]
    assert dict(result.counts) == {"constants_merged": 1}
    assert run(before, x=[3, 4]) == run(after, x=[3, 4])


def test_one_node_may_read_the_kept_weight_twice() -> None:
    before = parse("""
<ir_version: 8, opset_import: ["" : 17]>
agraph (float[2] x) => (float[2] y) <float[2] a = {1, 2}, float[2] b = {1, 2}> { y = Max(a, b, x) }
""")
    after, _ = deduplicate(before)
    assert list(after.graph.node[0].input) == ["a", "a", "x"]
    assert run(before, x=[3, 1]) == run(after, x=[3, 1])


def test_quantization_annotations_follow_the_kept_weight() -> None:
    before = parse(PLAIN)
    annotation = before.graph.quantization_annotation.add(tensor_name="c")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="b")
    after, _ = deduplicate(before)
    assert after.graph.quantization_annotation[0].quant_parameter_tensor_names[0].value == "a"


def test_keeps_equal_weights_with_other_quantization_annotations() -> None:
    before = parse(PLAIN)
    annotation = before.graph.quantization_annotation.add(tensor_name="b")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="c")
    after, result = deduplicate(before)
    assert initializers(after) == ["a", "b", "c"]
    assert "annotation" in result.skipped[0].reason


def test_does_not_merge_random_nodes() -> None:
    before = parse("""
<ir_version: 8, opset_import: ["" : 17]>
agraph (float[2] x) => (float[2] y) {
    a = RandomNormalLike(x)
    b = RandomNormalLike(x)
    y = Sub(a, b)
}
""")
    after, _ = deduplicate(before)
    assert len(after.graph.node) == 3


def test_twelve_copies_on_disk_become_one(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    near = weight.copy()
    near[63, 63] = np.nextafter(near[63, 63], np.float32(9))
    tensors = [numpy_helper.from_array(weight, f"w{i}") for i in range(12)] + [numpy_helper.from_array(near, "near")]
    nodes = [helper.make_node("MatMul", [f"h{i}", tensor.name], [f"h{i + 1}"]) for i, tensor in enumerate(tensors)]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("h0", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("h13", TensorProto.FLOAT, ["n", 64])],
        tensors,
    )
    source, out = tmp_path / "model.onnx", tmp_path / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), source)
    result = DeduplicateInitializers().run(load(source))
    save(result.model, out)
    assert dict(result.counts) == {"initializers_merged": 11}
    assert out.stat().st_size < 2 * weight.nbytes + 4096
    x = np.random.default_rng(1).normal(size=(3, 64)).astype(np.float32)
    before, after = (ort.InferenceSession(path).run(None, {"h0": x})[0] for path in (source, out))
    assert before.tobytes() == after.tobytes()
