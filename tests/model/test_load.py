"""Loading leaves large weights where they are, and says in one short line what it cannot take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from compressor.errors import ModelError
from compressor.model.carried import carried
from compressor.model.files import DataFile
from compressor.model.load import LARGE, load
from compressor.model.tensors import all_tensors
from compressor.model.weights import StoredWeight

LARGE_VALUES = np.arange(LARGE // 4, dtype=np.float32)
SMALL_VALUES = LARGE_VALUES[:-1]


def write(folder: Path, *weights: TensorProto, ir_version: int = 8, inputs: str = "") -> Path:
    body = " ".join(f"y{index} = Identity({weight.name})" for index, weight in enumerate(weights))
    outputs = ", ".join(f"float[n] y{index}" for index in range(len(weights)))
    text = f'<ir_version: {ir_version}, opset_import: ["" : 13]> g (float[n] x{inputs}) => ({outputs}) {{ {body} }}'
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(weights)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_only_weights_from_a_kilobyte_on_stay_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, numpy_helper.from_array(LARGE_VALUES, "l"), numpy_helper.from_array(SMALL_VALUES, "s"))
    model = load(path)
    held = {item.label: item.tensor for item in all_tensors(model)}
    assert isinstance(held["l"], StoredWeight)
    assert not isinstance(held["s"], StoredWeight)
    np.testing.assert_array_equal(held["l"].numpy(), LARGE_VALUES)
    np.testing.assert_array_equal(held["s"].numpy(), SMALL_VALUES)


@pytest.mark.parametrize(
    ("data_type", "field", "values", "is_left"),
    [
        (TensorProto.FLOAT, "float_data", np.arange(LARGE, dtype=np.float32), True),
        (TensorProto.DOUBLE, "double_data", np.arange(LARGE, dtype=np.float64), True),
        (TensorProto.INT64, "int64_data", np.arange(LARGE, dtype=np.int64), False),
        (TensorProto.BOOL, "int32_data", np.arange(LARGE, dtype=np.int64) % 2 == 0, False),
    ],
)
def test_typed_fields_give_their_values_and_stay_where_their_bytes_are_those_of_raw_data(
    tmp_path: Path, data_type: int, field: str, values: NDArray[Any], is_left: bool
) -> None:
    tensor = TensorProto(name="w", data_type=data_type, dims=values.shape)
    getattr(tensor, field).extend(int(value) if values.dtype == bool else value for value in values.tolist())
    (held,) = all_tensors(load(write(tmp_path, tensor)))
    assert isinstance(held.tensor, StoredWeight) == is_left
    np.testing.assert_array_equal(held.tensor.numpy(), values)


def test_reads_nothing_of_a_weight_that_nobody_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, numpy_helper.from_array(np.zeros(1 << 20, np.float32), "w"))
    read: list[int] = []
    original = DataFile.read

    def noted(file: DataFile, offset: int, length: int) -> bytes:
        read.append(length)
        return original(file, offset, length)

    monkeypatch.setattr(DataFile, "read", noted)
    load(path)
    assert 0 < sum(read) < path.stat().st_size // 10


def test_takes_a_path_as_text(tmp_path: Path) -> None:
    assert load(str(write(tmp_path, numpy_helper.from_array(LARGE_VALUES, "w")))).graph.name == "g"


def test_inputs_that_ir_version_3_lists_for_weights_are_weights(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(LARGE_VALUES, "w")
    old = load(write(tmp_path, weight, ir_version=3, inputs=f", float[{LARGE // 4}] w"))
    assert [value.name for value in old.graph.inputs] == ["x"]
    new = load(write(tmp_path, weight, ir_version=4, inputs=f", float[{LARGE // 4}] w"))
    assert [value.name for value in new.graph.inputs] == ["x", "w"]


def test_says_no_more_than_a_reader_can_take(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    tensor = TensorProto(name="w" * 100_000, data_type=TensorProto.FLOAT, dims=[3], raw_data=bytes(4))
    graph = helper.make_graph([], "g", [], [], [tensor])
    path.write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(ModelError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: weight 'www")
    assert str(caught.value).count(str(path)) == 1
    assert len(str(caught.value)) < 1000


def test_carries_its_files_the_model_first(tmp_path: Path) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="w.bin")
    (tmp_path / "w.bin").write_bytes(bytes(16))
    path = write(tmp_path, tensor)
    facts = carried(load(path))
    assert facts is not None
    assert facts.source == path
    assert [file.path.name for file in facts.files] == ["model.onnx", "w.bin"]


def test_a_copy_reads_the_same_weights(tmp_path: Path) -> None:
    model = load(write(tmp_path, numpy_helper.from_array(LARGE_VALUES, "w")))
    copy = model.clone()
    assert [held.tensor for held in all_tensors(copy)] == [held.tensor for held in all_tensors(model)]
    assert isinstance(copy, ir.Model)
