"""Available memory is the least that any part of the system allows; where none tells, nothing is assumed."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

from compressor.model import memory
from compressor.model.memory import available_bytes, available_memory_only

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
MB = 1 << 20


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system with 300 MB free, and 50 MB of swap."""
    path = tmp_path / "meminfo"
    path.write_text(f"MemTotal: 900000 kB\nMemAvailable: {300 * 1024} kB\nSwapFree: {50 * 1024} kB\n")
    monkeypatch.setattr(memory, "_MEMORY", path)
    monkeypatch.setattr(memory, "left_by_control_groups", lambda: None)
    return path


def test_memory_that_needs_no_swapping_is_available(told: Path) -> None:
    assert available_bytes() == 300 * MB


def test_a_container_may_allow_less_than_the_machine_has(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "left_by_control_groups", lambda: 120 * MB)
    assert available_bytes() == 120 * MB


def test_a_limit_on_the_address_space_counts(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (10_000 * MB, resource.RLIM_INFINITY))
    monkeypatch.setattr(memory, "_address_space_used", lambda: 9_960 * MB)
    assert available_bytes() == 40 * MB


def test_a_system_that_does_not_tell_gives_no_figure(told: Path) -> None:
    told.write_text("nothing a parser knows\n")
    assert available_bytes() == 0
    told.unlink()
    assert available_bytes() is None


def test_foreign_code_may_map_files_beyond_the_memory_but_not_allocate(told: Path) -> None:
    used = memory._address_space_used()
    assert used is not None
    with available_memory_only():
        assert resource.getrlimit(resource.RLIMIT_AS)[0] < used + 400 * MB
    with available_memory_only(mapped_bytes=5_000 * MB):
        assert resource.getrlimit(resource.RLIMIT_AS)[0] > used + 5_000 * MB
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


def test_the_ceiling_keeps_to_a_containers_limit(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "left_by_control_groups", lambda: 10 * MB)
    with available_memory_only():
        used = memory._address_space_used()
        assert used is not None
        assert resource.getrlimit(resource.RLIMIT_AS)[0] < used + 100 * MB
