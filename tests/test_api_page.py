"""docs/api.md is what scripts/make_api_page.py writes."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest

import compressor
from tests.console import ROOT


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_api_page", ROOT / "scripts" / "make_api_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(script: ModuleType) -> None:
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run scripts/make_api_page.py"


def test_every_public_name_is_on_it(script: ModuleType) -> None:
    headings = {line.removeprefix("## ") for line in script.page().splitlines() if line.startswith("## ")}
    assert headings == {name for name in compressor.__all__ if not name.startswith("__")}
