"""Valid models, damaged at random: each is refused as a model error or loads, and nothing else ever happens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from compressor.errors import CompressorError
from compressor.model.load import load
from compressor.model.save import save
from compressor.model.size import measure
from tests.hostile.hostile_models import PLACES, external, floats, model_of


def attention() -> onnx.ModelProto:
    """A few of everything: weights of several types, a branch, named dims, attributes of many kinds."""
    weights = [
        numpy_helper.from_array(np.arange(1024, dtype=np.float32).reshape(32, 32), "w"),
        numpy_helper.from_array(np.arange(1024, dtype=np.float32).reshape(32, 32), "again"),
        numpy_helper.from_array(np.arange(32, dtype=np.int64), "ids"),
        TensorProto(name="typed", data_type=TensorProto.FLOAT16, dims=[4], int32_data=[1, 2, 3, 4]),
        TensorProto(name="words", data_type=TensorProto.STRING, dims=[2], string_data=[b"a", b"b"]),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], name="first", doc_string="documented"),
        helper.make_node("MatMul", ["m", "again"], ["n"], name="second"),
        helper.make_node("Softmax", ["n"], ["s"], axis=-1),
        helper.make_node("Transpose", ["s"], ["t"], perm=[0]),
        helper.make_node("Cast", ["typed"], ["c"], to=1),
        helper.make_node("Gather", ["t", "ids"], ["y"], axis=0),
    ]
    return model_of(nodes, weights, inputs=[floats("x")])


SOURCES = [attention(), *(place(external([("location", "w.bin")])) for place in PLACES)]


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_random_bytes_in_a_model_do_no_worse_than_a_refusal(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(data.draw(st.sampled_from(SOURCES)).SerializeToString())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(whole) - 1))
        kind = data.draw(st.sampled_from(["set", "insert", "delete"]))
        if kind == "set":
            whole[at] = data.draw(st.integers(0, 255))
        elif kind == "insert":
            whole[at:at] = data.draw(st.binary(min_size=1, max_size=8))
        elif len(whole) > 16:
            del whole[at : at + data.draw(st.integers(1, 8))]
    attempt(tmp_path, bytes(whole))


NAMES = st.sampled_from(["x", "y", "w", "again", "m", "n", "s", "t", "ids", "", "other", "\0"])


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_models_rewired_at_random_do_no_worse_than_a_refusal(tmp_path: Path, data: st.DataObject) -> None:
    """Sound protobuf, unsound graphs: exchanged names, operators, types, dims and versions."""
    model = onnx.ModelProto()
    model.CopyFrom(data.draw(st.sampled_from(SOURCES)))
    for _ in range(data.draw(st.integers(1, 4))):
        rewire(model, data)
    attempt(tmp_path, model.SerializeToString())


def rewire(model: onnx.ModelProto, data: st.DataObject) -> None:
    graph = model.graph
    change = data.draw(st.integers(0, 9))
    node = data.draw(st.sampled_from(list(graph.node))) if graph.node else onnx.NodeProto()
    if change == 0 and node.input:
        node.input[data.draw(st.integers(0, len(node.input) - 1))] = data.draw(NAMES)
    elif change == 1 and node.output:
        node.output[data.draw(st.integers(0, len(node.output) - 1))] = data.draw(NAMES)
    elif change == 2:
        node.op_type = data.draw(st.sampled_from(["If", "Loop", "Scan", "Constant", "LabelEncoder", "Reshape", ""]))
    elif change == 3:
        node.domain = data.draw(st.sampled_from(["", "ai.onnx", "ai.onnx.ml", "com.microsoft", "local", "none"]))
    elif change == 4 and graph.initializer:
        graph.initializer[0].data_type = data.draw(st.integers(-1, 30))
    elif change == 5 and graph.initializer:
        graph.initializer[0].dims[:] = data.draw(st.lists(st.integers(-2, 2**63 - 1), max_size=4))
    elif change == 6 and graph.initializer:
        graph.initializer[0].name = data.draw(NAMES)
    elif change == 7 and model.opset_import:
        model.opset_import[0].version = data.draw(st.integers(-1, 2**40))
    elif change == 8:
        node.attribute.add(name=data.draw(NAMES), type=data.draw(st.sampled_from(range(15))), i=1)
    else:
        model.ir_version = data.draw(st.sampled_from([0, 1, 2, 3, 4, 10, 13, 14, 99, -1, 2**40]))


def attempt(folder: Path, content: bytes) -> None:
    """Load, measure and save `content`; a model that loads must also come out."""
    path = folder / "model.onnx"
    path.write_bytes(content)
    (folder / "w.bin").write_bytes(bytes(128))
    try:
        model = load(path)
    except CompressorError as refusal:
        refused = str(refusal)
    else:
        measure(model)
        save(model, folder / "out.onnx", overwrite=True)
        refused = ""
    assert "\n" not in refused


@pytest.mark.parametrize("model", SOURCES, ids=range(len(SOURCES)))
def test_the_models_that_are_damaged_were_sound(tmp_path: Path, model: onnx.ModelProto) -> None:
    attempt(tmp_path, model.SerializeToString())
    assert (tmp_path / "out.onnx").exists()
