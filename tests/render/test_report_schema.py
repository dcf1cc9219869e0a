"""docs/report-schema.md says what is in a report, no more and no less: real reports are walked, field by field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from compressor import compress, compress_each, compress_together
from compressor.comparison import compare
from compressor.inspection import inspect
from compressor.render.as_json import as_text, each_as_dict, facts_as_dict, report_as_dict, set_as_dict
from compressor.report import SCHEMA_VERSION, Report
from tests.test_together import write_pair

PAGE = Path(__file__).parents[2] / "docs" / "report-schema.md"
NUMBERS = ("inf", "-inf", "nan")


def tables() -> dict[str, dict[str, str]]:
    """Type of each field, by section of the page."""
    found: dict[str, dict[str, str]] = {}
    for section in re.split(r"^##+ ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        rows = re.findall(r"^\| (`.+?`) \| (.+?) \| .+ \|$", section, flags=re.MULTILINE)
        fields = {name: kind for names, kind in rows for name in re.findall(r"`(\w+)`", names)}
        if fields:
            found[section.splitlines()[0]] = fields
    return found


SCHEMA = tables()
HEAD = ("schema_version", "kind")
WITHOUT: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "reports": {"compress": HEAD},
    "report": {"compress": HEAD},
    "forecast": {"Step": ("left_alone", "change", "ratio")},
}
"""What the page says is missing from a part, by the field that holds it."""


def check(value: Any, kind: str, where: str) -> None:
    """Hold `value`, found at `where`, against the type that the page gives it."""
    if kind.endswith("?"):
        if value is None:
            return
        kind = kind[:-1]
    name = re.split(r"[.\[]", where.rstrip("]0123456789["))[-1]
    if kind.startswith("list"):
        assert isinstance(value, list), where
        part = "compress" if name == "reports" else kind.removeprefix("list").removeprefix(" of ").removesuffix("s")
        for at, item in enumerate(value):
            if part:  # without one, the page says in words what may be in it
                check(item, part, f"{where}[{at}]")
    elif kind in SCHEMA:
        check_object(value, kind, where, WITHOUT.get(name, {}).get(kind, ()))
    else:
        assert SIMPLE[kind](value), f"{where} is {value!r}, not {kind}"


def check_object(value: Any, kind: str, where: str, missing: tuple[str, ...]) -> None:
    assert isinstance(value, dict), where
    documented = {field: kind for field, kind in SCHEMA[kind].items() if field not in missing}
    assert value.keys() == documented.keys(), where
    for field, item in value.items():
        check(item, documented[field], f"{where}.{field}")


def is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


SIMPLE: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": is_integer,
    "number": lambda value: is_integer(value) or isinstance(value, float) or value in NUMBERS,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: (
        isinstance(value, dict) and all(is_integer(v) or isinstance(v, str) for v in value.values())
    ),
}


def read_back(data: Mapping[str, Any]) -> Any:
    return json.loads(as_text(dict(data)))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write_pair(tmp_path)


def test_every_field_of_a_run_is_documented(pair: tuple[Path, Path]) -> None:
    check(read_back(report_as_dict(compress(pair[0]))), "compress", "compress")


def test_every_field_of_a_run_without_figures_is_documented(pair: tuple[Path, Path]) -> None:
    check(read_back(report_as_dict(compress(pair[0], verify=False))), "compress", "compress")


def test_every_field_of_a_rolled_back_run_is_documented(report: Report) -> None:
    check(read_back(report_as_dict(report)), "compress", "compress")


def test_every_field_of_a_set_is_documented(pair: tuple[Path, Path], tmp_path: Path) -> None:
    check(read_back(set_as_dict(compress_together(pair, tmp_path / "out"))), "compress-set", "compress-set")


def test_every_field_of_separate_models_is_documented(pair: tuple[Path, Path], tmp_path: Path) -> None:
    found = compress_each([*pair, tmp_path / "missing.onnx"], tmp_path / "out", verify=False)
    check(read_back(each_as_dict(found)), "compress-each", "compress-each")


def test_every_field_of_an_inspection_is_documented(pair: tuple[Path, Path]) -> None:
    check(read_back(facts_as_dict("inspect", inspect(pair[1]))), "inspect", "inspect")


def test_every_field_of_a_comparison_is_documented(pair: tuple[Path, Path], tmp_path: Path) -> None:
    small = tmp_path / "small.onnx"
    compress(pair[0], small, verify=False)
    for candidate in (small, pair[1]):
        check(read_back(facts_as_dict("compare", compare(pair[0], candidate))), "compare", "compare")


def test_the_page_names_the_version_that_reports_carry() -> None:
    assert f"`schema_version` is {SCHEMA_VERSION}." in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda data: data.update(extra=1), "compress"),
        (lambda data: data["steps"][0].pop("counts"), r"steps\[0\]"),
        (lambda data: data["original"].update(total_bytes="1"), "total_bytes"),
        (lambda data: data["steps"][0]["fidelity"].update(samples=None), "samples"),
    ],
    ids=["unknown", "missing", "of another type", "null"],
)
def test_a_field_that_is_not_as_documented_is_noticed(
    report: Report, change: Callable[[dict[str, Any]], None], where: str
) -> None:
    data = read_back(report_as_dict(report))
    change(data)
    with pytest.raises(AssertionError, match=where):
        check(data, "compress", "compress")
