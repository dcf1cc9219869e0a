"""Write docs/report.schema.json from the tables of docs/report-schema.md: run it from anywhere, after changing one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "report-schema.md"
SCHEMA = DOCS / "report.schema.json"

KINDS = ("compress", "compress-set", "compress-each", "inspect", "compare")
HEAD = ("schema_version", "kind")
WITHOUT: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "reports": {"compress": HEAD},
    "report": {"compress": HEAD},
    "forecast": {"Step": ("left_alone", "change", "ratio")},
}
"""What the page says is missing from a part, by the field that holds it."""

_SIMPLE: Mapping[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "number": {"anyOf": [{"type": "number"}, {"enum": ["inf", "-inf", "nan"]}]},
    "object": {"type": "object", "additionalProperties": {"type": ["integer", "string"]}},
}

Fields = dict[str, tuple[str, str]]


def tables() -> dict[str, Fields]:
    """Type and meaning of each field, by section of the page."""
    found: dict[str, Fields] = {}
    for section in re.split(r"^##+ ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        rows = re.findall(r"^\| (`.+?`) \| (.+?) \| (.+) \|$", section, flags=re.MULTILINE)
        fields = {name: (kind, said) for names, kind, said in rows for name in re.findall(r"`(\w+)`", names)}
        if fields:
            found[section.splitlines()[0]] = fields
    return found


def item_of(kind: str, field: str) -> str:
    """What a list of `kind`, held by `field`, is a list of; empty where the page says it in words."""
    return "compress" if field == "reports" else kind.removeprefix("list").removeprefix(" of ").removesuffix("s")


def schema() -> dict[str, Any]:
    """Describe every report as JSON Schema; fields that a later version adds are allowed."""
    sections = tables()
    parts = {name: _object(fields, sections) for name, fields in sections.items()}
    (version,) = re.findall(r"`schema_version` is (\d+)\.", PAGE.read_text(encoding="utf-8"))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Report of compressor",
        "type": "object",
        "required": list(HEAD),
        "properties": {"schema_version": {"const": int(version)}, "kind": {"enum": list(KINDS)}},
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": kind}}},
                "then": {"$ref": f"#/$defs/{kind}", "required": list(sections[kind])},
            }
            for kind in KINDS
        ],
        "$defs": parts,
    }


def text() -> str:
    """The file."""
    return json.dumps(schema(), indent=2) + "\n"


def _object(fields: Fields, sections: Mapping[str, Fields]) -> dict[str, Any]:
    properties = {
        name: {**_typed(kind, name, sections), "description": _plain(said)} for name, (kind, said) in fields.items()
    }
    return {"type": "object", "properties": properties}


def _typed(kind: str, field: str, sections: Mapping[str, Fields]) -> dict[str, Any]:
    if kind.endswith("?"):
        return {"anyOf": [_typed(kind[:-1], field, sections), {"type": "null"}]}
    if kind.startswith("list"):
        item = item_of(kind, field)
        return {"type": "array", "items": _typed(item, field, sections)} if item else {"type": "array"}
    if kind not in sections:
        return dict(_SIMPLE[kind])
    missing = WITHOUT.get(field, {}).get(kind, ())
    return {"$ref": f"#/$defs/{kind}", "required": [name for name in sections[kind] if name not in missing]}


def _plain(said: str) -> str:
    """Leave out what Markdown only marks."""
    return said.replace("`", "").replace("*", "").replace("\\|", "|")


if __name__ == "__main__":
    SCHEMA.write_text(text(), encoding="utf-8")
