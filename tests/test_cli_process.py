"""The command as a process of its own: what it imports, pipes, terminals, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

from compressor.cli import ExitCode

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes, terminals and signals as POSIX has them")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    drawn = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[n] x) => (float[n] y) { y = Relu(x) }'
    )
    drawn.graph.input[0].name = drawn.graph.node[0].input[0] = "вход"
    path = tmp_path / "model.onnx"
    onnx.save(drawn, path)
    return path


def spawn(*arguments: str | Path, **options: Any) -> subprocess.Popen[bytes]:
    """Start the command; stdout and stderr are pipes unless `options` say otherwise."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": buffered} | options
    command = [sys.executable, "-m", "compressor", *map(str, arguments)]
    process: subprocess.Popen[bytes] = subprocess.Popen(command, **streams)
    return process


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys, compressor.cli\n"
        "sys.argv = ['compressor', '--help']\n"
        "try: compressor.cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'onnx', 'onnx_ir', 'onnxruntime', 'onnxscript', 'rich.console'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert "Usage:" in done.stdout
    assert done.stderr == "[]\n"


def test_a_reader_that_leaves_early_sees_no_traceback(model: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = spawn("inspect", model, stdout=write_end)
    os.close(write_end)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (ExitCode.READER_GONE, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_full_disk_under_stdout_is_one_line(model: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        process = spawn("inspect", model, stdout=full)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == ExitCode.BAD_INPUT
    assert stderr.startswith(b"compressor: the system refused: ")
    assert stderr.count(b"\n") == 1


def test_a_path_that_is_not_utf8_is_named_all_the_same(tmp_path: Path) -> None:
    process = spawn("inspect", os.fsdecode(os.fsencode(tmp_path) + b"/\xff[v2].onnx"))
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == ExitCode.BAD_INPUT
    assert b"[v2].onnx: no such file\n" in stderr
    assert b"Traceback" not in stderr


def test_a_terminal_without_unicode_still_gets_the_report(model: Path) -> None:
    process = spawn("inspect", model, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (ExitCode.DONE, b"")
    assert b"\\u0432\\u0445\\u043e\\u0434" in stdout


def test_progress_goes_to_a_terminal_on_stderr_and_never_to_stdout(model: Path) -> None:
    ours, theirs = os.openpty()
    process = spawn("compress", model, "--no-verify", "--json", "-", stderr=theirs)
    stdout, _ = process.communicate(timeout=60)
    os.close(theirs)
    shown = os.read(ours, 65536)
    os.close(ours)
    assert process.returncode == ExitCode.DONE
    assert shown.rstrip().endswith(b"\x1b[2K"), "the line is erased when the work is done"
    assert json.loads(stdout)["kind"] == "compress"


def test_a_terminal_is_told_once_of_a_broken_limit_and_scripts_on_stderr(model: Path) -> None:
    order = ("compress", model, "--no-verify", "--max-size", "1")
    ours, theirs = os.openpty()
    process = spawn(*order, stdout=theirs, stderr=theirs, env={**os.environ, "COLUMNS": "200"})
    assert process.wait(timeout=60) == ExitCode.BROKEN
    os.close(theirs)
    shown = os.read(ours, 65536)
    os.close(ours)
    assert shown.count(b"more than the limit of") == 1
    assert shown.count(b"--keep writes the result all the same") == 1
    stdout, stderr = spawn(*order, env={**os.environ, "COLUMNS": "200"}).communicate(timeout=60)
    assert stdout.count(b"more than the limit of") == stderr.count(b"more than the limit of") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing_behind(model: Path, number: signal.Signals) -> None:
    recipe = model.parent / "recipe.toml"
    os.mkfifo(recipe)
    process = spawn("compress", model, "--json", model.parent / "report.json", "--recipe", recipe)
    with recipe.open("wb"):  # waits until the command opens the other end, and keeps it waiting for content
        assert any(path.suffix == ".compressor-tmp" for path in model.parent.iterdir()), "the report's draft is there"
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert b"Traceback" not in stderr
    assert sorted(model.parent.iterdir()) == [model, recipe]
