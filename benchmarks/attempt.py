"""Let a contender work on its own copy of a model, and judge what it leaves in a process of its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contenders import Contender
from host import HERE, ROOT
from measure import Usage, in_bounds, run
from peers import data_of

JUDGE = ("judge.py", "feeds.py", "task.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a contender may use, and a judge.

    Attributes:
        timeout_seconds: then it is ended.
        memory_bytes: of private memory; None for no bound.
    """

    timeout_seconds: float
    memory_bytes: int | None = None


def name_of(model: Path) -> str:
    """What a model is called in tables, and its copies on disk: a `model.onnx` after its folder.

    One with a data file keeps its name: the peers look for the data by it.
    """
    if model.name != "model.onnx" or data_of(model).exists():
        return model.name
    return f"{model.resolve().parent.name}.onnx"


def attempt(
    contender: Contender, model: Path, folder: Path, bounds: Bounds, peers: str = sys.executable
) -> tuple[Usage, Path]:
    """Run a contender in `folder`, on a copy, since some write files beside their input; say where its result is."""
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    copy, out = folder / "in" / name_of(model), folder / "out" / name_of(model)
    shutil.copyfile(model, copy)  # also leaves the input in the page cache, for every contender alike
    if data_of(model).exists():
        shutil.copyfile(data_of(model), data_of(copy))
    os.sync()  # no contender pays for writes of the one before
    usage = run(
        contender.command(copy, out, peers),
        folder=folder,
        environment=environment(),
        timeout_seconds=bounds.timeout_seconds,
        memory_bytes=bounds.memory_bytes,
    )
    return usage, out


def record_of(usage: Usage, folder: Path) -> dict[str, Any]:
    """A run as it is stored, with the last line of what was said, without the place where it was said."""
    words = "".join(usage.last_words.splitlines()[-1:]).replace(f"{folder}{os.sep}", "")
    return {**asdict(usage), "last_words": words[:200]}


def digest_of(original: Path) -> str:
    """Of a model and its data."""
    return _digest(*_files(original, original))


def size_of(original: Path, result: Path) -> dict[str, Any]:
    """All there is to find out about a result without looking into it."""
    return {
        "refused": "",
        "total_bytes": sum(file.stat().st_size for file in _files(original, result)),
        "latency": None,
    }


def findings_of(original: Path, result: Path, threads: int, bounds: Bounds, known: Mapping[str, Any]) -> dict[str, Any]:
    """What the judge finds; taken from `known`, earlier findings by digest, where these very bytes were judged."""
    digest = _digest(*_files(original, result))
    judge = _digest(*(HERE / name for name in JUDGE))
    earlier: dict[str, Any] | None = known.get(digest)
    if earlier is not None and earlier["judge"] == judge and not earlier["refused"]:
        return earlier
    return {**ask_judge("findings", original, result, threads, bounds), "digest": digest, "judge": judge}


def ask_judge(question: str, original: Path, result: Path, threads: int, bounds: Bounds) -> dict[str, Any]:
    """Judge in a process of its own: this one stays small, see `measure.run`, and outlives whatever a result does."""
    command = [sys.executable, str(HERE / "judge.py"), question, str(original), str(result), str(threads)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
            timeout=bounds.timeout_seconds,
            preexec_fn=in_bounds(bounds.memory_bytes),
        )
    except subprocess.TimeoutExpired:
        return {"refused": f"judging took more than {bounds.timeout_seconds:.0f} s"}
    with contextlib.suppress(json.JSONDecodeError):
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer
    words = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return {"refused": f"judging failed: {words.replace(f'{result.parent}{os.sep}', '')[:300]}"}


def environment() -> dict[str, str]:
    """For any process of the benchmark: the project need not be installed."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def _files(original: Path, result: Path) -> list[Path]:
    """The files of a result, or of the original, which others may lie beside."""
    files = [original, data_of(original)] if result == original else sorted(result.parent.iterdir())
    return [file for file in files if file.is_file()]


def _digest(*files: Path) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
