"""Where external data may be: in the model's folder and nowhere else, whatever the file says."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from compressor.errors import ModelError
from compressor.model.carried import carried
from compressor.model.load import load
from compressor.model.save import save
from compressor.model.size import measure
from compressor.pipeline import compress
from tests.hostile.hostile_models import (
    CANARY,
    ELEMENTS,
    PLACES,
    WEIGHT,
    Entries,
    external,
    with_function,
    with_initializer,
    write,
)

posix_only = pytest.mark.skipif(os.name != "posix", reason="links and special files as POSIX has them")


def refusal(path: Path) -> str:
    """Load `path`, which must be refused without a byte of the canary in the message; return the message."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(ModelError) as caught:
        load(path)
    assert CANARY[:6].decode() not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(path.parent.iterdir()) == before
    return str(caught.value)


LEADING_OUT = {
    "parent": "../outside/secret.bin",
    "parent in the middle": "sub/../../outside/secret.bin",
    "dot parent": "./../outside/secret.bin",
    "doubled slash": "..//outside/secret.bin",
    "absolute": "/etc/hostname",
    "doubled absolute": "//etc/hostname",
    "windows parent": "..\\outside\\secret.bin",
    "windows drive": "C:secret.bin",
    "windows share": "\\\\host\\share\\secret.bin",
    "process memory": "/proc/self/mem",
    "runtime memory": "*/_ORT_MEM_ADDR_/*",
    "empty": "",
    "nul": "w.bin\0../outside/secret.bin",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("location", LEADING_OUT.values(), ids=LEADING_OUT.keys())
def test_a_location_that_leads_out_is_refused_in_every_place(
    tmp_path: Path, location: str, place: Callable[[TensorProto], onnx.ModelProto]
) -> None:
    assert "refused" in refusal(write(tmp_path, place(external([("location", location)]))))


@pytest.mark.parametrize("place", PLACES)
def test_a_location_in_the_folder_loads_in_every_place(
    tmp_path: Path, place: Callable[[TensorProto], onnx.ModelProto]
) -> None:
    load(write(tmp_path, place(external([("location", "w.bin")]))))


def test_a_bare_file_name_in_the_current_folder_is_held_to_the_same_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (with_initializer, with_function):
        path = write(tmp_path, place(external([("location", "../outside/secret.bin")])))
        monkeypatch.chdir(path.parent)
        assert "leads outside" in refusal(Path(path.name))


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
    "the folder itself": ([("location", ".")], "is a folder"),
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


@posix_only
@pytest.mark.parametrize("kind", ["link", "chain of links", "link in the parent", "absolute link", "hard link"])
def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path, kind: str) -> None:
    location = "sub/secret.bin" if kind == "link in the parent" else "w.bin"
    path = write(tmp_path, with_initializer(external([("location", location)])), None)
    inside, secret = path.parent, tmp_path / "outside" / "secret.bin"
    if kind == "link":
        (inside / "w.bin").symlink_to("../outside/secret.bin")
    elif kind == "chain of links":
        (inside / "w.bin").symlink_to("next")
        (inside / "next").symlink_to("last")
        (inside / "last").symlink_to("../outside/secret.bin")
    elif kind == "link in the parent":
        (inside / "sub").symlink_to("../outside")
    elif kind == "absolute link":
        (inside / "w.bin").symlink_to(secret)
    else:
        os.link(secret, inside / "w.bin")
    assert ("hard links" if kind == "hard link" else "leads outside") in refusal(path)


@posix_only
def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, with_initializer(external([("location", "w.bin")])), None)
    (path.parent / "w.bin").symlink_to("other")
    (path.parent / "other").symlink_to("w.bin")
    assert "w.bin" in refusal(path)


@posix_only
@pytest.mark.parametrize("kind", ["fifo", "folder", "socket", "device"])
def test_what_is_not_a_regular_file_is_refused_without_waiting(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, with_initializer(external([("location", "w.bin")])), None)
    place = path.parent / "w.bin"
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.relpath(place))
    else:
        place.symlink_to("/dev/zero")
    assert any(words in refusal(path) for words in ("not a regular file", "is a folder", "cannot be opened", "outside"))


@posix_only
@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "nothing"])
def test_a_model_that_is_not_a_regular_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.onnx"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path = Path("/dev/zero")
    with pytest.raises(ModelError, match=r"not a regular file|is a folder|no such file"):
        load(path)


@posix_only
def test_links_inside_the_folder_work(tmp_path: Path) -> None:
    path = write(tmp_path, with_initializer(external([("location", "sub/w.bin")])))
    (path.parent / "real").mkdir()
    (path.parent / "w.bin").rename(path.parent / "real" / "blob")
    (path.parent / "sub").symlink_to("real")
    (path.parent / "real" / "w.bin").symlink_to("blob")
    assert_is_whole(path, tmp_path / "out.onnx")


@posix_only
def test_the_hugging_face_cache_works(tmp_path: Path) -> None:
    path = write(tmp_path, with_initializer(external([("location", "w.bin")])))
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "revision"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    path.rename(blobs / "aaaa")
    (path.parent / "w.bin").rename(blobs / "bbbb")
    (snapshot / "model.onnx").symlink_to("../../blobs/aaaa")
    (snapshot / "w.bin").symlink_to("../../blobs/bbbb")
    assert_is_whole(snapshot / "model.onnx", tmp_path / "out.onnx")
    (snapshot / "w.bin").unlink()
    (snapshot / "w.bin").symlink_to("../../outside/secret.bin")
    assert "leads outside" in refusal(snapshot / "model.onnx")


def test_a_location_may_be_the_model_file_itself(tmp_path: Path) -> None:
    """It is a file in the folder, as the format asks; its size counts once."""
    model = with_initializer(external([("location", "model.onnx"), ("offset", "4096")]))
    path = write(tmp_path, model)
    content = path.read_bytes()
    # Two fields that onnx.proto does not know: zeros up to the page, and the weight.
    zeros = bytes(4096 - len(content) - 8)
    whole = content + b"\xa2\x06" + varint(len(zeros)) + zeros + b"\xa2\x06" + varint(WEIGHT.nbytes)
    assert len(whole) == 4096
    path.write_bytes(whole + WEIGHT.tobytes())
    loaded = load(path)
    weight = loaded.graph.initializers["w"].const_value
    assert weight is not None
    assert weight.tobytes() == WEIGHT.tobytes()
    facts = carried(loaded)
    assert facts is not None
    assert [file.size for file in facts.files] == [4096 + WEIGHT.nbytes]


def varint(value: int) -> bytes:
    """A number below 2^14 in two bytes."""
    return bytes([value & 0x7F | 0x80, value >> 7])


def test_a_location_in_the_model_file_is_bounded_by_it(tmp_path: Path) -> None:
    path = write(tmp_path, with_initializer(external([("location", "model.onnx"), ("offset", "100")])))
    assert "needs bytes 100 to 228" in refusal(path)


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


def test_no_pass_brings_the_canary_into_the_result(tmp_path: Path) -> None:
    path = write(tmp_path, with_initializer(external([("location", "../outside/secret.bin")])))
    out = tmp_path / "out.onnx"
    with pytest.raises(ModelError):
        compress(path, out)
    assert not out.exists()


def floats_of(elements: int, name: str) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, [elements])


def run(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    result: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = session.run(
        None, {"x": np.zeros(ELEMENTS, np.float32)}
    )[0]
    return result


def assert_is_whole(path: Path, out: Path) -> None:
    """Load `path`, save it to `out`, and find the weight there."""
    save(load(path), out)
    assert run(out).tolist() == WEIGHT.tolist()
