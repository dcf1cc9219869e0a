"""Saving: whole or not at all, whatever fails; nobody else's file is ever touched."""

from __future__ import annotations

import errno
import gc
import os
import pathlib
import re
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressor.errors import OutputError
from compressor.model import drafts, layout
from compressor.model.load import load
from compressor.model.save import save

posix_only = pytest.mark.skipif(os.name != "posix", reason="links, modes and signals as POSIX has them")

OLD = b"what was there before"


def write_model(path: Path, value: float = 1.0) -> Path:
    """A model of two weights of 40 kB, one of them twice."""
    one = numpy_helper.from_array(np.full(10_000, value, np.float32), "one")
    two = numpy_helper.from_array(np.arange(10_000, dtype=np.float32), "two")
    nodes = [helper.make_node("Sum", ["x", "one", "two"], ["y"])]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [10_000]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], [one, two])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def is_whole(path: Path, value: float = 1.0) -> bool:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"x": np.zeros(10_000, np.float32)})
    return bool((result == np.arange(10_000, dtype=np.float32) + np.float32(value)).all())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return write_model(folder / "model.onnx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "result"
    made.mkdir()
    return made


@pytest.fixture(params=["embedded", "beside"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both forms a result can have; the second as if protobuf's limit were 1 kB."""
    if request.param == "beside":
        monkeypatch.setattr(layout, "PROTOBUF_LIMIT", 1024)
    return str(request.param)


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


def intercept(monkeypatch: pytest.MonkeyPatch, name: str, function: Callable[..., Any]) -> None:
    """Exchange a function of :mod:`os`; before Python 3.11 :mod:`pathlib` keeps references of its own to some."""
    monkeypatch.setattr(os, name, function)
    kept = getattr(pathlib, "_NormalAccessor", None)
    if kept is not None and getattr(kept, name, None) is not None and name != "open":  # its `open` is io.open
        monkeypatch.setattr(kept, name, staticmethod(function))


class Failing:
    """Count the calls of system functions, and let the call number `at` fail."""

    NAMES: tuple[str, ...] = ("open", "fsync", "fchmod", "rename", "replace", "copy_file_range", "unlink")

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, code: int) -> None:
        self.calls = 0
        self.failed = ""
        for name in self.NAMES:
            if hasattr(os, name):
                intercept(monkeypatch, name, self._wrapped(name, getattr(os, name), at, code))

    def _wrapped(self, name: str, function: Callable[..., Any], at: int, code: int) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == at:
                self.failed = name
                raise OSError(code, os.strerror(code))
            return function(*arguments, **options)

        return call


@posix_only
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("existed", [False, True], ids=["new", "replaced"])
def test_whatever_call_fails_the_output_is_the_old_or_the_whole_new(
    source: Path, folder: Path, form: str, existed: bool, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, before, at, failed = folder / "out.onnx", source.read_bytes(), 0, set()
    while True:
        at += 1
        for path in folder.iterdir():
            path.unlink()
        if existed:
            out.write_bytes(OLD)
        model = load(source)
        with monkeypatch.context() as patched:
            failing = Failing(patched, at, code)
            try:
                save(model, out, overwrite=True)
                is_saved = True
            except OutputError:
                is_saved = False
        assert source.read_bytes() == before
        if is_saved:
            assert is_whole(out)
        else:
            assert_untouched(folder, out, existed, failing.failed)
        if not failing.failed:
            break
        failed.add(failing.failed)
    assert {"open", "fsync", "fchmod"} <= failed


def assert_untouched(folder: Path, out: Path, existed: bool, failed: str) -> None:
    left = sorted(path.name for path in folder.iterdir())
    if out.exists() and out.read_bytes() != OLD:
        assert is_whole(out), failed  # only flushing the folder failed, after the rename
        return
    assert left == (["out.onnx"] if existed else []), failed
    assert not existed or out.read_bytes() == OLD


@posix_only
@pytest.mark.usefixtures("form")
def test_a_disk_that_fills_up_leaves_nothing_behind(source: Path, folder: Path) -> None:
    """At every size: a limit on file sizes fails the way a full disk does."""
    script = """
        import resource, signal, sys
        from pathlib import Path
        from compressor.errors import OutputError
        from compressor.model import layout
        from compressor.model.load import load
        from compressor.model.save import save
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        layout.PROTOBUF_LIMIT = int(sys.argv[3])
        model, folder = load(sys.argv[1]), Path(sys.argv[2])
        for limit in (0, 1, 100, 4096, 40_000, 80_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                save(model, folder / "out.onnx")
            except OutputError as error:
                assert "cannot be written" in str(error), error
            else:
                raise SystemExit(f"{limit} bytes were enough")
            assert not list(folder.iterdir()), limit
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(source), str(folder), str(layout.PROTOBUF_LIMIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from compressor.model import layout
    from compressor.model.load import load
    from compressor.model.save import save

    calls = 0

    def dying(function, at):
        def call(*arguments, **options):
            global calls
            calls += 1
            if calls == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)
        return call

    def values(model):
        return {value.const_value.tobytes()[-4:].hex() for value in model.graph.initializers.values()}

    one, two, out = load(sys.argv[1]), load(sys.argv[2]), Path(sys.argv[3])
    layout.PROTOBUF_LIMIT = int(sys.argv[4])
    for at in range(1, 100):
        save(one, out, overwrite=True)
        child = os.fork()
        if not child:
            for name in ("fsync", "fchmod", "rename", "replace", "unlink", "open"):
                setattr(os, name, dying(getattr(os, name), at))
            save(two, out, overwrite=True)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        assert values(load(out)) in (values(one), values(two)), at
        written = save(two, out, overwrite=True)
        assert values(load(out)) == values(two), at
        left = {path for path in out.parent.iterdir() if ".compressor-tmp" in path.name}
        assert not left, (at, left)
        if status == 0:
            break
    print(at)
"""


@posix_only
def test_a_killed_run_leaves_a_whole_model_and_its_rubbish_goes_with_the_next(
    source: Path, folder: Path, form: str
) -> None:
    other = write_model(source.with_name("other.onnx"), 2.0)
    arguments = [str(source), str(other), str(folder / "out.onnx"), str(layout.PROTOBUF_LIMIT)]
    command = [sys.executable, "-c", textwrap.dedent(KILLED), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > (8 if form == "beside" else 4), "it was killed at every call"
    assert is_whole(folder / "out.onnx", 2.0)


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


@posix_only
def test_temporary_files_of_a_run_that_goes_on_are_left_alone(source: Path, folder: Path) -> None:
    import fcntl

    out = folder / "out.onnx"
    names = [f".out.onnx.{digits}.compressor-tmp" for digits in ("00000001", "00000002")]
    running, abandoned = (folder / name for name in names)
    others = [folder / ".other.onnx.00000001.compressor-tmp", folder / ".out.onnx.notes.compressor-tmp"]
    for path in (running, abandoned, *others):
        path.write_bytes(OLD)
    with running.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        save(load(source), out)
    assert sorted(folder.iterdir()) == sorted([out, running, *others])


@posix_only
@pytest.mark.usefixtures("form")
def test_two_runs_at_once_on_one_output_end_with_one_whole_model(source: Path, folder: Path) -> None:
    script = """
        import sys
        from pathlib import Path
        from compressor.model import layout
        from compressor.model.load import load
        from compressor.model.save import save
        layout.PROTOBUF_LIMIT = int(sys.argv[3])
        model = load(sys.argv[1])
        for _ in range(15):
            save(model, Path(sys.argv[2]), overwrite=True)
    """
    other = write_model(source.with_name("other.onnx"), 2.0)
    limit, out = str(layout.PROTOBUF_LIMIT), folder / "out.onnx"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), str(path), str(out), limit], stderr=subprocess.PIPE
        )
        for path in (source, other)
    ]
    errors = [process.communicate(timeout=60)[1] for process in started]
    assert errors == [b"", b""]
    assert is_whole(out, 1.0) or is_whole(out, 2.0)
    assert not [path for path in folder.iterdir() if "compressor-tmp" in path.name]


@pytest.fixture(autouse=True)
def no_file_stays_open() -> Iterator[None]:
    """A descriptor per run would end long batches."""
    listing = Path("/proc/self/fd")
    if not listing.is_dir():
        yield
        return
    yield
    gc.collect()  # a caught exception may still hold the reader that verified a result
    assert not [link for link in listing.iterdir() if "compressor-tmp" in os.path.realpath(link)]


@posix_only
@pytest.mark.parametrize("taken_by", ["removal", "lock"])
def test_takes_another_name_when_a_run_takes_the_new_file_for_abandoned(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, taken_by: str
) -> None:
    lock, calls = drafts._lock, 0

    def contested(file: Any) -> bool:
        nonlocal calls
        calls += 1
        if calls > 1:
            return lock(file)
        for path in folder.glob(".out.onnx.*"):
            path.unlink()
        return taken_by == "removal" and lock(file)

    monkeypatch.setattr(drafts, "_lock", contested)
    save(load(source), folder / "out.onnx")
    assert is_whole(folder / "out.onnx")
    assert [path.name for path in folder.iterdir()] == ["out.onnx"]
