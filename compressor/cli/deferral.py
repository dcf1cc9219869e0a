"""Put off importing a large library until something of it is used, which for most models is never."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

_DEFERRED = frozenset(("sympy", "onnx_ir._symbolic_shapes"))
"""onnx_ir calculates with dimensions such as ``2*length`` by sympy, through the second of these, which asks for names
of sympy when it is imported. Loading sympy is a third of the time that ``inspect`` takes for a small model."""


class _DeferringFinder:
    """Finds these modules where they are, and has Python's own lazy loader load them when an attribute is asked for."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in _DEFERRED:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def defer_imports() -> None:
    """Put them off in this process, which must be ours: the command line calls this, the library never does.

    What is not found is looked for as ever, and what is used at once is loaded at once. Up to Python 3.11 two threads
    must not be the first to use such a module at the same time; the threads that are started here work on bytes alone.
    """
    if _DeferringFinder not in sys.meta_path:
        sys.meta_path.insert(0, _DeferringFinder)
