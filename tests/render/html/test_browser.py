"""Where there is no browser, tests that need one are skipped with the reason, but not where one was promised."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.render.html.browser import REQUIRED, find_browser


def test_without_a_browser_the_reason_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        find_browser()


def test_a_browser_that_was_promised_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="there is no browser"):
        find_browser()


def test_ci_promises_one() -> None:
    script = (Path(__file__).parents[3] / ".ci" / "run").read_text(encoding="utf-8")
    assert f"export {REQUIRED}=1" in script
    assert "install" in script
