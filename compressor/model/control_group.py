"""Read how much memory the process's control groups leave it, on Linux: a container's limit is one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_MEMBERSHIP = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")


def left_by_control_groups(membership: Path = _MEMBERSHIP, mount: Path = _MOUNT) -> int | None:
    """Bytes until the tightest limit among the process's control groups; None where none limits it.

    Pages of files count towards a limit, but the kernel drops them before it is reached, so they are free. Those read
    twice are called active; a model that was run and closed leaves nothing but such.
    """
    left = [limit - used for limit, used in _readings(membership, mount)]
    return max(0, min(left)) if left else None


def _readings(membership: Path, mount: Path) -> Iterator[tuple[int, int]]:
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers == "":
            yield from _upwards(mount, group, "memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            names = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"
            yield from _upwards(mount / "memory", group, *names)


def _upwards(top: Path, group: str, limit: str, used: str, prefix: str) -> Iterator[tuple[int, int]]:
    """Limit and use of a group and of those around it; inside a container, its own group is the top."""
    relative = PurePosixPath(group.lstrip("/"))
    for part in (relative, *relative.parents):
        folder = top / part
        bound, use = _number(folder / limit), _number(folder / used)
        if bound is not None and use is not None:
            yield bound, max(0, use - _pages_of_files(folder / "memory.stat", prefix))


def _number(path: Path) -> int | None:
    """What a file holds; None where it is missing, or says ``max``."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _pages_of_files(path: Path, prefix: str) -> int:
    try:
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    except (OSError, ValueError):
        return 0
    names = f"{prefix}inactive_file", f"{prefix}active_file"
    return sum(int(line[1]) for line in lines if len(line) == 2 and line[0] in names and line[1].isdigit())
