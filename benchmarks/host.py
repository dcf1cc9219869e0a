"""Say what figures depend on, without naming the machine: processor, memory, versions, and the state of the project."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from peers import versions

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def describe_host(threads: int, peers: str) -> dict[str, Any]:
    """What a reader needs to judge a figure by; `peers` is the interpreter that runs the peers."""
    return {
        "cpu": processor(),
        "instructions": _instructions(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.system(),
        "python": platform.python_version(),
        "threads": threads,
        "versions": versions(),
        "peers": _versions_of(peers),
    }


def when_and_where() -> str:
    """What the pages of the matrices say of the place where they were made."""
    made_with = (f"{name} {metadata.version(name)}" for name in ("onnx", "onnxruntime", "onnx-ir", "onnxscript"))
    place = f"{platform.machine()}, Python {platform.python_version()}"
    return f"{datetime.date.today()}, commit {commit()}, {place}, {', '.join(made_with)}"


def commit() -> str:
    """The commit that last changed the package, marked where it is not what lies here; empty outside a repository."""
    package = ["--", "compressor"]
    found = subprocess.run(
        ["git", "log", "-1", "--format=%h", *package], cwd=ROOT, capture_output=True, text=True, check=False
    )
    same = subprocess.run(["git", "diff", "--quiet", "HEAD", *package], cwd=ROOT, capture_output=True, check=False)
    return found.stdout.strip() + ("" if same.returncode == 0 or not found.stdout else ", changed")


def processor() -> str:
    """The name of the processor, as the system gives it."""
    return _told("model name") or platform.processor() or platform.machine()


def _instructions() -> list[str]:
    """Those that the speed of int8 products depends on."""
    return [name for name in _told("flags").split() if name in ("avx2", "avx512f", "avx_vnni", "avx512_vnni")]


def _told(name: str) -> str:
    """What Linux says of the first processor."""
    if not Path("/proc/cpuinfo").exists():
        return ""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")


def _versions_of(interpreter: str) -> dict[str, str]:
    command = [interpreter, str(HERE / "peers.py"), "--versions"]
    found: dict[str, str] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found
