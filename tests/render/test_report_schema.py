"""docs/report-schema.md says what is in a report, no more and no less: real reports are walked, field by field.

docs/report.schema.json says the same to programs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from compressor import compress, compress_each, compress_together
from compressor.comparison import compare
from compressor.inspection import inspect
from compressor.render.as_json import as_text, each_as_dict, facts_as_dict, report_as_dict, set_as_dict
from compressor.report import SCHEMA_VERSION, Attempt, Report, TaskScore
from tests.scripts import load_script
from tests.test_together import write_pair

SCRIPT = load_script("make_report_schema")
SCHEMA = {name: {field: kind for field, (kind, _) in fields.items()} for name, fields in SCRIPT.tables().items()}
NUMBERS = ("inf", "-inf", "nan")


def check(value: Any, kind: str, where: str) -> None:
    """Hold `value`, found at `where`, against the type that the page gives it."""
    if kind.endswith("?"):
        if value is None:
            return
        kind = kind[:-1]
    name = re.split(r"[.\[]", where.rstrip("]0123456789["))[-1]
    if kind.startswith("list"):
        assert isinstance(value, list), where
        part = SCRIPT.item_of(kind, name)
        for at, item in enumerate(value):
            if part:  # without one, the page says in words what may be in it
                check(item, part, f"{where}[{at}]")
    elif kind in SCHEMA:
        check_object(value, kind, where, SCRIPT.WITHOUT.get(name, {}).get(kind, ()))
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
    """What a reader gets, which the schema must not refuse."""
    read = json.loads(as_text(dict(data)))
    assert refusals(read) == []
    return read


def refusals(read: Any) -> list[str]:
    """Where the schema finds `read` to be none of its reports."""
    errors = jsonschema.Draft202012Validator(SCRIPT.schema()).iter_errors(read)
    return [error.json_path for error in errors]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write_pair(tmp_path)


def test_every_field_of_a_run_is_documented(pair: tuple[Path, Path]) -> None:
    check(read_back(report_as_dict(compress(pair[0]))), "compress", "compress")


def test_every_field_of_a_run_without_figures_is_documented(pair: tuple[Path, Path]) -> None:
    check(read_back(report_as_dict(compress(pair[0], verify=False))), "compress", "compress")


def test_every_field_of_a_rolled_back_run_is_documented(report: Report) -> None:
    check(read_back(report_as_dict(report)), "compress", "compress")


def test_every_field_of_a_search_is_documented(report: Report) -> None:
    found = report.steps[-1].fidelity
    score = TaskScore(task="classification", metric="accuracy", value=0.9, low=0.86, high=0.93, samples=308)
    attempt = Attempt(
        weights={"dynamic": 11, "float": 1}, total_bytes=9, fidelity=found, score=score, speedup=1.5, broken_limits=()
    )
    failed = replace(attempt, fidelity=None, score=None, speedup=None, broken_limits=("it does not run",))
    searched = replace(report, attempts=(attempt, failed), original_score=score)
    check(read_back(report_as_dict(searched)), "compress", "compress")


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
    assert f"`schema_version` is {SCHEMA_VERSION}." in SCRIPT.PAGE.read_text(encoding="utf-8")


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
    assert refusals(data) != [] or "extra" in data, "a field that is added is no reason to refuse a report"


def test_the_schema_is_what_the_script_writes_and_a_schema() -> None:
    assert SCRIPT.SCHEMA.read_text(encoding="utf-8") == SCRIPT.text(), "run scripts/make_report_schema.py"
    jsonschema.Draft202012Validator.check_schema(SCRIPT.schema())


@pytest.mark.parametrize("change", [{"kind": "other"}, {"schema_version": 2}, {"steps": None}])
def test_what_is_no_report_of_this_version_is_refused(report: Report, change: dict[str, Any]) -> None:
    assert refusals({**read_back(report_as_dict(report)), **change}) != []
