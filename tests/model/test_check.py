"""What is sound is let in, however rarely it is seen; what is not is named."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper

from compressor.errors import ModelError
from compressor.model import check
from compressor.model.check import check_inline_tensor, check_structure, needed_bytes, proto_tensors


@pytest.mark.parametrize(
    ("data_type", "dims", "fields", "size"),
    [
        (TensorProto.COMPLEX64, [3], {"float_data": [0.0] * 6}, 24),
        (TensorProto.COMPLEX128, [1], {"double_data": [0.0] * 2}, 16),
        (TensorProto.FLOAT16, [3], {"int32_data": [1, 2, 3]}, 6),
        (TensorProto.BOOL, [2, 1], {"int32_data": [0, 1]}, 2),
        (TensorProto.UINT32, [2], {"uint64_data": [1, 2]}, 8),
        (TensorProto.INT4, [5], {"int32_data": [1, 2, 3]}, 3),
        (TensorProto.UINT4, [0], {}, 0),
        (TensorProto.FLOAT8E5M2, [2], {"raw_data": b"ab"}, 2),
        (TensorProto.STRING, [2], {"string_data": [b"a", b"\xff"]}, 0),
        (TensorProto.FLOAT, [], {"float_data": [1.0]}, 4),
        (TensorProto.FLOAT, [2, 0, 9], {"raw_data": b""}, 0),
    ],
)
def test_takes_every_type_in_every_form(data_type: int, dims: list[int], fields: dict[str, object], size: int) -> None:
    tensor = TensorProto(data_type=data_type, dims=dims, **fields)  # type: ignore[arg-type]  # protobuf's stubs want each field typed
    check_inline_tensor(tensor, "w")
    assert needed_bytes(tensor, "w") == size


@pytest.mark.parametrize(
    ("data_type", "dims", "fields"),
    [
        (TensorProto.COMPLEX64, [3], {"float_data": [0.0] * 3}),
        (TensorProto.INT4, [5], {"int32_data": [1, 2, 3, 4, 5]}),
        (TensorProto.STRING, [2], {"string_data": [b"a"]}),
        (TensorProto.FLOAT, [], {}),
    ],
)
def test_counts_values_as_their_type_packs_them(data_type: int, dims: list[int], fields: dict[str, object]) -> None:
    tensor = TensorProto(data_type=data_type, dims=dims, **fields)  # type: ignore[arg-type]  # as above
    with pytest.raises(ModelError, match=r"w holds \d values, dims"):
        check_inline_tensor(tensor, "w")


def parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(text)


SOUND = {
    "an operator that only the runtime has in the standard domain": parsed(
        '<ir_version: 8, opset_import: ["" : 13]> g (float[n] x) => (float[n] y) { y = Gelu(x) }'
    ),
    "the standard domain spelled out": parsed(
        '<ir_version: 8, opset_import: ["ai.onnx" : 13]> g (float[n] x) => (float[n] y) { y = ai.onnx.Relu(x) }'
    ),
    "an output without a type": helper.make_model(
        helper.make_graph(
            [helper.make_node("Relu", ["x"], ["y"])], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
            [onnx.ValueInfoProto(name="y")],
        ),
        opset_imports=[helper.make_opsetid("", 13)], ir_version=8,
    ),
    "functions that share a function": parsed(
        """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        g (float[n] x) => (float[n] y) { y = local.Top(x) }
        <domain: "local", opset_import: ["" : 17]> Low (a) => (b) { b = Relu(a) }
        <domain: "local", opset_import: ["" : 17, "local" : 1]> Middle (a) => (b) { b = local.Low(a) }
        <domain: "local", opset_import: ["" : 17, "local" : 1]> Top (a) => (b) {
            c = local.Low(a) b = local.Middle(c) }"""
    ),
}  # fmt: skip


@pytest.mark.parametrize("model", SOUND.values(), ids=SOUND.keys())
def test_lets_in_what_runtimes_run_and_leaves_it_as_it_is(model: onnx.ModelProto) -> None:
    before = model.SerializeToString(deterministic=True)
    check_structure(model)
    assert model.SerializeToString(deterministic=True) == before


UNSOUND = {
    "an unknown operator": ("y = Frobnicate(x)", "No Op registered for Frobnicate"),
    "a name nobody makes": ("y = Add(x, ghost)", "ghost"),
    "too many inputs": ("y = Relu(x, x)", "Relu"),
    "a value made twice": ("y = Relu(x) y = Abs(x)", "y"),
}


@pytest.mark.parametrize(("body", "words"), UNSOUND.values(), ids=UNSOUND.keys())
def test_names_what_breaks_the_rules(body: str, words: str) -> None:
    model = parsed('<ir_version: 8, opset_import: ["" : 17]> g (float[n] x) => (float[n] y) {' + body + "}")
    with pytest.raises(ModelError, match=words) as caught:
        check_structure(model)
    assert "\n" not in str(caught.value)


def test_finds_tensors_in_attributes_of_nodes_in_branches_of_functions() -> None:
    weights = [helper.make_tensor(name, TensorProto.FLOAT, [1], np.ones(1)) for name in "abc"]
    constant = helper.make_node("Constant", [], ["v"], value=weights[0])
    branch = helper.make_graph([constant], "b", [], [helper.make_empty_tensor_value_info("v")], [weights[1]])
    nodes = [helper.make_node("If", ["f"], ["o"], then_branch=branch, else_branch=branch)]
    function = helper.make_function("local", "F", ["f"], ["o"], nodes, [helper.make_opsetid("", 17)])
    graph = helper.make_graph([], "g", [], [], [weights[2]])
    model = helper.make_model(graph, functions=[function])
    assert sorted(tensor.name for tensor in proto_tensors(model)) == ["a", "a", "b", "b", "c"]


def test_counts_the_nodes_in_branches_of_functions_as_inlining_does(monkeypatch: pytest.MonkeyPatch) -> None:
    model = parsed(
        """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
        g (bool f) => (float[n] y) { a = local.F(f) b = local.F(f) y = Add(a, b) }
        <domain: "local", opset_import: ["" : 17]> F (f) => (o) {
            o = If (f) <
                then_branch = t () => (float[1] p) { q = Constant <value_float = 1.0> () p = Neg(q) },
                else_branch = e () => (float[1] p) { p = Constant <value_float = 1.0> () }
            >
        }"""
    )
    monkeypatch.setattr(check, "MAX_EXPANDED_NODES", 8)  # two calls, of an If, two nodes and one node each
    check_structure(model)
    monkeypatch.setattr(check, "MAX_EXPANDED_NODES", 7)
    with pytest.raises(ModelError, match="unfold to more than 7 nodes"):
        check_structure(model)
