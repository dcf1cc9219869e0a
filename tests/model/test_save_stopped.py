"""Saving that fails, is killed, or is done twice at once: whole or not at all, and nobody else's file is touched."""

from __future__ import annotations

import errno
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from compressor.errors import OutputError
from compressor.model import drafts, layout
from compressor.model.load import load
from compressor.model.save import save
from tests.model.saving import KILLING, OLD, Failing, is_whole, posix_only, write_model

pytestmark = pytest.mark.usefixtures("no_file_stays_open")


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
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr


KILLED = (
    KILLING
    + """
    from compressor.model import layout
    from compressor.model.load import load
    from compressor.model.save import save

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
)


@posix_only
def test_a_killed_run_leaves_a_whole_model_and_its_rubbish_goes_with_the_next(
    source: Path, folder: Path, form: str
) -> None:
    other = write_model(source.with_name("other.onnx"), 2.0)
    arguments = [str(source), str(other), str(folder / "out.onnx"), str(layout.PROTOBUF_LIMIT)]
    command = [sys.executable, "-c", textwrap.dedent(KILLED), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > (8 if form == "beside" else 4), "it was killed at every call"
    assert is_whole(folder / "out.onnx", 2.0)


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
    errors = [process.communicate(timeout=600)[1] for process in started]
    assert errors == [b"", b""]
    assert is_whole(out, 1.0) or is_whole(out, 2.0)
    assert not [path for path in folder.iterdir() if "compressor-tmp" in path.name]


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
