"""Protobuf that no exporter writes: groups, wrong wire types, huge names and metadata, ranges in files of holes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressor.errors import ModelError
from compressor.model.load import load
from compressor.model.save import save
from tests.hostile.hostile_models import WEIGHT, external, floats, model_of, with_initializer, write
from tests.hostile.test_bombs import compress_in_bounds, delimited, varint

SOUND = with_initializer(numpy_helper.from_array(np.arange(512, dtype=np.float32).reshape(16, 32), "w"))


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    return path


REFUSED = {
    "a group": b"\x3b\x08\x01\x3c",  # start and end of field 7 as proto2 has them; ONNX defines none
    "the end of a group": b"\x3c",
    "wire type 6": b"\x3e\x00",
    "wire type 7": b"\x3f\x00",
    "field number 0": b"\x02\x01a",
    "a field number of 11 bytes": b"\xff" * 10 + b"\x01",
    "a field number of 6 bytes": b"\xba\x80\x80\x80\x80\x00\x00",
}


@pytest.mark.parametrize("tail", REFUSED.values(), ids=REFUSED.keys())
def test_what_no_onnx_reader_takes_is_refused(tmp_path: Path, tail: bytes) -> None:
    with pytest.raises(ModelError, match="is not"):
        load(written(tmp_path, SOUND.SerializeToString() + tail))


def test_a_graph_that_is_a_number_is_no_graph(tmp_path: Path) -> None:
    opset = delimited(8, helper.make_opsetid("", 17).SerializeToString())
    with pytest.raises(ModelError, match="holds no graph"):
        load(written(tmp_path, b"\x08\x08\x38\x07" + opset))


def test_a_weight_whose_bytes_are_a_number_is_too_short(tmp_path: Path) -> None:
    tensor = b"\x08\x08" + b"\x10\x01" + b"\x42\x01w" + b"\x48\x07"  # dims [8], float, "w", raw_data as a varint
    model = model_of([helper.make_node("Add", ["x", "w"], ["y"])])
    graph = model.graph.SerializeToString() + delimited(5, tensor)
    content = b"\x08\x08" + delimited(7, graph) + delimited(8, model.opset_import[0].SerializeToString())
    with pytest.raises(ModelError, match="holds 0 values"):
        load(written(tmp_path, content))


def test_two_graphs_are_merged_as_protobuf_says_and_their_weights_both_found(tmp_path: Path) -> None:
    """A reader that takes the first or the last would compute something else, or nothing."""
    weight = numpy_helper.from_array(np.arange(2048, dtype=np.float32), "late")
    whole = SOUND.SerializeToString() + delimited(7, delimited(5, weight.SerializeToString()))
    model = load(written(tmp_path, whole))
    save(model, tmp_path / "out.onnx")
    found = {tensor.name: tensor for tensor in onnx.load(tmp_path / "out.onnx").graph.initializer}
    assert numpy_helper.to_array(found["late"]).tolist() == list(range(2048))
    assert numpy_helper.to_array(found["w"]).tolist() == np.arange(512).reshape(16, 32).tolist()


def test_lengths_written_longer_than_needed_are_lengths(tmp_path: Path) -> None:
    """A varint may carry zeros at its end; some writers reserve room so."""
    graph = SOUND.graph.SerializeToString()
    length = varint(len(graph))
    padded = bytes([*length[:-1], length[-1] | 0x80, 0x80, 0x00])
    content = b"\x08\x08" + b"\x3a" + padded + graph + delimited(8, SOUND.opset_import[0].SerializeToString())
    save(load(written(tmp_path, content)), tmp_path / "out.onnx")
    (tensor,) = onnx.load(tmp_path / "out.onnx").graph.initializer
    assert numpy_helper.to_array(tensor).sum() == 511 * 256


def huge_names() -> onnx.ModelProto:
    name = "n" * 10_000_000
    weight = numpy_helper.from_array(np.zeros(32, np.float32), name)
    return model_of([helper.make_node("Add", ["x", name], ["y"], name=name)], [weight])


def huge_metadata() -> onnx.ModelProto:
    model = with_initializer(numpy_helper.from_array(np.zeros(32, np.float32), "w"))
    model.metadata_props.add(key="k" * 1_000_000, value="v" * 50_000_000)
    model.graph.doc_string = "d" * 20_000_000
    return model


def many_properties() -> onnx.ModelProto:
    model = with_initializer(numpy_helper.from_array(np.zeros(32, np.float32), "w"))
    for number in range(200_000):
        model.metadata_props.add(key=str(number), value="")
    return model


@pytest.mark.parametrize("draw", [huge_names, huge_metadata, many_properties])
def test_huge_texts_take_little_memory_and_are_not_printed(tmp_path: Path, draw: type) -> None:
    source: onnx.ModelProto = draw()
    path, out = written(tmp_path, source.SerializeToString()), tmp_path / "out.onnx"
    done = compress_in_bounds(path, out, "--no-verify")
    assert done.returncode == 0, done.stderr[-500:]
    assert len(done.stdout) + len(done.stderr) < 20_000
    found = {entry.key: entry.value for entry in onnx.load(out).metadata_props}
    assert found == {entry.key: entry.value for entry in source.metadata_props}


@pytest.mark.skipif(sys.platform != "linux", reason="files of holes")
def test_a_weight_of_4_tb_in_a_file_of_holes_takes_no_memory(tmp_path: Path) -> None:
    """It fits its file, so nothing is wrong with it, but no disk takes the result."""
    path = write(tmp_path, with_initializer(external([("location", "w.bin")], dims=[2**20, 2**20])), None)
    with path.with_name("w.bin").open("wb") as file:
        try:
            file.truncate(1 << 42)
        except OSError:
            pytest.skip("this file system has no files of 4 TB")
    weight = load(path).graph.initializers["w"].const_value
    assert weight is not None
    assert weight.nbytes == 1 << 42


@pytest.mark.skipif(os.name != "posix", reason="names as POSIX has them")
@pytest.mark.parametrize(
    "name", [b"\xff\xfe.onnx", b"a\nb.onnx", b"\x1b]0;evil\x07\x1b[2J.onnx", b"[red]x[v2] .onnx", b"-v.onnx"]
)
def test_names_of_files_are_any_bytes_and_drive_no_terminal(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.write_bytes(SOUND.SerializeToString())
    reports = [f"--{kind}={tmp_path / kind}" for kind in ("json", "markdown", "model-card", "save-recipe")]
    done = compress_in_bounds(path, path.with_suffix(".out.onnx"), "--no-verify", *reports)
    assert done.returncode == 0, done.stderr
    assert not {"\x1b", "\x07"} & set(done.stdout + done.stderr)
    for kind in ("json", "markdown", "model-card"):
        assert b"\x1b" not in (tmp_path / kind).read_bytes(), kind


def test_a_tensor_with_a_segment_is_refused_or_whole(tmp_path: Path) -> None:
    """onnx.proto lets a tensor be stored in parts and says that nothing uses it."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[32], raw_data=WEIGHT.tobytes())
    tensor.segment.begin, tensor.segment.end = 0, 16
    try:
        save(load(written(tmp_path, with_initializer(tensor).SerializeToString())), tmp_path / "out.onnx")
    except ModelError:
        return
    (found,) = onnx.load(tmp_path / "out.onnx").graph.initializer
    assert found.raw_data == WEIGHT.tobytes()


def constant(*tensors: TensorProto, field: int = 5) -> bytes:
    """A model that adds a Constant node whose one tensor is in the file in several messages, which readers merge."""
    attribute = delimited(1, b"value") + b"".join(delimited(field, tensor.SerializeToString()) for tensor in tensors)
    node = delimited(2, b"c") + delimited(4, b"Constant") + delimited(5, attribute + b"\xa0\x01\x04")
    rest = model_of([helper.make_node("Add", ["x", "c"], ["y"])], inputs=[floats("x", 512)])
    graph = delimited(1, node) + rest.graph.SerializeToString()
    return b"\x08\x08" + delimited(7, graph) + delimited(8, rest.opset_import[0].SerializeToString())


LATER = {
    "large": TensorProto(raw_data=np.full(512, 7, np.float32).tobytes()),
    "large with a type": TensorProto(data_type=TensorProto.FLOAT, raw_data=np.full(512, 7, np.float32).tobytes()),
    "small": TensorProto(raw_data=bytes(4)),
    "of another kind": TensorProto(int64_data=[1, 2]),
    "outside": external([("location", "../outside/secret.bin")], dims=[]),
}


@pytest.mark.parametrize("later", LATER.values(), ids=LATER.keys())
def test_a_tensor_in_two_messages_is_refused_or_read_as_protobuf_merges_it(tmp_path: Path, later: TensorProto) -> None:
    """The last bytes win, says protobuf; taking those of the first would compute something else without a word."""
    first = TensorProto(dims=[512], data_type=TensorProto.FLOAT, raw_data=np.zeros(512, np.float32).tobytes())
    content = constant(first, later)
    expected = onnx.ModelProto.FromString(content).graph.node[0].attribute[0].t.raw_data
    try:
        save(load(written(tmp_path, content)), tmp_path / "out.onnx")
    except ModelError:
        return
    assert onnx.load(tmp_path / "out.onnx").graph.node[0].attribute[0].t.raw_data == expected
