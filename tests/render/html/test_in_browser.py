"""Pages as a browser draws them: marks where the document says they are, in their colours; sorting; nothing loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from PIL import Image

from compressor.comparison import Comparison
from compressor.render.html.comparison_page import comparison_as_html
from compressor.render.html.report_page import report_as_html
from compressor.render.html.set_page import set_as_html
from compressor.report import Report, SetReport
from tests.render.html.browser import Browser

Written: TypeAlias = Callable[[str], Path]

MARKS = """[...document.querySelectorAll("SELECTOR")].map(mark => {
  const box = mark.getBoundingClientRect();
  return {
    x: box.x + scrollX, y: box.y + scrollY, width: box.width, height: box.height,
    colour: (getComputedStyle(mark).fill.match(/[0-9]+/g) || []).map(Number), name: mark.getAttribute("class"),
  };
})"""
OPEN_ALL = "document.querySelectorAll('details').forEach(part => part.open = true)"


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(text: str) -> Path:
        path = tmp_path / "report.html"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def marks(browser: Browser, selector: str) -> list[dict[str, Any]]:
    """Where the document says that marks are, and which colour they have."""
    found: list[dict[str, Any]] = browser.ask(MARKS.replace("SELECTOR", selector))
    return found


def is_drawn(picture: Image.Image, mark: dict[str, Any]) -> bool:
    """Whether a pixel well inside a mark, low enough for no label to be there, has its colour."""
    x, y = mark["x"] + 0.5 * mark["width"], mark["y"] + 0.8 * mark["height"]
    pixel = picture.getpixel((int(x), int(y)))
    assert isinstance(pixel, tuple)
    return all(abs(seen - meant) <= 6 for seen, meant in zip(pixel, mark["colour"], strict=True))


def column(browser: Browser, caption: str, at: int) -> list[str]:
    script = f"""[...[...document.querySelectorAll('table')].find(
        table => table.caption.textContent === {caption!r}).tBodies[0].rows].map(row => row.cells[{at}].textContent)"""
    found: list[str] = browser.ask(script)
    return found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_bars_tiles_and_gauges_are_drawn_where_and_as_the_document_says(
    full: Report, written: Written, browser: Browser, dark: bool
) -> None:
    browser.open(written(report_as_html(full)), width=1200, dark=dark)
    picture = browser.picture()
    for selector, least in (
        (".bar [class^=kind]", 4),
        (".bar .gone", 2),
        (".treemap [class^=kind]", 30),
        (".drift", 5),
    ):
        seen = [mark for mark in marks(browser, selector) if mark["width"] >= 4 and mark["height"] >= 4]
        assert len(seen) >= least, selector
        missing = [mark for mark in seen if not is_drawn(picture, mark)]
        assert missing == [], selector
        colours = {mark["name"]: tuple(mark["colour"]) for mark in seen}
        assert len({*colours.values(), (0, 0, 0)}) == len(colours) + 1, colours


def test_a_mark_that_is_not_drawn_is_noticed(full: Report, written: Written, browser: Browser) -> None:
    browser.open(written(report_as_html(full)), width=1200)
    browser.ask("document.querySelectorAll('.bar [class^=kind]').forEach(mark => mark.style.opacity = 0)")
    picture = browser.picture()
    seen = [mark for mark in marks(browser, ".bar [class^=kind]") if mark["width"] >= 4]
    assert seen
    assert not any(is_drawn(picture, mark) for mark in seen)


def test_bars_are_as_long_as_the_sizes_say(full: Report, written: Written, browser: Browser) -> None:
    browser.open(written(report_as_html(full)), width=1200)
    script = """[...document.querySelector('table').tBodies[0].rows].map(row =>
        [...row.querySelectorAll('[class^=kind]')].map(mark => mark.getBoundingClientRect().width))"""
    widths = [sum(row) for row in browser.ask(script)]
    sizes = [full.original, *(step.size for step in full.steps)]
    for width, size in zip(widths, sizes, strict=True):
        assert width / widths[0] == pytest.approx(size.total_bytes / sizes[0].total_bytes, abs=0.01)


def test_the_front_and_every_attempt_are_drawn(full: Report, written: Written, browser: Browser) -> None:
    browser.open(written(report_as_html(full)), width=1200)
    picture = browser.picture()
    points = {mark["name"]: mark for mark in marks(browser, ".pareto .point")}
    assert set(points) == {"point chosen", "point on-front", "point beaten", "point broken"}
    for name in ("point chosen", "point on-front"):
        mark = points[name]
        middle = picture.getpixel((int(mark["x"] + mark["width"] / 2), int(mark["y"] + mark["height"] / 2)))
        assert middle == tuple(mark["colour"][:3]), name
    across = [points[name]["x"] for name in ("point broken", "point chosen", "point on-front")]
    assert across == sorted(across)


@pytest.mark.parametrize("width", [360, 800, 1600])
def test_no_width_makes_the_page_itself_scroll_sideways(
    full: Report, written: Written, browser: Browser, width: int
) -> None:
    browser.open(written(report_as_html(full)), width=width)
    browser.ask(OPEN_ALL)
    assert browser.ask("document.documentElement.scrollWidth") <= width


def test_nothing_is_loaded_and_nothing_complained_about(
    full: Report, comparison: Comparison, set_report: SetReport, written: Written, browser: Browser
) -> None:
    for text in (report_as_html(full), comparison_as_html(comparison), set_as_html(set_report)):
        path = written(text)
        browser.open(path)
        browser.ask(OPEN_ALL)
        browser.picture()
        assert browser.requests() == [path.as_uri()]
        assert browser.complaints() == []


def test_the_policy_keeps_out_what_is_not_of_the_page(full: Report, written: Written, browser: Browser) -> None:
    text = report_as_html(full).replace("<main>", "<main><script>window.intruder = 1</script><img src='data:,x'>")
    browser.open(written(text))
    assert browser.ask("window.intruder") is None
    assert len(browser.complaints()) >= 2


def test_columns_are_sorted_by_their_numbers_and_back(full: Report, written: Written, browser: Browser) -> None:
    browser.open(written(report_as_html(full)))
    caption = "What the search tried, the smallest first"
    sizes = ["9.00 MB", "12.31 MB", "14.00 MB", "40.00 MB"]
    assert column(browser, caption, 1) == sizes
    click = f"""(() => {{ const table = [...document.querySelectorAll('table')].find(
        table => table.caption.textContent === {caption!r});
        table.tHead.rows[0].cells[1].querySelector('button').click();
        return table.tHead.rows[0].cells[1].getAttribute('aria-sort'); }})()"""
    assert browser.ask(click) == "descending"
    assert column(browser, caption, 1) == sizes[::-1]
    assert browser.ask(click) == "ascending"
    assert column(browser, caption, 1) == sizes


def test_a_column_is_sorted_by_keyboard(full: Report, written: Written, browser: Browser) -> None:
    browser.open(written(report_as_html(full)))
    caption = "What the search tried, the smallest first"
    button = f"""[...document.querySelectorAll('table')].find(table => table.caption.textContent === {caption!r}
        ).tHead.rows[0].cells[1].querySelector('button')"""
    browser.ask(f"{button}.focus()")
    browser.press("Enter")
    assert column(browser, caption, 1) == ["40.00 MB", "14.00 MB", "12.31 MB", "9.00 MB"]
    assert browser.ask(f"getComputedStyle({button}).outlineStyle") != "none", "the focus is seen"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_paper_is_light_and_cuts_no_table_off(full: Report, written: Written, browser: Browser, dark: bool) -> None:
    browser.open(written(report_as_html(full)), width=720, dark=dark)
    browser.show_as_printed(dark=dark)
    pixel = browser.picture().getpixel((2, 2))
    assert isinstance(pixel, tuple)
    assert min(pixel[:3]) > 240
    wide = "[...document.querySelectorAll('.wide')].filter(part => part.scrollWidth > innerWidth)"
    assert browser.ask(f"{wide}.map(part => part.getAttribute('aria-label') + ' ' + part.scrollWidth)") == []


def test_the_page_is_whole_without_its_script(full: Report, written: Written, browser: Browser) -> None:
    path = written(report_as_html(full))
    browser.open(path)
    with_script = browser.ask("document.body.innerText.replaceAll('\\u00a0', ' ')")
    browser.open(path, script=False)
    assert browser.ask("document.querySelectorAll('th button').length") == 0
    without = browser.ask("document.body.innerText.replaceAll('\\u00a0', ' ')")
    assert without.split() == with_script.split()
    assert "358.55 MB" in without
