"""Saving: what is written, under which names and permissions, and which outputs are refused."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from compressor.errors import OutputError
from compressor.model import layout
from compressor.model.load import load
from compressor.model.save import save
from tests.model.saving import OLD, is_whole, posix_only, write_model

pytestmark = pytest.mark.usefixtures("no_file_stays_open")


def test_writes_a_model_the_runtime_loads(source: Path, folder: Path, form: str) -> None:
    written = save(load(source), folder / "out.onnx")
    assert sorted(folder.iterdir()) == sorted(written)
    assert len(written) == (1 if form == "embedded" else 2)
    assert is_whole(folder / "out.onnx")


def test_writing_twice_gives_the_same_bytes(source: Path, folder: Path, form: str) -> None:
    first = {path.name: path.read_bytes() for path in save(load(source), folder / "out.onnx")}
    second = {path.name: path.read_bytes() for path in save(load(source), folder / "out.onnx", overwrite=True)}
    assert first == second


def test_what_was_saved_can_be_loaded_and_saved_again(source: Path, folder: Path, form: str) -> None:
    save(load(source), folder / "out.onnx")
    save(load(folder / "out.onnx"), folder / "again.onnx")
    assert is_whole(folder / "again.onnx")


@pytest.mark.usefixtures("form")
def test_progress_ends_at_the_total(source: Path, folder: Path) -> None:
    told: list[tuple[int, int]] = []
    save(load(source), folder / "out.onnx", progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == pytest.approx(told[-1][1], abs=8192), "the padding between weights is not counted"


def test_the_data_file_is_named_after_its_content_and_the_old_one_goes(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "PROTOBUF_LIMIT", 1024)
    out = folder / "out.onnx"
    _, first = save(load(source), out)
    assert re.fullmatch(r"out\.onnx-[0-9a-f]{16}\.data", first.name)
    (folder / "out.onnx-notes.data").write_bytes(OLD)
    write_model(source, value=2.0)
    _, second = save(load(source), out, overwrite=True)
    assert first != second
    assert sorted(folder.iterdir()) == sorted([out, second, folder / "out.onnx-notes.data"])
    assert is_whole(out, 2.0)
    monkeypatch.undo()
    save(load(source), out, overwrite=True)
    assert sorted(folder.iterdir()) == sorted([out, folder / "out.onnx-notes.data"])


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "the input": (lambda source: source, "is the input"),
    "the input by another path": (lambda source: source.parent / ".." / "source" / "model.onnx", "is the input"),
    "a folder": (lambda source: source.parent, "is a folder"),
    "in no folder": (lambda source: source.parent / "none" / "out.onnx", "does not exist"),
    "below a file": (lambda source: source / "out.onnx", "does not exist"),
    "a name too long": (lambda source: source.with_name("o" * 300), "too long"),
    "a name too long while it is written": (lambda source: source.with_name("o" * 240), "too long"),
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(("place", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_an_impossible_output_is_refused(
    source: Path, place: Callable[[Path], Path], words: str, overwrite: bool
) -> None:
    before = source.read_bytes()
    with pytest.raises(OutputError, match=words):
        save(load(source), place(source), overwrite=overwrite)
    assert source.read_bytes() == before


@posix_only
@pytest.mark.parametrize("kind", ["symlink", "hard link"])
def test_the_input_by_another_name_is_refused(source: Path, folder: Path, kind: str) -> None:
    out, before = folder / "out.onnx", source.read_bytes()
    if kind == "symlink":
        out.symlink_to(source)
    else:
        os.link(source, out)
    with pytest.raises(OutputError, match="is the input"):
        save(load(source), out, overwrite=True)
    assert source.read_bytes() == before


def test_the_inputs_data_file_is_refused_as_output(source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "PROTOBUF_LIMIT", 1024)
    out, data = save(load(source), folder / "out.onnx")
    with pytest.raises(OutputError, match="is the input"):
        save(load(out), data, overwrite=True)
    assert is_whole(out)


@posix_only
def test_a_name_that_is_not_utf8_is_refused_where_the_model_must_say_it(source: Path, folder: Path, form: str) -> None:
    out = Path(os.fsdecode(os.fsencode(folder) + b"/\xff.onnx"))
    if form == "embedded":
        save(load(source), out)
        assert list(folder.iterdir()) == [out]
        return
    with pytest.raises(OutputError, match="UTF-8"):
        save(load(source), out)
    assert not list(folder.iterdir())


def test_an_existing_file_is_replaced_only_when_asked(source: Path, folder: Path) -> None:
    out = folder / "out.onnx"
    out.write_bytes(OLD)
    with pytest.raises(OutputError, match="exists"):
        save(load(source), out)
    assert out.read_bytes() == OLD
    save(load(source), out, overwrite=True)
    assert is_whole(out)


@posix_only
def test_a_link_that_leads_nowhere_is_not_followed(source: Path, folder: Path) -> None:
    out = folder / "out.onnx"
    out.symlink_to("nowhere")
    with pytest.raises(OutputError, match="exists"):
        save(load(source), out)
    assert [path.name for path in folder.iterdir()] == ["out.onnx"]


@posix_only
def test_overwriting_a_link_replaces_the_link_and_keeps_what_it_led_to(source: Path, folder: Path) -> None:
    """As every tool that renames does; writing through it would change a file nobody named."""
    (folder / "target").write_bytes(OLD)
    out = folder / "out.onnx"
    out.symlink_to("target")
    save(load(source), out, overwrite=True)
    assert not out.is_symlink()
    assert (folder / "target").read_bytes() == OLD
    assert is_whole(out)


@posix_only
@pytest.mark.usefixtures("form")
def test_modes_are_the_users_or_those_that_were_there(source: Path, folder: Path) -> None:
    old_mask = os.umask(0o027)
    try:
        for path in save(load(source), folder / "out.onnx"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o640
        (folder / "out.onnx").chmod(0o604)
        for path in save(load(source), folder / "out.onnx", overwrite=True):
            assert stat.S_IMODE(path.stat().st_mode) == 0o604
    finally:
        os.umask(old_mask)


@pytest.mark.usefixtures("form")
def test_a_folder_that_cannot_be_written_to_is_refused(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder)
    with pytest.raises(OutputError, match="not writable"):
        save(load(source), folder / "out.onnx")


def test_a_renamed_model_keeps_the_data_file_it_is_read_from(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "PROTOBUF_LIMIT", 1024)
    out, data = save(load(source), folder / "out.onnx")
    renamed = out.rename(folder / "renamed.onnx")
    write_model(source, 2.0)
    save(load(source), out)
    assert data.exists(), "nothing was replaced, so nothing is stale"
    save(load(renamed), out, overwrite=True)
    write_model(source, 3.0)
    model = load(renamed)
    model.graph.initializers["two"].const_value = ir.tensor(np.zeros(10_000, np.float32))
    save(model, out, overwrite=True)
    assert is_whole(renamed)
