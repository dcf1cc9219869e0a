"""Load the programs under scripts/, which are in no package."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from tests.console import ROOT


def load_script(name: str) -> ModuleType:
    """Load ``scripts/NAME.py`` as a module, without running what it does as a program."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
