"""Wrap a report into a page that is allowed to load nothing, and run nothing but the script written here."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from compressor.render.html.markup import Markup, joined, tag

MARK = "<!-- compressor report -->"
"""Near the start of every page; it tells our files from others."""


def page(title: str, *body: str) -> str:
    """Write the whole document."""
    style, script = _part("style.css"), _part("sort.js")
    policy = (
        f"default-src 'none'; style-src {_hash_of(style)}; script-src {_hash_of(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    content = tag("body", tag("main", *body), tag("script", Markup(script)))
    return joined((Markup(f"<!doctype html>\n{MARK}\n"), tag("html", head, content, lang="en"), Markup("\n")))


def section(title: str, *content: str) -> Markup:
    """A part of the page under a heading; nothing where there is nothing to say."""
    return tag("section", tag("h2", title), *content) if any(content) else Markup()


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash_of(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
