"""What external data entries may say: which bytes of which file, in numbers that are numbers."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from compressor.model.load import load
from compressor.model.save import save
from compressor.model.size import measure
from tests.hostile.hostile_models import ELEMENTS, WEIGHT, Entries, external, with_initializer, write
from tests.hostile.test_locations import refusal, run

MALFORMED: dict[str, tuple[Entries, str]] = {
    "negative offset": ([("location", "w.bin"), ("offset", "-1")], "not a number of bytes"),
    "offset in words": ([("location", "w.bin"), ("offset", "zero")], "not a number of bytes"),
    "offset with a sign": ([("location", "w.bin"), ("offset", "+0")], "not a number of bytes"),
    "offset in hexadecimal": ([("location", "w.bin"), ("offset", "0x0")], "not a number of bytes"),
    "offset in other digits": ([("location", "w.bin"), ("offset", "\u0661")], "not a number of bytes"),
    "offset with spaces": ([("location", "w.bin"), ("offset", " 0")], "not a number of bytes"),
    "empty offset": ([("location", "w.bin"), ("offset", "")], "not a number of bytes"),
    "offset of 2^63": ([("location", "w.bin"), ("offset", str(2**63))], "not a number of bytes"),
    "largest offset": ([("location", "w.bin"), ("offset", str(2**63 - 1))], "has 128"),
    "offset that wraps around with the length": ([("location", "w.bin"), ("offset", str(2**64 - 128))], "not a number"),
    "offset with a million digits": ([("location", "w.bin"), ("offset", "9" * 10**6)], "not a number"),
    "offset past the end": ([("location", "w.bin"), ("offset", "1")], "needs bytes 1 to 129"),
    "length too short": ([("location", "w.bin"), ("length", "4")], "needs 128 bytes"),
    "length too long": ([("location", "w.bin"), ("length", "256")], "needs 128 bytes"),
    "negative length": ([("location", "w.bin"), ("length", "-128")], "not a number of bytes"),
    "no location": ([("offset", "0")], "names no location"),
    "nothing at all": ([], "names no location"),
    "two locations": ([("location", "w.bin"), ("location", "../outside/secret.bin")], "two external data entries"),
    "two offsets": ([("location", "w.bin"), ("offset", "0"), ("offset", "64")], "two external data entries"),
    "missing file": ([("location", "other.bin")], "missing"),
    "name longer than any file's": ([("location", "n" * 5000)], "cannot be opened"),
    "file taken for a folder": ([("location", "w.bin/w.bin")], "cannot be opened"),
    "the folder itself": ([("location", ".")], "names a folder"),
    "a folder above the file": ([("location", "w.bin/.")], "names a folder"),
    "file with a slash behind": ([("location", "w.bin/")], "names a folder"),
    "percent-encoded parent": ([("location", "%2e%2e/outside/secret.bin")], "missing"),
    "wide dots": ([("location", "\uff0e\uff0e/outside/secret.bin")], "missing"),
    "wide slash": ([("location", "..\uff0foutside\uff0fsecret.bin")], "missing"),
    "home": ([("location", "~/w.bin")], "missing"),
    "address of a file": ([("location", "file:///etc/hostname")], "missing"),
    "pattern": ([("location", "*")], "missing"),
    "line break behind": ([("location", "w.bin\n")], "missing"),
    "mark of this package": ([("location", "weight:0123456789abcdef")], "missing"),
}


@pytest.mark.parametrize(("entries", "words"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_entry_is_refused(tmp_path: Path, entries: Entries, words: str) -> None:
    message = refusal(write(tmp_path, with_initializer(external(entries))))
    assert words in message
    assert len(message) < 1000


def test_a_data_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, with_initializer(external([("location", "w.bin")])), WEIGHT.tobytes()[:-1])
    assert "w.bin has 127" in refusal(path)


def test_unknown_keys_are_allowed_because_the_format_allows_them(tmp_path: Path) -> None:
    entries = [("location", "w.bin"), ("checksum", "abc"), ("__class__", "x")]
    model = load(write(tmp_path, with_initializer(external(entries))))
    weight = model.graph.initializers["w"].const_value
    assert weight is not None
    assert weight.tobytes() == WEIGHT.tobytes()


def test_external_strings_are_refused(tmp_path: Path) -> None:
    tensor = external([("location", "w.bin")])
    tensor.data_type = TensorProto.STRING
    assert "does not allow" in refusal(write(tmp_path, with_initializer(tensor)))


def test_external_data_beside_data_of_its_own_is_refused(tmp_path: Path) -> None:
    tensor = external([("location", "w.bin")])
    tensor.raw_data = WEIGHT.tobytes()
    assert "data of its own" in refusal(write(tmp_path, with_initializer(tensor)))


def test_many_names_for_one_range_stay_one_range(tmp_path: Path) -> None:
    """400 weights over one megabyte: 400 MB if each were written out."""
    megabyte = 1 << 18
    names = [f"w{index}" for index in range(400)]
    nodes = [onnx.helper.make_node("Sum", ["x", *names], ["y"])]
    tensors = [external([("location", "w.bin")], name=name, dims=[megabyte]) for name in names]
    inputs = [onnx.helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])]
    graph = onnx.helper.make_graph(
        nodes, "g", inputs, [onnx.helper.make_tensor_value_info("y", 1, [megabyte])], tensors
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    path = write(tmp_path, model, bytes(4 * megabyte))
    loaded = load(path)
    assert measure(loaded).total_bytes < 8 << 20
    written = save(loaded, tmp_path / "out.onnx")
    assert sum(file.stat().st_size for file in written) < 8 << 20
    load(tmp_path / "out.onnx")


def test_ranges_that_overlap_keep_their_own_bytes(tmp_path: Path) -> None:
    half = ELEMENTS // 2
    tensors = [
        external([("location", "w.bin")], name="a", dims=[half]),
        external([("location", "w.bin"), ("offset", "32")], name="b", dims=[half]),
    ]
    nodes = [
        onnx.helper.make_node("Concat", ["a", "b"], ["c"], axis=0),
        onnx.helper.make_node("Add", ["x", "c"], ["y"]),
    ]
    graph = onnx.helper.make_graph(nodes, "g", [floats_of(ELEMENTS, "x")], [floats_of(ELEMENTS, "y")], tensors)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    path = write(tmp_path, model)
    save(load(path), tmp_path / "out.onnx")
    assert run(tmp_path / "out.onnx").tolist() == [*WEIGHT[:half], *WEIGHT[8 : 8 + half]]


def floats_of(elements: int, name: str) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, [elements])
