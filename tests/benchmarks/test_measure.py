from __future__ import annotations

import os
import sys
from pathlib import Path

import measure
import pytest

MEGABYTES_200 = 200_000_000


def run(folder: Path, code: str, *, timeout_seconds: float = 60, memory_bytes: int | None = None) -> measure.Usage:
    return measure.run(
        [sys.executable, "-c", code],
        folder=folder,
        environment=dict(os.environ),
        timeout_seconds=timeout_seconds,
        memory_bytes=memory_bytes,
    )


def test_says_how_a_command_ended_and_what_it_said_last(tmp_path: Path) -> None:
    usage = run(tmp_path, "import sys; print('first'); sys.exit('last words')")
    assert (usage.exit_code, usage.timed_out) == (1, False)
    assert usage.last_words.splitlines()[-1] == "last words"
    assert usage.wall_seconds > 0


def test_what_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    child = "import time, pathlib; time.sleep(3); pathlib.Path('outlived').touch()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    usage = run(tmp_path, parent, timeout_seconds=1)
    assert (usage.exit_code, usage.timed_out) == (-9, True)
    assert usage.wall_seconds < 3
    os.sync()
    assert not (tmp_path / "outlived").exists()


def test_peaks_hold_what_a_command_and_its_children_held(tmp_path: Path) -> None:
    hold = f"import time; held = bytearray({MEGABYTES_200}); time.sleep(0.3)"
    alone = run(tmp_path, hold)
    assert alone.peak_rss_bytes > MEGABYTES_200
    child = run(tmp_path, f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])")
    assert child.peak_rss_bytes > MEGABYTES_200
    if child.peak_anonymous_bytes is not None:
        assert child.peak_anonymous_bytes > MEGABYTES_200


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere RLIMIT_DATA means something else")
def test_more_memory_than_allowed_is_refused_to_the_command(tmp_path: Path) -> None:
    usage = run(tmp_path, f"bytearray({MEGABYTES_200})", memory_bytes=MEGABYTES_200 // 2)
    assert usage.exit_code == 1
    assert usage.last_words.endswith("MemoryError")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere RLIMIT_DATA means something else")
def test_mapped_files_do_not_count_as_memory_that_is_allocated(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(MEGABYTES_200)
    read = (
        "import mmap; f = open('large'); m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ); print(sum(m[::4096]))"
    )
    usage = run(tmp_path, read, memory_bytes=MEGABYTES_200 // 2)
    assert usage.exit_code == 0, usage.last_words
