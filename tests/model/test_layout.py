"""Weights are embedded where they can be; beside the model, they lie where runtimes can map them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressor.model import layout
from compressor.model.layout import aligned, lay_out
from compressor.model.load import load


def write(folder: Path, *weights: TensorProto) -> Path:
    nodes = [helper.make_node("Identity", [weight.name], [f"y{index}"]) for index, weight in enumerate(weights)]
    outputs = [helper.make_empty_tensor_value_info(name) for node in nodes for name in node.output]
    graph = helper.make_graph(nodes, "g", [], outputs, list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def stored(folder: Path, *sizes: int) -> ir.Model:
    """A model with a weight of each size in bytes."""
    weights = [numpy_helper.from_array(np.full(size, size % 251, np.uint8), f"w{size}") for size in sizes]
    return load(write(folder, *weights))


def in_one_range(folder: Path, count: int, size: int) -> ir.Model:
    """A model with `count` weights that all name the same bytes of a data file."""
    (folder / "w.bin").write_bytes(bytes(size))
    weights = []
    for index in range(count):
        weight = TensorProto(name=f"w{index}", data_type=TensorProto.UINT8, dims=[size])
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value="w.bin")
        weights.append(weight)
    return load(write(folder, *weights))


def test_weights_are_embedded(tmp_path: Path) -> None:
    found = lay_out(stored(tmp_path, 2000, 3000))
    assert found.is_embedded
    assert found.data_bytes == 0
    assert found.total_bytes > 5000


def test_weights_lie_beside_where_one_message_cannot_hold_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = stored(tmp_path, 2000, 3000)
    embedded_bytes = lay_out(model).total_bytes
    monkeypatch.setattr(layout, "PROTOBUF_LIMIT", embedded_bytes)
    assert lay_out(model).is_embedded
    monkeypatch.setattr(layout, "PROTOBUF_LIMIT", embedded_bytes - 1)
    assert not lay_out(model).is_embedded


def test_weights_beside_do_not_overlap_and_start_where_they_can_be_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "PROTOBUF_LIMIT", 0)
    found = lay_out(stored(tmp_path, 2000, 5000, 1024, 4096, 1025))
    end = 0
    for token, offset in sorted(found.offsets.items(), key=lambda item: item[1]):
        length = found.weights[token].nbytes
        assert offset >= end
        assert offset % (4096 if length >= 4096 else 64) == 0
        end = offset + length
    assert found.data_bytes == end
    assert len(found.offsets) == 5


def test_names_of_one_range_stay_so_where_embedding_would_take_more_than_the_source(tmp_path: Path) -> None:
    found = lay_out(in_one_range(tmp_path, 5, 8000))
    assert set(found.offsets.values()) == {0}
    assert len(found.offsets) == 5
    assert found.data_bytes == 8000


@pytest.mark.parametrize(
    ("end", "length", "start"), [(0, 10, 0), (1, 10, 64), (64, 4095, 64), (65, 4096, 4096), (4097, 9000, 8192)]
)
def test_aligned(end: int, length: int, start: int) -> None:
    assert aligned(end, length) == start
