"""Run the console sessions that documents show, and hold what they show against what is printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "@@ next command @@"

_VOLATILE = (
    r"One run on this host: .*? -> .*?(?:as fast|SLOWER|within 5 %\))",
    r"\d[\d,.]* m?s\b",
    r"\b\d[\d,]*\.\d\dx",
    r"(?<=worst row is )[\d.]+, [\d.e-]+(?= )",
    r"(?:threads, .*?; )?int8 path: (?:[\w-]+ without vnni|[\w-]+)(?: \(.*?\))?",
    r"(?<=max rel )\d[\d.e+-]*\d",
    r"(?<=cosine )[\d.]*\d",
    r"\d[\d.]* ?(?:%|dB)(?! smaller)",
    r"\(?\d[\d.]*–\d[\d.]*\)?",
    r"bit-identical",
    r"[─━]+",
    r"[█▓▒░][█▓▒░=-]*",
)
"""What differs from run to run or from one processor to another: times, drift, its name, and lines and bars of tables,
which fill the room that times leave."""

_SOMETIMES = r"; on this host the result runs at .*? this pass"
"""What is said on some runs only."""

Session = list[tuple[str, str]]


def sessions(text: str) -> Iterator[Session]:
    """Yield each block as pairs of a command and what is shown below it."""
    for found in BLOCK.finditer(text):
        parts = re.split(r"^\$ ", found[1], flags=re.MULTILINE)
        assert not parts[0].strip(), f"a session begins with a command: {parts[0]!r}"
        yield [_split(part) for part in parts[1:]]


def _split(part: str) -> tuple[str, str]:
    """Part a command, which goes on after a backslash and in lines that begin with ``>``, from what it printed."""
    lines, end = part.splitlines(keepends=True), 1
    while end < len(lines) and (lines[end - 1].endswith("\\\n") or lines[end].startswith(">")):
        end += 1
    return "".join(lines[:end]).rstrip("\n"), "".join(lines[end:])


def prepare(folder: Path) -> dict[str, str]:
    """Put the fixtures and the command into `folder`; the environment to run sessions with."""
    shutil.copytree(ROOT / "fixtures", folder / "fixtures", ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    program = folder.parent / f"{folder.name}.bin" / "compressor"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m compressor "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    path = os.pathsep.join((str(program.parent), str(Path(sys.executable).parent), os.environ["PATH"]))
    kept = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "TTY_COMPATIBLE")}
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}


def run(commands: Sequence[str], folder: Path, environment: dict[str, str]) -> list[str]:
    """Type `commands` into one shell; what each printed, errors included."""
    typed = [re.sub(r"^> ?", "", command, flags=re.MULTILINE) for command in commands]
    script = "".join(f"{command}\n_s=$?; echo '{_MARK}'; (exit $_s)\n" for command in typed)
    done = subprocess.run(
        ["bash", "-c", f"exec 2>&1\n{script}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    return [printed.removeprefix("\n") for printed in done.stdout.split(_MARK)][: len(commands)]


def comparable(text: str) -> str:
    """`text` without what differs from run to run; wrapping follows widths, so it does not count."""
    text = re.sub(_SOMETIMES, "", " ".join(text.split()))
    for pattern in _VOLATILE:
        text = re.sub(pattern, "*", text)
    return re.sub(r"[*\s]*\*[*\s]*", " * ", text)
