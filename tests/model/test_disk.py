"""A result that cannot fit is refused unwritten, where the file system says for certain how much room there is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from compressor.errors import OutputError
from compressor.model import disk
from compressor.model.disk import check_room, free_bytes
from compressor.model.load import load
from compressor.model.save import save
from tests.conftest import FIXTURES

pytestmark = pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="only Linux tells")


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of mounts in which the folder of the test is on ext4, with 1,000 blocks of 512 bytes free."""
    device = tmp_path.stat().st_dev
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 28 0:0 / /proc rw,relatime shared:12 - proc proc rw\n"
        f"28 1 {os.major(device)}:{os.minor(device)} / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro\n"
    )
    monkeypatch.setattr(disk, "_MOUNTS", table)
    monkeypatch.setattr(os, "statvfs", lambda folder: SimpleNamespace(f_bfree=1000, f_bavail=900, f_frsize=512))
    return table


def test_what_fits_to_the_byte_is_written(mounted: Path) -> None:
    assert free_bytes(mounted.parent) == 512_000
    check_room(mounted.parent / "out.onnx", 512_000)


def test_what_does_not_fit_is_refused_with_both_figures(mounted: Path) -> None:
    words = "out.onnx: the result takes 512,001 bytes, and its disk has 512,000 left; make room"
    with pytest.raises(OutputError, match=re.escape(words)):
        check_room(mounted.parent / "out.onnx", 512_001)


@pytest.mark.parametrize("kind", ["btrfs", "xfs", "zfs", "nfs4", "fuse.sshfs", "overlay"])
def test_a_file_system_that_may_hold_more_than_it_has_blocks_is_tried(mounted: Path, kind: str) -> None:
    mounted.write_text(mounted.read_text().replace("ext4", kind))
    assert free_bytes(mounted.parent) is None
    check_room(mounted.parent / "out.onnx", 1 << 60)


@pytest.mark.parametrize("table", ["", "what no kernel writes\n", "1 2 9:9\n"])
def test_a_table_of_mounts_without_the_folder_leaves_it_open(mounted: Path, table: str) -> None:
    mounted.write_text(table)
    assert free_bytes(mounted.parent) is None
    mounted.unlink()
    assert free_bytes(mounted.parent) is None


def test_a_refused_result_leaves_the_folder_as_it_was(mounted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(FIXTURES / "bert.sdpa.torchscript17.onnx")
    monkeypatch.setattr(os, "statvfs", lambda folder: SimpleNamespace(f_bfree=1, f_frsize=512))
    with pytest.raises(OutputError, match="its disk has 512 left"):
        save(model, mounted.parent / "out.onnx")
    assert [path.name for path in mounted.parent.iterdir()] == ["mountinfo"]
