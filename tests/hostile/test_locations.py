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
from compressor.pipeline import compress
from tests.commands import run as command
from tests.hostile.hostile_models import (
    CANARY,
    ELEMENTS,
    PLACES,
    WEIGHT,
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


@posix_only
def test_the_hugging_face_cache_is_compressed_to_the_default_place_and_stays_as_it_was(tmp_path: Path) -> None:
    source = write(tmp_path, with_initializer(external([("location", "model.onnx_data")])), None)
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "revision"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    source.rename(blobs / "aaaa")
    (blobs / "bbbb").write_bytes(WEIGHT.tobytes())
    (snapshot / "model.onnx").symlink_to("../../blobs/aaaa")
    (snapshot / "model.onnx_data").symlink_to("../../blobs/bbbb")
    before = {path.name: path.read_bytes() for path in blobs.iterdir()}
    choices: list[list[str | Path]] = [
        [],
        ["-o", tmp_path / "elsewhere.onnx"],
        ["-o", snapshot / "model.onnx", "--force"],
    ]
    for options in choices:
        done = command("compress", snapshot / "model.onnx", *options)
        assert (done.exit_code, "is the input" in done.stderr) == ((2, True) if "--force" in options else (0, False))
        assert {path.name: path.read_bytes() for path in blobs.iterdir()} == before
    written = snapshot / "model.compressed.onnx"
    assert sorted(path.name for path in snapshot.iterdir()) == [written.name, "model.onnx", "model.onnx_data"]
    assert not written.is_symlink()
    assert run(written).tolist() == WEIGHT.tolist()


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


def test_no_pass_brings_the_canary_into_the_result(tmp_path: Path) -> None:
    path = write(tmp_path, with_initializer(external([("location", "../outside/secret.bin")])))
    out = tmp_path / "out.onnx"
    with pytest.raises(ModelError):
        compress(path, out)
    assert not out.exists()


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
