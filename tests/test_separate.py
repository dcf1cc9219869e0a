"""Models that have nothing to do with each other: one that fails, or crashes, does not stop the rest."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner

from compressor import Budget, EachReport, OptionError, OutputError, Recipe, compress, compress_each
from compressor.apart import run_apart
from compressor.cli import ExitCode, app
from compressor.folder.naming import Naming
from compressor.report import Ending
from tests.conftest import FIXTURES

QUICK = Recipe.from_names(["deduplicate"])
MODEL = "vit.sdpa.torchscript17.onnx"

posix_only = pytest.mark.skipif(os.name != "posix", reason="signals and FIFOs as POSIX has them")


@pytest.fixture
def zoo(tmp_path: Path) -> tuple[Path, ...]:
    """A sound model, two that are none, and another sound one."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    relu = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[n] x) => (float[n] y) { y = Relu(x) }'
    )
    contents = {
        "a.onnx": (FIXTURES / MODEL).read_bytes(),
        "b.onnx": b"<html>404</html>",
        "c.onnx": b"",
        "d.onnx": relu.SerializeToString(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return tuple(folder / name for name in contents)


def names(found: EachReport) -> list[tuple[str, bool]]:
    return [(ending.source.name, ending.report is not None) for ending in found.endings]


@pytest.mark.parametrize("jobs", [1, 3])
def test_endings_come_in_order_and_the_sound_models_are_compressed(zoo: tuple[Path, ...], jobs: int) -> None:
    out = zoo[0].parents[1] / "out"
    before = {path: path.read_bytes() for path in zoo}
    found = compress_each(zoo, out, recipe=QUICK, verify=False, jobs=jobs)
    assert names(found) == [("a.onnx", True), ("b.onnx", False), ("c.onnx", False), ("d.onnx", True)]
    assert [ending.refusal for ending in found.endings if ending.refusal] == [
        "is a web page or XML, not an ONNX model; download the file itself",
        "is empty; export or download it again",
    ]
    assert sorted(path.name for path in out.iterdir()) == ["a.onnx", "d.onnx"]
    alone = compress(zoo[0], out.parent / "alone.onnx", recipe=QUICK, verify=False)
    assert alone.output is not None
    assert (out / "a.onnx").read_bytes() == alone.output.read_bytes()
    assert found.original_bytes == sum(zoo[place].stat().st_size for place in (0, 3))
    assert {path: path.read_bytes() for path in zoo} == before


def test_a_folder_to_which_nothing_was_written_is_not_left_behind(zoo: tuple[Path, ...]) -> None:
    out = zoo[0].parents[1] / "out"
    assert not compress_each(zoo[1:3], out).reports
    assert not out.exists()


def test_one_existing_result_stops_only_its_own_model(zoo: tuple[Path, ...]) -> None:
    out = zoo[0].parents[1] / "out"
    out.mkdir()
    (out / "d.onnx").write_bytes(b"old")
    found = compress_each((zoo[3], zoo[0]), out, recipe=QUICK, verify=False)
    assert "exists" in found.endings[0].refusal
    assert (out / "d.onnx").read_bytes() == b"old"
    assert found.endings[1].report is not None


def test_a_defect_met_in_one_model_does_not_stop_the_rest(
    zoo: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: Path, *arguments: object, **options: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("compressor.separate.compress", fail)
    found = compress_each((zoo[0], zoo[3]), zoo[0].parents[1] / "out")
    assert [ending.refusal for ending in found.endings] == [
        "a defect of compressor, not of the model; please report it: ZeroDivisionError: by zero"
    ] * 2


def test_no_source_is_written_over(zoo: tuple[Path, ...]) -> None:
    """Not even by the result of another: a.onnx would become a_quantized.onnx, which may be there."""
    for out in (zoo[0].parent, zoo[0].parent / ".." / "zoo"):
        with pytest.raises(OutputError, match="is the folder of a"):
            compress_each(zoo, out, force=True, naming=Naming.QUANTIZED)


def test_contradictions_are_refused_before_any_work(zoo: tuple[Path, ...], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="same name"):
        compress_each([zoo[0], tmp_path / "A.ONNX"], tmp_path / "out")
    with pytest.raises(OptionError, match="no model"):
        compress_each([], tmp_path / "out")
    with pytest.raises(OptionError, match="jobs is 0"):
        compress_each(zoo, tmp_path / "out", jobs=0)
    with pytest.raises(OptionError, match="cannot be timed"):
        compress_each(zoo, tmp_path / "out", jobs=2, budget=Budget(min_speedup=1.5))
    with pytest.raises(OutputError, match="cannot be made"):
        compress_each(zoo, zoo[0])
    assert not (tmp_path / "out").exists()


@dataclass(frozen=True)
class Crash:
    """A task whose process is killed in the middle, as by a fault in native code."""

    source: Path
    number: int

    def __call__(self) -> Ending:
        if self.number:
            os.kill(os.getpid(), self.number)
        return Ending(source=self.source, report=None, refusal="done")

    def refused(self, reason: str) -> Ending:
        return Ending(source=self.source, report=None, refusal=reason)


@posix_only
def test_a_crash_is_the_ending_of_one_model_only(tmp_path: Path) -> None:
    tasks = [Crash(tmp_path / "a", signal.SIGSEGV), Crash(tmp_path / "b", 0), Crash(tmp_path / "c", signal.SIGKILL)]
    told: list[str] = []
    endings = run_apart(tasks, 2, told.append)
    assert [ending.refusal for ending in endings] == [
        "the process that worked on it ended with SIGSEGV",
        "done",
        "the process that worked on it ended with SIGKILL",
    ]
    assert told[0] == "0 of 3 models done"


@dataclass(frozen=True)
class Endless(Crash):
    """A task that never ends by itself, and cleans up when it is told to."""

    def __call__(self) -> Ending:
        try:
            self.source.with_name("started").write_text("")  # a FIFO: waits until somebody listens
            while True:
                signal.pause()
        finally:
            self.source.with_name("cleaned").touch()


@posix_only
def test_an_interruption_ends_every_process_and_lets_it_clean_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "started")

    def interrupt(words: str) -> None:
        (tmp_path / "started").read_text()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_apart([Endless(tmp_path / "a", 0)], 2, interrupt)
    assert (tmp_path / "cleaned").exists()


def test_the_command_compresses_what_it_can_and_ends_with_1(zoo: tuple[Path, ...]) -> None:
    folder, report, page = zoo[0].parent, zoo[0].parents[1] / "report.json", zoo[0].parents[1] / "report.md"
    reports = ["--json", str(report), "--markdown", str(page)]
    done = CliRunner().invoke(
        app, ["compress", str(folder), "--separate", "--passes", "deduplicate", "--no-verify", *reports]
    )
    assert done.exit_code == ExitCode.BROKEN, done.output
    assert "2 of 4 models compressed" in done.stdout
    assert "b.onnx: refused: is a web page" in done.stderr
    assert done.stdout.count("nothing was run") == 1, "what all say is said once"
    found = json.loads(report.read_text())
    assert (found["kind"], len(found["endings"])) == ("compress-each", 4)
    assert "| c.onnx |  | refused |  |  |" in page.read_text()
    out = folder.with_name("zoo.compressed")
    assert sorted(path.name for path in out.iterdir()) == ["a.onnx", "d.onnx"]


def test_the_command_ends_with_0_where_all_is_well(zoo: tuple[Path, ...]) -> None:
    arguments = ["compress", str(zoo[0]), str(zoo[3]), "--separate", "--passes", "deduplicate", "--no-verify"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == ExitCode.DONE, done.output
    assert (zoo[0].parent / "compressed" / "d.onnx").exists()


def test_jobs_are_for_separate_models(zoo: tuple[Path, ...]) -> None:
    done = CliRunner().invoke(app, ["compress", str(zoo[0].parent), "--jobs", "2"])
    assert done.exit_code == ExitCode.BAD_INPUT
    assert "add --separate" in done.stderr
