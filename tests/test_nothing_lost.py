"""The whole command, stopped at any moment or short of room: sources stay as they are, results are old or whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import onnxruntime
import pytest

from tests.conftest import FIXTURES
from tests.test_together import write_pair

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals, forks and mounts as POSIX has them")

OLD = '{"schema_version": 0}'

STOPPED = """
    import ctypes, os, signal, sys
    from pathlib import Path

    import onnxruntime
    import compressor.pipeline, compressor.model.together, compressor.render.forms, compressor.separate
    import compressor.render.html.page, compressor.render.terminal, compressor.search.search, compressor.selection
    from compressor.cli import main

    source, folder, parts, options = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    out = folder / ("out" if source.is_dir() else "out.onnx")
    reports = {kind: folder / f"report.{kind}" for kind in ("json", "html")}
    ends = {"json": "}\\n", "html": "</html>\\n"}
    told = [f"--{kind}={path}" for kind, path in reports.items()]
    sys.argv = ["compressor", "compress", str(source), "-o", str(out), "--quiet", "--force", *options, *told]
    calls = 0
    # Processes of a run that was killed become this one's, to be waited for.
    is_reaper = "--jobs" in options and ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0

    def run(at, number):
        "Run the command in a process of its own that sends itself a signal at its call number `at`."
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

            def count(frame, event, argument):
                global calls
                if event in ("call", "c_call"):
                    calls += 1
                    if calls == at:
                        os.kill(os.getpid(), number)

            code = 1
            try:
                sys.setprofile(count)
                main()
            except SystemExit as end:
                code = int(end.code or 0)
            finally:
                sys.setprofile(None)
                os.write(writer, str(calls).encode())
                os._exit(code)
        status = os.waitpid(child, 0)[1]
        os.close(writer)
        told = os.read(reader, 100)
        os.close(reader)
        while is_reaper:
            try:
                os.wait()
            except ChildProcessError:
                break
        return status, int(told or 0)

    def files(place):
        return {path: path.read_bytes() for path in (place, *place.rglob("*")) if path.is_file()}

    def results():
        found = {**files(out), **files(folder / "out.recipe.toml")}
        return {path: content for path, content in found.items() if "compressor-tmp" not in path.name}

    def leftovers():
        return [path for path in folder.rglob("*") if "compressor-tmp" in path.name]

    place = source if source.is_dir() else source.parent
    sources = files(place)
    status, total = run(-1, 0)
    assert status == 0 and results(), status
    whole = results()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        for part in range(1, parts + 1):
            status, _ = run(total * part // (parts + 1) + part, number)
            assert results() == whole, (number, part)
            assert all(path.read_text().endswith(ends[kind]) for kind, path in reports.items()), (number, part)
            assert files(place) == sources, (number, part)
            if number != signal.SIGKILL:
                assert not leftovers(), (number, part, leftovers())
            assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) in (0, 128 + number), (number, part, status)
    assert run(-1, 0)[0] == 0
    assert not leftovers(), leftovers()
    print(total)
"""

QUICK = ("--no-verify", "--passes", "deduplicate,quantize")
FORMS: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "one": (1, 8, QUICK),
    "set": (2, 8, QUICK),
    "search": (1, 4, ("--search", "--max-size", "60%")),
    "separate": (2, 3, (*QUICK, "--separate", "--jobs", "2")),
}
"""Models, moments, and options; the folder of several holds files that go along."""


@pytest.mark.slow
@pytest.mark.parametrize(("models", "moments", "options"), FORMS.values(), ids=FORMS.keys())
def test_a_run_stopped_at_any_moment_leaves_what_was_there(
    tmp_path: Path, models: int, moments: int, options: tuple[str, ...]
) -> None:
    if "--jobs" in options and not sys.platform.startswith("linux"):
        pytest.skip("only Linux hands over the processes of one that was killed")
    source, folder = tmp_path / "source", tmp_path / "folder"
    source.mkdir()
    folder.mkdir()
    if models == 1 and "--search" in options:
        write_pair(source)
        (source / "decoder.onnx").unlink()
    else:
        for name in ("bert.sdpa.torchscript17.onnx", "bert.eager.torchscript11.onnx")[:models]:
            shutil.copy(FIXTURES / name, source)
        (source / "config.json").write_text('{"model_type": "bert"}')
    model = source if models > 1 else next(source.glob("*.onnx"))
    done = run_script(STOPPED, str(model), str(folder), str(moments), *options)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10_000 or "--jobs" in options, "calls among which the moments are chosen"


FULL = """
    import sys
    from pathlib import Path
    from compressor.cli import app
    from typer.testing import CliRunner

    source, room = Path(sys.argv[1]), Path(sys.argv[2])
    before, old = source.read_bytes(), room / "old.onnx"
    report, target = room / "report.json", room / "out.onnx"
    report.write_text(sys.argv[3])
    old.write_bytes(b"old")
    command = ["compress", str(source), "--passes", "deduplicate", "--no-verify"]
    for arguments in (["-o", str(target)], ["-o", str(old), "--force"], ["-o", str(target), "--json", str(report)]):
        done = CliRunner().invoke(app, [*command, *arguments])
        assert done.exit_code == 2, done.output
        assert done.stderr.count("\\n") == 1 and any(words in done.stderr for words in sys.argv[4:]), done.stderr
        assert sorted(path.name for path in room.iterdir()) == ["old.onnx", "report.json"], list(room.iterdir())
        assert (old.read_bytes(), report.read_text(), source.read_bytes()) == (b"old", sys.argv[3], before)
"""


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ("mount -t tmpfs -o size=64k tmpfs {0}", ["its disk has"]),
        (
            "mount -t tmpfs tmpfs {0} && printf old > {0}/old.onnx && printf '%s' '{1}' > {0}/report.json "
            "&& mount -o remount,ro {0}",
            ["Read-only file system", "is not writable"],
        ),
    ],
    ids=["full disk", "read-only folder"],
)
def test_a_real_disk_that_takes_nothing_more_keeps_what_it_has(tmp_path: Path, mount: str, words: list[str]) -> None:
    """In a namespace of its own, so that the mount is gone with the process; root may write to any folder else."""
    room, fenced = tmp_path / "room", ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    room.mkdir()
    prepare = mount.format(room, OLD)
    if (
        shutil.which("unshare") is None
        or subprocess.run([*fenced, prepare], capture_output=True, check=False).returncode
    ):
        pytest.skip("this system lets nobody mount a file system here")
    script = textwrap.dedent(FULL)
    if "remount" in prepare:
        script = "\n".join(line for line in script.splitlines() if ".write_" not in line)
    model = shutil.copy(FIXTURES / "bert.sdpa.torchscript17.onnx", tmp_path / "model.onnx")
    started = f'{prepare} && exec "$@"'
    arguments = [sys.executable, "-c", script, model, room, OLD, *words]
    done = subprocess.run(
        [*fenced, started, "sh", *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_two_runs_at_once_on_one_output_end_with_one_whole_result(tmp_path: Path) -> None:
    out, started = tmp_path / "out.onnx", []
    for name in ("bert.sdpa.torchscript17.onnx", "bert.eager.torchscript11.onnx"):
        arguments = ["compress", str(FIXTURES / name), "-o", str(out), "--force", "--passes", "deduplicate"]
        command = [sys.executable, "-m", "compressor", *arguments, "--no-verify", "--quiet"]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE))
    ends = [(process.communicate(timeout=120)[1], process.returncode) for process in started]
    assert ends == [(b"", 0), (b"", 0)]
    assert list(tmp_path.iterdir()) == [out]
    onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])


def run_script(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
