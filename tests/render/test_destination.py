from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from compressor.errors import OutputError
from compressor.render.destination import open_destination

MARK = '"schema_version"'
REPORT = '{\n  "schema_version": 1\n}\n'


def test_writes_a_file_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    with open_destination(target, MARK) as destination:
        assert not target.exists(), "nothing may be seen before the report is whole"
        destination.write(REPORT)
    assert target.read_text() == REPORT
    assert list(tmp_path.iterdir()) == [target]


def test_leaves_nothing_behind_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_destination(tmp_path / "report.json", MARK):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_keeps_an_earlier_report_when_the_work_fails(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    target.write_text(REPORT)
    with pytest.raises(KeyboardInterrupt), open_destination(target, MARK):
        raise KeyboardInterrupt
    assert target.read_text() == REPORT


def test_replaces_an_earlier_report_and_keeps_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    target.write_text('{"schema_version": 0}')
    target.chmod(0o640)
    with open_destination(target, MARK) as destination:
        destination.write(REPORT)
    assert target.read_text() == REPORT
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_new_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("")
    with open_destination(tmp_path / "report.json", MARK) as destination:
        destination.write(REPORT)
    assert (tmp_path / "report.json").stat().st_mode == other.stat().st_mode


def test_fills_an_empty_file(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    target.touch()
    with open_destination(target, MARK) as destination:
        destination.write(REPORT)
    assert target.read_text() == REPORT


@pytest.mark.parametrize("content", [b'{"model_type": "albert"}', b"\x08\x07\x12\x07pytorch" + bytes(400)])
def test_refuses_to_replace_what_is_no_report(tmp_path: Path, content: bytes) -> None:
    target = tmp_path / "config.json"
    target.write_bytes(content)
    with pytest.raises(OutputError, match="not an earlier report"), open_destination(target, MARK):
        pytest.fail("the work must not start")
    assert target.read_bytes() == content
    assert list(tmp_path.iterdir()) == [target]


def test_refuses_a_folder_and_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"), open_destination(tmp_path, MARK):
        pytest.fail("the work must not start")
    with pytest.raises(OutputError, match="No such file"), open_destination(tmp_path / "no" / "r.json", MARK):
        pytest.fail("the work must not start")


def test_refuses_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="too long"), open_destination(tmp_path / ("r" * 300), MARK):
        pytest.fail("the work must not start")


def test_a_link_that_leads_to_itself_is_refused(tmp_path: Path) -> None:
    loop = tmp_path / "loop.json"
    loop.symlink_to(loop)
    with pytest.raises(OutputError, match="symbolic links"), open_destination(loop, MARK):
        pytest.fail("the work must not start")
    assert list(tmp_path.iterdir()) == [loop]


def test_follows_a_link_instead_of_replacing_it(tmp_path: Path) -> None:
    target, link = tmp_path / "real.json", tmp_path / "link.json"
    target.write_text(REPORT)
    link.symlink_to(target)
    with open_destination(link, MARK) as destination:
        destination.write(REPORT * 2)
    assert link.is_symlink()
    assert target.read_text() == REPORT * 2


def test_writes_into_a_device() -> None:
    with open_destination(Path(os.devnull), MARK) as destination:
        destination.write(REPORT)
    assert not Path(os.devnull).is_file()


def test_prints_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with open_destination(Path("-"), MARK) as destination:
        destination.write(REPORT)
    assert capsys.readouterr().out == REPORT


def test_nowhere_takes_anything(capsys: pytest.CaptureFixture[str]) -> None:
    with open_destination(None, MARK) as destination:
        destination.write(REPORT)
    assert capsys.readouterr().out == ""


def test_takes_away_what_a_killed_run_left_and_no_draft_that_is_being_written(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    (tmp_path / ".report.json.0123abcd.compressor-tmp").write_text("half a rep")
    with open_destination(target, MARK) as first, open_destination(target, MARK) as second:
        first.write(REPORT)
        second.write(REPORT * 2)
    assert target.read_text() == REPORT * 2
    assert list(tmp_path.iterdir()) == [target]


def test_a_report_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, flushed, flush = tmp_path / "report.json", [], os.fsync

    def noting(descriptor: int) -> None:
        flushed.append(target.exists())
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    with open_destination(target, MARK) as destination:
        destination.write(REPORT)
    assert flushed == ([False, True] if os.name == "posix" else [False]), "the file before, the folder after"


@pytest.mark.parametrize("failing", ["os.fsync", "os.fchmod", "pathlib.Path.replace"])
def test_a_disk_that_fails_leaves_the_earlier_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    target = tmp_path / "report.json"
    target.write_text(REPORT)

    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched, open_destination(target, MARK) as destination:
        patched.setattr(failing, fail)
        with pytest.raises(OutputError, match="No space left"):
            destination.write(REPORT * 2)
    assert target.read_text() == REPORT
    assert list(tmp_path.iterdir()) == [target]
