"""Run a command in its own process and say what it took: time, processor time, memory."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SAMPLING_SECONDS = 0.01
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one run of a command took.

    Attributes:
        wall_seconds: from starting the process to its end, so the interpreter's start and all imports count.
        cpu_seconds: user and system time, child processes included.
        peak_rss_bytes: most resident memory at once, as the kernel counts it: with pages of mapped files, although
            it can drop them at will. Where the command has children, the largest sum over them that was sampled.
        peak_anonymous_bytes: most memory at once that no file backs, sampled every 10 ms over all processes; None
            where /proc does not tell.
        exit_code: of the command; negative for a signal.
        timed_out: it was ended because it took too long.
        last_words: the end of what it wrote to stderr.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    peak_anonymous_bytes: int | None
    exit_code: int
    timed_out: bool
    last_words: str


def run(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    timeout_seconds: float,
    memory_bytes: int | None = None,
) -> Usage:
    """Run `command` in `folder` and measure it.

    The caller should be small: the kernel counts the memory of the process that starts a command into the command's
    own peak, so a caller that has loaded large libraries sets a floor under every figure.
    """
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            preexec_fn=in_bounds(memory_bytes),
        )
        sampler = _Sampler(process.pid)
        timed_out = threading.Event()
        timer = threading.Timer(timeout_seconds, _kill, [process.pid, timed_out])
        sampler.start()
        timer.start()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        timer.cancel()
        sampler.stop()
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - 2000))
        words = errors.read().decode("utf-8", "replace")
    return Usage(
        wall_seconds=wall,
        cpu_seconds=used.ru_utime + used.ru_stime,
        peak_rss_bytes=max(used.ru_maxrss * _RSS_UNIT, sampler.peak_rss_bytes),
        peak_anonymous_bytes=sampler.peak_anonymous_bytes or None,
        exit_code=process.returncode,
        timed_out=timed_out.is_set(),
        last_words=words.strip(),
    )


def in_bounds(memory_bytes: int | None) -> Callable[[], None]:
    """What a new process does first: form a group that can be killed, and bound what it may allocate.

    The bound is RLIMIT_DATA: private, writable memory. Mapped files do not count, so that a model larger than the bound
    can still be read; the address space (RLIMIT_AS) would count them.
    """

    def prepare() -> None:
        # No session: Linux shares processors out among sessions first, and a priority given to this one would not
        # reach another.
        os.setpgrp()
        if memory_bytes is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))

    return prepare


class _Sampler(threading.Thread):
    """Look at a process and its descendants until told to stop."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.peak_rss_bytes = 0
        self.peak_anonymous_bytes = 0
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(SAMPLING_SECONDS):
            sizes = [_resident(pid) for pid in _family(self.pid)]
            self.peak_rss_bytes = max(self.peak_rss_bytes, sum(rss for rss, _ in sizes))
            self.peak_anonymous_bytes = max(self.peak_anonymous_bytes, sum(anonymous for _, anonymous in sizes))

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def _family(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # the thread has ended
            for child in children.read_text().split():
                yield from _family(int(child))


def _resident(pid: int) -> tuple[int, int]:
    """Resident bytes of a process: all, and those no file backs."""
    with suppress(OSError):
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return tuple(1024 * int(fields.get(name, "0 kB").split()[0]) for name in ("VmRSS", "RssAnon"))  # type: ignore[return-value]  # two names, two numbers
    return 0, 0


def _kill(group: int, timed_out: threading.Event) -> None:
    timed_out.set()
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
