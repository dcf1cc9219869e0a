"""Pages as text: well formed, whole by themselves, and proof against what a model may be called."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from html.parser import HTMLParser
from pathlib import Path, PurePath
from typing import Any

import pytest

from compressor.comparison import Comparison
from compressor.render.html.comparison_page import comparison_as_html
from compressor.render.html.markup import Markup, escaped, joined, tag
from compressor.render.html.page import MARK, section
from compressor.render.html.report_page import report_as_html
from compressor.render.html.set_page import each_as_html, set_as_html
from compressor.report import EachReport, Report, SetReport

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x1b[2J\u202e{}"


class Reader(HTMLParser):
    """Elements and their attributes, and whether every one that is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), attrs
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def spoiled(facts: Any) -> Any:
    """The same facts with every name, reason and path turned hostile."""
    if isinstance(facts, Enum):
        return facts
    if isinstance(facts, str):
        return HOSTILE
    if isinstance(facts, PurePath):
        return Path("dir") / HOSTILE.replace("/", "_")
    if isinstance(facts, tuple):
        return tuple(map(spoiled, facts))
    if isinstance(facts, dict):
        return {key if key.isupper() else HOSTILE: value for key, value in facts.items()}
    if is_dataclass(facts) and not isinstance(facts, type):
        return replace(facts, **{field.name: spoiled(getattr(facts, field.name)) for field in fields(facts)})
    return facts


@pytest.fixture
def pages(
    full: Report, comparison: Comparison, set_report: SetReport, each_report: EachReport, unverified_report: Report
) -> dict[str, str]:
    return {
        "report": report_as_html(full),
        "unverified": report_as_html(unverified_report),
        "comparison": comparison_as_html(comparison),
        "set": set_as_html(set_report),
        "each": each_as_html(each_report),
    }


def test_pages_are_well_formed_and_known_by_their_mark(pages: dict[str, str]) -> None:
    for text in pages.values():
        reader = Reader(text)
        assert text.startswith(f"<!doctype html>\n{MARK}\n")
        assert [name for name, _ in reader.elements].count("h1") == 1


def test_pages_load_nothing_and_style_nothing_inline(pages: dict[str, str]) -> None:
    for text in pages.values():
        for name, attributes in Reader(text).elements:
            assert not {"src", "href", "style", "srcset", "action"} & attributes.keys(), (name, attributes)
            assert not any(key.startswith("on") for key in attributes), attributes
            assert name not in {"link", "img", "iframe", "object", "embed", "form", "base"}
        assert "http:" not in text
        assert "https:" not in text
        assert "url(" not in text
        assert "@import" not in text


def test_the_policy_allows_exactly_the_style_and_the_script_of_the_page(pages: dict[str, str]) -> None:
    for text in pages.values():
        (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.+?)"', text)
        rules = dict(rule.strip().split(" ", 1) for rule in policy.replace("&#x27;", "'").split(";"))
        for name in ("style", "script"):
            (content,) = re.findall(rf"<{name}>(.*?)</{name}>", text, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            assert rules[f"{name}-src"] == f"'sha256-{digest}'"
        assert rules["default-src"] == "'none'"
        assert "unsafe" not in policy


def test_no_name_or_reason_of_a_model_becomes_markup(
    full: Report, comparison: Comparison, set_report: SetReport
) -> None:
    clean = (report_as_html(full), comparison_as_html(comparison), set_as_html(set_report))
    dirty = (
        report_as_html(spoiled(full)), comparison_as_html(spoiled(comparison)), set_as_html(spoiled(set_report))
    )  # fmt: skip
    known = {name for text in clean for name, _ in Reader(text).elements}
    for after in dirty:
        assert {name for name, _ in Reader(after).elements} <= known
        assert after.count("<script") == 1
        assert not {"\x1b", "\u202e"} & set(after)
        assert "alert(1)" in "".join(Reader(after).text)


def test_drawings_have_a_text_and_tables_a_name(pages: dict[str, str]) -> None:
    for text in pages.values():
        for name, attributes in Reader(text).elements:
            if name == "svg" and attributes.get("class") != "dot":
                assert attributes["role"] == "img"
                assert attributes["aria-label"]
        assert text.count("<table") == text.count("<caption>")


def test_figures_of_the_page_are_those_of_the_report(full: Report) -> None:
    text = report_as_html(full)
    for found in ("358.55 MB → 12.31 MB", "29.1", "cosine 0.98503", "90.00 % → 89.00 %", "+2 -6", "rolled back",
                  "0.31 MB above the limit", "31.5", "holds NaN", "[[pass]]", "text 3"):  # fmt: skip
        assert found in text, found


def test_models_for_themselves_have_a_row_each_the_refused_ones_too(each_report: EachReport) -> None:
    text = each_as_html(each_report)
    assert text.count("refused") == 2, "in the table, and in the sentence that says why"
    assert "page.onnx: refused: is a web page" in text
    assert "fuse was rolled back" in text
    assert '<td data-value="0.98503' in text, "a number to sort by"
    assert "as if no weights were shared" not in text


def test_the_side_by_side_page_has_the_speed_of_the_candidate(comparison: Comparison) -> None:
    text = comparison_as_html(comparison)
    assert "1.65x" in text
    assert "<dt>times as fast</dt><dd>1.65</dd>" in text


def test_what_was_not_measured_is_called_that(unverified_report: Report) -> None:
    text = report_as_html(unverified_report)
    assert "not measured" in text
    assert "Drift of the outputs" not in text
    assert "bit-identical" not in text
    assert "LARGER" in text


def test_markup_escapes_everything_but_markup() -> None:
    assert tag("p", "<b>", Markup("<br>"), title='"x"', data_value=1.0) == (
        '<p title="&quot;x&quot;" data-value="1">&lt;b&gt;<br></p>'
    )
    assert joined(("a&b", Markup("&amp;"))) == "a&amp;b&amp;"
    assert escaped(escaped("<")) == "&lt;"
    assert tag("meta", charset="utf-8", content=None) == '<meta charset="utf-8">'
    assert section("Nothing") == ""
