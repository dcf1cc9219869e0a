"""Loading and saving with no pass between keeps everything a user could miss."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressor.model.carried import carried
from compressor.model.check import proto_tensors
from compressor.model.load import load
from compressor.model.save import save
from tests.model.drawn import (
    DRAWN,
    LARGE,
    PLAIN,
    drawn,
    floats,
    of_a_classifier,
    weight,
    with_overridable_initializers,
    with_recorded_shapes,
)  # fmt: skip

TYPED_FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data", "raw_data")


def through(tmp_path: Path, model: onnx.ModelProto) -> onnx.ModelProto:
    """What `model` is after a load and a save."""
    path, out = tmp_path / "model.onnx", tmp_path / "out.onnx"
    path.write_bytes(model.SerializeToString())
    save(load(path), out, overwrite=True)
    return onnx.load(out)


def same(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in the one spelling that says what it means: values as raw bytes, defaults left out."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in proto_tensors(copy):
        if tensor.data_type != TensorProto.STRING:
            array = numpy_helper.to_array(tensor)
            raw = numpy_helper.from_array(array).raw_data if tensor.data_type < 16 else tensor.raw_data
            for field in TYPED_FIELDS:
                tensor.ClearField(field)
            tensor.raw_data = raw
        tensor.ClearField("data_location")
    for message in messages(copy):
        for field, value in message.ListFields():
            if field.type == field.TYPE_STRING and value == "":
                message.ClearField(field.name)
            if field.type == field.TYPE_INT64 and field.name == "model_version" and not value:
                message.ClearField(field.name)
    return copy


def messages(message: Any) -> Iterator[Any]:
    """`message` and all inside it; protobuf's classes share no typed way through their fields."""
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in (value,) if hasattr(value, "ListFields") else value:
                yield from messages(inner)


@pytest.mark.parametrize("draw", DRAWN)
def test_keeps_everything(tmp_path: Path, draw: Any) -> None:
    model = draw()
    assert str(same(through(tmp_path, model))) == str(same(model))


@pytest.mark.parametrize("draw", DRAWN)
def test_a_copy_in_memory_keeps_everything_too(tmp_path: Path, draw: Any) -> None:
    """Passes work on clones."""
    model, path, out = draw(), tmp_path / "model.onnx", tmp_path / "out.onnx"
    path.write_bytes(model.SerializeToString())
    save(load(path).clone(), out)
    assert str(same(onnx.load(out))) == str(same(model))


def test_puts_nodes_in_order_and_changes_nothing_else(tmp_path: Path) -> None:
    model = with_recorded_shapes()
    first, second = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([second, first])
    result = through(tmp_path, model)
    assert str(same(result)) == str(same(with_recorded_shapes()))


def test_leaves_training_information_out_and_says_so(tmp_path: Path) -> None:
    model = drawn(PLAIN)
    training = model.training_info.add()
    training.algorithm.CopyFrom(
        helper.make_graph([helper.make_node("Identity", ["w"], ["o"])], "t", [], [floats("o", LARGE)], [weight("w")])
    )
    assert same(through(tmp_path, model)) == same(drawn(PLAIN))
    facts = carried(load(tmp_path / "model.onnx"))
    assert facts is not None
    assert "training information" in facts.warnings[0]


def test_leaves_out_recorded_shapes_of_initializers_alone(tmp_path: Path) -> None:
    """A stale one breaks shape inference, and the initializer says its shape itself."""
    model = with_overridable_initializers()
    del model.graph.input[1:]
    model.graph.value_info.append(floats("a", LARGE))
    assert not through(tmp_path, model).graph.value_info


def test_the_runtime_gives_maps_out_of_a_saved_classifier(tmp_path: Path) -> None:
    through(tmp_path, of_a_classifier())
    session = onnxruntime.InferenceSession(str(tmp_path / "out.onnx"), providers=["CPUExecutionProvider"])
    _, maps = session.run(None, {"x": np.ones((1, 3), np.float32)})
    assert maps == [{0: 1.0, 1: 1.0, 2: 1.0}]
