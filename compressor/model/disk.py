"""Know whether a disk has room for a result, where that can be known for certain."""

from __future__ import annotations

import os
from pathlib import Path

from compressor.errors import OutputError

_MOUNTS = Path("/proc/self/mountinfo")

_PLAIN = {"ext2", "ext3", "ext4", "tmpfs", "vfat", "exfat"}
"""File systems that hold every byte once for each file. Others compress, or let copies share blocks (btrfs, xfs, zfs),
or say what they like of their free space (over a network): there, writing is the only way to find out."""


def check_room(out: Path, needed: int) -> None:
    """Refuse a result of `needed` bytes at `out` before minutes are spent on writing it, where it cannot fit.

    Raises:
        OutputError: the disk of `out` has less room.
    """
    free = free_bytes(out.parent)
    if free is not None and free < needed:
        raise OutputError(
            f"{out}: the result takes {needed:,} bytes, and its disk has {free:,} left; "
            "make room, or choose an output on another disk"
        )


def free_bytes(folder: Path) -> int | None:
    """Bytes that files in `folder` can still take; None where the file system does not say so for certain.

    What is reserved for root counts, since root may ask.
    """
    try:
        if _kind(folder) not in _PLAIN:
            return None
        status = os.statvfs(folder)
    except (OSError, ValueError):
        return None
    return status.f_bfree * status.f_frsize


def _kind(folder: Path) -> str | None:
    """The type of the file system that `folder` is on, on Linux: see proc_pid_mountinfo(5)."""
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
        mount, _, system = line.partition(" - ")
        if mount.split()[2:3] == [number]:
            return system.split(maxsplit=1)[0]
    return None
