"""Saving several models that fails or is stopped: all old or all new, and nobody else's file is touched."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compressor.errors import OutputError
from compressor.model import together
from compressor.model.together import save_together
from tests.model.saving import (
    KILLING,
    OLD,
    Failing,
    assert_all_whole,
    contents,
    intercept,
    posix_only,
    targeted,
    write_model,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "result"


class FailingOnce(Failing):
    """Fail at one call of those a set makes, which also makes a folder."""

    NAMES = (*Failing.NAMES, "mkdir")


@posix_only
@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("before", ["no folder", "empty", "one model", "an earlier set"])
def test_whatever_call_fails_all_are_old_or_all_are_new(
    sources: tuple[Path, ...], folder: Path, before: str, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    at, failed = 0, set()
    while True:
        at += 1
        prepare(sources, folder, before)
        old = contents(folder) if folder.exists() else None
        models = targeted(sources, folder)
        with monkeypatch.context() as patched:
            failing = interrupting(patched, at) if kind is KeyboardInterrupt else FailingOnce(patched, at, errno.EIO)
            try:
                save_together(models, overwrite=True)
                is_saved = True
            except (OutputError, KeyboardInterrupt):
                is_saved = False
        found = contents(folder) if folder.exists() else None
        if is_saved or (found is not None and found != old):
            assert_all_whole(folder)
            left = [name for name in found or () if "compressor-tmp" in name]
            assert not left or failing.failed == "unlink", "a copy that cannot be removed goes with the next run"
        else:
            assert found == old, failing.failed
        if not failing.failed:
            break
        failed.add(failing.failed)
    assert {"open", "fsync", "fchmod", "rename"} <= failed or {"open", "fsync", "fchmod", "replace"} <= failed


def interrupting(monkeypatch: pytest.MonkeyPatch, at: int) -> Failing:
    """As if Ctrl-C were pressed at the call number `at`: before a file is made, else just after the call."""
    failing = FailingOnce(monkeypatch, -1, 0)  # never fails, but counts
    for name in FailingOnce.NAMES:
        if hasattr(os, name):
            intercept(monkeypatch, name, interrupted(failing, name, getattr(os, name), at))
    return failing


def interrupted(failing: Failing, name: str, function: Callable[..., Any], at: int) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        is_now = failing.calls == at - 1
        result = None if is_now and name in ("open", "mkdir") else function(*arguments, **options)
        if is_now:
            failing.failed = name
            raise KeyboardInterrupt
        return result

    return call


def prepare(sources: tuple[Path, ...], folder: Path, before: str) -> None:
    if folder.exists():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    if before != "no folder":
        folder.mkdir()
    if before == "one model":
        (folder / "b.onnx").write_bytes(OLD)
    if before == "an earlier set":
        write_model(sources[0], 9.0)
        save_together(targeted(sources, folder))
        write_model(sources[0], 1.0)


def test_where_no_second_names_can_be_given_the_old_files_come_back_all_the_same(
    sources: tuple[Path, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(sources, folder, "an earlier set")
    old = contents(folder)
    monkeypatch.setattr(
        os, "link", lambda *arguments, **options: (_ for _ in ()).throw(OSError(errno.EPERM, "no links"))
    )
    replace = Path.replace

    def refuse_the_last(path: Path, target: Path) -> Path:
        if Path(target).name == "c.onnx" and (folder / "b.onnx").read_bytes() != old["b.onnx"]:
            monkeypatch.setattr(Path, "replace", replace)
            raise OSError(errno.EIO, "refused")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuse_the_last)
    with pytest.raises(OutputError, match="it was left as it was"):
        save_together(targeted(sources, folder), overwrite=True)
    assert contents(folder) == old


def test_a_result_that_cannot_be_read_back_is_not_kept(
    sources: tuple[Path, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OutputError("cannot be read back")

    monkeypatch.setattr(together, "verify_written", refuse)
    with pytest.raises(OutputError, match="read back"):
        save_together(targeted(sources, folder))
    assert not folder.exists()


KILLED = (
    KILLING
    + """
    from compressor.model.load import load
    from compressor.model.together import Storage, save_together

    def loaded(folder):
        return {out / path.name: load(path) for path in sorted(Path(folder).glob("*.onnx"))}

    out = Path(sys.argv[3])
    one, two = loaded(sys.argv[1]), loaded(sys.argv[2])
    for at in range(1, 200):
        save_together(one, overwrite=True)
        if at % 2:  # the killed run writes what is there already
            save_together(two, overwrite=True)
        child = os.fork()
        if not child:
            for name in ("fsync", "fchmod", "rename", "replace", "unlink", "open", "link"):
                setattr(os, name, dying(getattr(os, name), at))
            save_together(two, overwrite=True)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        for path in one:
            assert values(load(path)) in (values(one[path]), values(two[path])), (at, path)
        save_together(two, overwrite=True)
        assert all(values(load(path)) == values(two[path]) for path in two), at
        left = {path for path in out.iterdir() if ".compressor-tmp" in path.name}
        assert not left, (at, left)
        if status == 0:
            break
    print(at)
"""
)


@posix_only
def test_a_killed_run_leaves_each_model_whole_and_its_rubbish_goes_with_the_next(
    sources: tuple[Path, ...], folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "others").mkdir()
    for source in sources:
        write_model(tmp_path / "others" / source.name, 5.0)
    command = [
        sys.executable,
        "-c",
        textwrap.dedent(KILLED),
        *map(str, (sources[0].parent, tmp_path / "others", folder)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 15, "it was killed at every call"
