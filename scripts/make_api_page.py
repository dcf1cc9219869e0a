"""Write docs/api.md from the docstrings of the public names: run it from anywhere, after changing one."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import compressor

PAGE = Path(__file__).resolve().parent.parent / "docs" / "api.md"

_HEAD = """# Python

What `from compressor import …` offers; made from the docstrings by `scripts/make_api_page.py`. Whatever is not here may
change from version to version. Facts in reports are described in [report fields](report-schema.md), options of passes
in [passes](passes.md).
"""
_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$", re.MULTILINE)


def page() -> str:
    """Describe functions, then classes, then errors, each group in order of name."""
    named = [(name, getattr(compressor, name)) for name in compressor.__all__ if not name.startswith("__")]
    named.sort(key=lambda item: (inspect.isclass(item[1]), _is_error(item[1]), item[0]))
    return "\n".join([_HEAD, *("\n".join(_entry(name, item)) for name, item in named)])


def _is_error(item: object) -> bool:
    return inspect.isclass(item) and issubclass(item, Exception)


def _entry(name: str, item: object) -> Iterator[str]:
    yield f"## {name}\n"
    if _is_error(item):
        yield f"{inspect.getdoc(item)} Its base is `{item.__bases__[0].__name__}`.\n"  # type: ignore[attr-defined]
        return
    if inspect.isclass(item) and issubclass(item, Enum):
        yield from _prose(inspect.getdoc(item) or "")
        yield from (f"- `{name}.{member.name}`, `{member.value}`" for member in item)
        yield ""
        return
    yield f"```text\n{_signature(name, item)}\n```\n"
    yield from _prose(inspect.getdoc(item) or "")
    if inspect.isclass(item):
        for member, value in vars(item).items():
            if not member.startswith("_") and (isinstance(value, property | classmethod) or inspect.isfunction(value)):
                yield from _member(member, value)


def _member(name: str, value: object) -> Iterator[str]:
    function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    shown = f".{name}" if isinstance(value, property) else f".{name}{inspect.signature(function)}"  # type: ignore[arg-type]
    yield f"**`{_short(shown)}`** {_ticked((inspect.getdoc(function) or '').splitlines()[0])}\n"


def _signature(name: str, item: object) -> str:
    shown = inspect.signature(item)  # type: ignore[arg-type]
    if dataclasses.is_dataclass(item):
        shown = shown.replace(return_annotation=inspect.Signature.empty)
    parts = [_short(str(parameter)) for parameter in shown.parameters.values()]
    keyword = next((at for at, p in enumerate(shown.parameters.values()) if p.kind is p.KEYWORD_ONLY), None)
    if keyword is not None:
        parts.insert(keyword, "*")
    returned = "" if shown.return_annotation is shown.empty else f" -> {_short(str(shown.return_annotation))}"
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returned}"


def _short(text: str) -> str:
    """Drop where types and defaults come from: readers know `Path`."""
    text = re.sub(r"<(\w+)\.(\w+): .*?>", r"\1.\2", text)
    text = re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Z])", "", text)
    return re.sub(r"'([^']+)'", r"\1", text.replace("<factory>", "…"))


def _prose(text: str) -> Iterator[str]:
    """Turn a docstring into Markdown: its sections become lists."""
    head, *sections = _SECTION.split(text)
    yield f"{_ticked(head).strip()}\n"
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        yield f"{title}:\n"
        items = re.split(r"\n(?=\S)", inspect.cleandoc(body))
        for item in items:
            name, _, meaning = " ".join(item.split()).partition(": ")
            yield (
                f"- {', '.join(f'`{part}`' for part in name.split(', '))}: {_ticked(meaning)}"
                if meaning
                else f"- {name}"
            )
        yield ""


def _ticked(text: str) -> str:
    """Exchange reStructuredText for Markdown: references and code."""
    return re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text).replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
