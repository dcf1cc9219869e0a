"""What control groups leave is the least of all limits from a process's own group upwards, pages of files aside."""

from __future__ import annotations

from pathlib import Path

import pytest

from compressor.model.control_group import left_by_control_groups

MB = 1 << 20


def group(folder: Path, limit: object, used: int, files: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {files // 4}\nactive_file {files - files // 4}\n")


def membership(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "membership"
    path.write_text(text)
    return path


def test_pages_of_files_that_can_be_dropped_are_free(tmp_path: Path) -> None:
    group(tmp_path / "mount/pod/box", 1000 * MB, 700 * MB, 400 * MB)
    assert left_by_control_groups(membership(tmp_path, "0::/pod/box\n"), tmp_path / "mount") == 700 * MB


def test_the_tightest_of_the_groups_around_counts(tmp_path: Path) -> None:
    group(tmp_path / "mount/pod/box", 1000 * MB, 100 * MB, 0)
    group(tmp_path / "mount/pod", 500 * MB, 300 * MB, 0)
    assert left_by_control_groups(membership(tmp_path, "0::/pod/box\n"), tmp_path / "mount") == 200 * MB


def test_inside_a_container_the_top_folder_is_its_own_group(tmp_path: Path) -> None:
    group(tmp_path / "mount", 300 * MB, 100 * MB, 0)
    assert left_by_control_groups(membership(tmp_path, "0::/not/visible/here\n"), tmp_path / "mount") == 200 * MB


def test_groups_of_the_first_version_are_read_too(tmp_path: Path) -> None:
    folder = tmp_path / "mount/memory/box"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text(str(800 * MB))
    (folder / "memory.usage_in_bytes").write_text(str(500 * MB))
    (folder / "memory.stat").write_text(
        f"inactive_file 1\ntotal_inactive_file {60 * MB}\ntotal_active_file {40 * MB}\n"
    )
    lines = "7:cpu,cpuacct:/elsewhere\n4:memory:/box\n0::/\n"
    assert left_by_control_groups(membership(tmp_path, lines), tmp_path / "mount") == 400 * MB


def test_a_group_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    group(tmp_path / "mount", 100 * MB, 150 * MB, 0)
    assert left_by_control_groups(membership(tmp_path, "0::/\n"), tmp_path / "mount") == 0


@pytest.mark.parametrize("limit", ["max", "", "garbage"])
def test_a_group_without_a_limit_says_nothing(tmp_path: Path, limit: str) -> None:
    group(tmp_path / "mount", limit, 100 * MB, 0)
    assert left_by_control_groups(membership(tmp_path, "0::/\n"), tmp_path / "mount") is None


def test_a_system_without_control_groups_says_nothing(tmp_path: Path) -> None:
    assert left_by_control_groups(tmp_path / "missing", tmp_path) is None
