"""The wire walker: weights out of a serialized model and back, and nothing else touched."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from compressor.errors import ModelError
from compressor.model import wire

MARK = "weight:"


def detach(data: bytes, at_least: int = 16) -> tuple[bytes, dict[str, tuple[int, int]]]:
    numbers = count()
    return wire.detach(memoryview(data), lambda: f"{MARK}{next(numbers)}", at_least=at_least)


def attach(data: bytes, skeleton: bytes, found: dict[str, tuple[int, int]]) -> bytes:
    def whole() -> Iterator[bytes]:
        pieces = wire.attach(skeleton, lambda token: wire.embedded(token, found[token][1]), mark=MARK.encode())
        for piece in pieces:
            if isinstance(piece, wire.Weight):
                start, length = found[piece.token]
                yield data[start : start + length]
            else:
                yield bytes(piece)

    return b"".join(whole())


def model_with_weights_everywhere() -> onnx.ModelProto:
    def weight(name: str, seed: int) -> TensorProto:
        return numpy_helper.from_array(np.random.default_rng(seed).normal(size=8).astype(np.float32), name)

    branch = helper.make_graph(
        [helper.make_node("Identity", ["inner"], ["out"])],
        "branch",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [8])],
        [weight("inner", 1)],
    )
    nodes = [
        helper.make_node("Constant", [], ["c"], value=weight("", 2)),
        helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch),
        helper.make_node("F", ["y"], ["z"], domain="local"),
        helper.make_node("Sum", ["z", "c", "w", "typed"], ["s"]),
    ]
    body = [helper.make_node("Constant", [], ["k"], value=weight("", 3)), helper.make_node("Add", ["a", "k"], ["b"])]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    function = helper.make_function("local", "F", ["a"], ["b"], body, opsets[:1])
    typed = TensorProto(name="typed", data_type=TensorProto.FLOAT, dims=[8], float_data=[0.5] * 8)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("flag", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("s", TensorProto.FLOAT, [8])],
        [weight("w", 4), typed],
    )
    return helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=9)


def test_takes_out_weights_of_initializers_constants_branches_and_functions() -> None:
    model = model_with_weights_everywhere()
    skeleton, found = detach(model.SerializeToString())
    assert len(found) == 6
    assert all(length == 32 for _, length in found.values())
    slim = onnx.ModelProto.FromString(skeleton)
    assert [t.data_location for t in slim.graph.initializer] == [TensorProto.EXTERNAL] * 2
    assert slim.functions[0].node[0].attribute[0].t.external_data[0].value.startswith(MARK)


def test_points_at_the_bytes_of_each_weight() -> None:
    model = model_with_weights_everywhere()
    data = model.SerializeToString()
    skeleton, found = detach(data)
    tensor = onnx.ModelProto.FromString(skeleton).graph.initializer[0]
    start, length = found[tensor.external_data[0].value]
    assert data[start : start + length] == model.graph.initializer[0].raw_data


def test_putting_weights_back_gives_the_same_model() -> None:
    model = model_with_weights_everywhere()
    data = model.SerializeToString()
    skeleton, found = detach(data)
    back = onnx.ModelProto.FromString(attach(data, skeleton, found))
    expected = onnx.ModelProto.FromString(data)
    typed = expected.graph.initializer[1]
    typed.raw_data = np.asarray(typed.float_data, np.float32).tobytes()
    del typed.float_data[:]
    assert back == expected


def test_leaves_small_weights_where_they_are() -> None:
    data = model_with_weights_everywhere().SerializeToString()
    skeleton, found = detach(data, at_least=33)
    assert not found
    assert skeleton == data


def test_leaves_tensors_with_two_kinds_of_data_alone() -> None:
    model = model_with_weights_everywhere()
    model.graph.initializer[0].float_data.append(1.0)
    _, found = detach(model.SerializeToString())
    assert len(found) == 5


def test_refuses_a_field_that_ends_outside_its_message() -> None:
    data = model_with_weights_everywhere().SerializeToString()
    with pytest.raises(ModelError, match="not a whole ONNX model"):
        detach(data[:-20])


def test_refuses_nesting_that_no_reader_takes() -> None:
    graph = b""
    for _ in range(wire.MAX_DEPTH):
        attribute = wire._message(6, graph)
        graph = wire._message(1, wire._message(5, attribute))
    with pytest.raises(ModelError, match="nested more than"):
        detach(wire._message(7, graph + wire._message(2, b"x" * 64)), at_least=0)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_files_are_refused_or_read_and_never_read_past_their_end(data: st.DataObject) -> None:
    whole = bytearray(model_with_weights_everywhere().SerializeToString())
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        _, found = detach(cut, at_least=8)
    except ModelError:
        return
    assert all(start >= 0 and start + length <= len(cut) for start, length in found.values())
