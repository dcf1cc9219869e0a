"""Put off looking for garbage while a graph is built or walked."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_paused() -> Iterator[None]:
    """Keep Python's collector from running; what holds no circle is still freed at once.

    It runs each time so many new objects are there, and looks at all of them. The nodes and values of a graph refer to
    each other and stay, so it finds nothing: for 25,000 nodes it took 0.5 of 1.6 s to load, 0.8 of 1.1 s to clone.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
