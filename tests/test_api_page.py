"""docs/api.md is what scripts/make_api_page.py writes."""

from __future__ import annotations

from types import ModuleType

import pytest

import compressor
from tests.scripts import load_script


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("make_api_page")


def test_the_page_is_up_to_date(script: ModuleType) -> None:
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run scripts/make_api_page.py"


def test_every_public_name_is_on_it(script: ModuleType) -> None:
    headings = {line.removeprefix("## ") for line in script.page().splitlines() if line.startswith("## ")}
    assert headings == {name for name in compressor.__all__ if not name.startswith("__")}
