"""Know how much memory there is, and keep foreign code within it: asking for more is to fail, not to get killed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compressor.model.control_group import left_by_control_groups

_MEMORY = Path("/proc/meminfo")
_OWN_PAGES = Path("/proc/self/statm")
_AVAILABLE, _SWAP = "MemAvailable:", "SwapFree:"


def available_bytes() -> int | None:
    """Memory this process could still get without swapping; None where the system does not tell.

    The least of what is free, what the control groups allow (a container's limit), and what is left of the limit on the
    address space. Only Linux tells.
    """
    if sys.platform != "linux":
        return None
    known = [_free(_AVAILABLE), left_by_control_groups(), _address_space_left()]
    return min((amount for amount in known if amount is not None), default=None)


@contextmanager
def available_memory_only(mapped_bytes: int = 0) -> Iterator[None]:
    """Let allocations inside fail where they go beyond what is free now, on Linux; elsewhere do nothing.

    A graph of 200 bytes can ask for 160 GB (a ConstantOfShape). Linux grants it and kills the process when it is
    used; with a limit on the address space the runtime gets no memory, and says so.

    Args:
        mapped_bytes: bytes of files that are mapped inside: they take address space, but no memory that must be kept.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    ceiling = _ceiling()
    if ceiling != resource.RLIM_INFINITY:
        ceiling += mapped_bytes
    bounds = [bound for bound in (ceiling, before, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(bounds, default=before), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))


def _ceiling() -> int:
    """Address space in use, and as much again as is free; no limit where the system does not tell."""
    import resource

    free, used = _free(_AVAILABLE, _SWAP), _address_space_used()
    if free is None or used is None:
        return resource.RLIM_INFINITY
    allowed = left_by_control_groups()
    return used + (free if allowed is None else min(free, allowed))


def _free(*counted: str) -> int | None:
    try:
        lines = [line.split() for line in _MEMORY.read_text(encoding="ascii").splitlines()]
        return sum(int(line[1]) for line in lines if line and line[0] in counted) * 1024
    except (OSError, ValueError):
        return None


def _address_space_left() -> int | None:
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = _address_space_used()
    return None if limit == resource.RLIM_INFINITY or used is None else max(0, limit - used)


def _address_space_used() -> int | None:
    import resource

    try:
        return int(_OWN_PAGES.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return None
