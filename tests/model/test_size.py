"""Size is what a save would write, and where its bytes are."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressor.model import layout
from compressor.model.layout import lay_out
from compressor.model.load import load
from compressor.model.save import save
from compressor.model.size import measure
from compressor.model.weights import ComputedWeight

ELEMENTS = 1000


def model_with(*weights: TensorProto, nodes: list[onnx.NodeProto] | None = None) -> onnx.ModelProto:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [ELEMENTS]) for name in ("x", "y")]
    adding = [helper.make_node("Sum", ["x", *(w.name for w in weights if w.data_type == 1)], ["y"])]
    graph = helper.make_graph([*adding, *(nodes or [])], "g", infos[:1], infos[1:], list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def weight(name: str, fill: float) -> TensorProto:
    return numpy_helper.from_array(np.full(ELEMENTS, fill, np.float32), name)


def loaded(tmp_path: Path, model: onnx.ModelProto) -> ir.Model:
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return load(path)


@pytest.mark.parametrize("limit", [layout.PROTOBUF_LIMIT, 1024], ids=["embedded", "beside"])
def test_total_is_what_a_save_writes(tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "PROTOBUF_LIMIT", limit)
    model = loaded(tmp_path, model_with(weight("a", 1), weight("b", 2), weight("c", 3)))
    written = save(model, tmp_path / "out.onnx")
    on_disk = sum(path.stat().st_size for path in written)
    allowed = 0 if limit > 1024 else 3 * 40  # the length of the data file's name, once a weight
    assert abs(measure(model).total_bytes - on_disk) <= allowed


def test_weights_are_counted_by_type_wherever_they_are(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.zeros(100, np.int64)))
    words = TensorProto(name="words", data_type=TensorProto.STRING, dims=[2], string_data=[b"ab", b"cde"])
    size = measure(loaded(tmp_path, model_with(weight("a", 1), words, nodes=[constant])))
    assert size.weight_bytes == {"FLOAT": 4 * ELEMENTS, "INT64": 800, "STRING": 5}


def test_duplicates_are_counted_once_each_beyond_the_first(tmp_path: Path) -> None:
    size = measure(loaded(tmp_path, model_with(weight("a", 1), weight("b", 1), weight("c", 1), weight("d", 2))))
    assert size.duplicate_bytes == 2 * 4 * ELEMENTS


def test_metadata_is_what_no_computation_needs(tmp_path: Path) -> None:
    model = model_with(weight("a", 1))
    plain = measure(loaded(tmp_path, model))
    model.doc_string = "d" * 1000
    model.graph.node[0].metadata_props.add(key="k", value="v" * 1000)
    size = measure(loaded(tmp_path, model))
    assert size.metadata_bytes - plain.metadata_bytes == pytest.approx(2000, abs=20)
    assert size.graph_bytes == pytest.approx(plain.graph_bytes, abs=20)


def test_a_computed_weight_counts_as_it_will_be_written(tmp_path: Path) -> None:
    model = loaded(tmp_path, model_with(weight("a", 1)))
    small = ComputedWeight(lambda: [np.zeros(4, np.int8)], ir.DataType.INT8, ir.Shape((4,)), name="a")
    before = measure(model).total_bytes
    model.graph.initializers["a"].const_value = small
    after = measure(model)
    assert before - after.total_bytes == pytest.approx(4 * ELEMENTS - 4, abs=8)
    assert after.weight_bytes == {"INT8": 4}


def test_data_beside_is_aligned_for_mapping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "PROTOBUF_LIMIT", 1024)
    big = numpy_helper.from_array(np.zeros(5000, np.float32), "big")
    result = lay_out(loaded(tmp_path, model_with(weight("a", 1), weight("b", 2), big)))
    by_length = {result.weights[token].nbytes: offset for token, offset in result.offsets.items()}
    assert not result.is_embedded
    assert all(offset % 64 == 0 for offset in result.offsets.values())
    assert by_length[20_000] % 4096 == 0
    ranges = sorted((offset, offset + result.weights[token].nbytes) for token, offset in result.offsets.items())
    assert all(before[1] <= after[0] for before, after in pairwise(ranges))
    assert result.data_bytes == ranges[-1][1]
