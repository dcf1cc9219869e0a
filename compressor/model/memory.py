"""Keep foreign code within the memory there is: asking for more is to fail, not to get the process killed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/proc/meminfo")
_OWN_PAGES = Path("/proc/self/statm")
_COUNTED = ("MemAvailable:", "SwapFree:")


@contextmanager
def available_memory_only() -> Iterator[None]:
    """Let allocations inside fail where they go beyond what is free now, on Linux; elsewhere do nothing.

    A graph of 200 bytes can ask for 160 GB (a ConstantOfShape). Linux grants it and kills the process when it is
    used; with a limit on the address space the runtime gets no memory, and says so.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    ceiling = _ceiling()
    bounds = [bound for bound in (ceiling, before, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(bounds, default=before), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))


def _ceiling() -> int:
    """Address space in use, and as much again as is free; no limit where the system does not tell."""
    import resource

    try:
        lines = [line.split() for line in _MEMORY.read_text(encoding="ascii").splitlines()]
        pages = int(_OWN_PAGES.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        return resource.RLIM_INFINITY
    free = sum(int(line[1]) for line in lines if line[0] in _COUNTED) * 1024
    return pages * resource.getpagesize() + free
