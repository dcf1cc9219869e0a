"""Turn any report into JSON: every stored fact, and every figure computed from one, under the name it has in code.

Paths are strings, choices their values. ``null`` means not measured. JSON has no infinity: an endless ratio (equal
outputs) is the string ``"inf"``, an undefined one ``"nan"``. Differences between steps are added as ``change``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import PurePath

from compressor.render.findings import group_skips, steps_with_sizes_before
from compressor.report import SCHEMA_VERSION, EachReport, Report, SetReport, Step

MARK = '"schema_version"'
"""The first key of every report; it tells our files from others."""

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


def report_as_dict(report: Report) -> dict[str, Json]:
    """Turn the report of a run into plain data, with the change of size each step made."""
    return _headed("compress", _report(report))


def set_as_dict(found: SetReport) -> dict[str, Json]:
    """Turn the report of models that belong together into plain data, each model's as of a run of its own."""
    return _headed("compress-set", {**_fields(found), "reports": [_report(report) for report in found.reports]})


def each_as_dict(found: EachReport) -> dict[str, Json]:
    """Turn what became of models that have nothing to do with each other into plain data."""
    endings: list[Json] = [
        {**_fields(ending), "report": None if ending.report is None else _report(ending.report)}
        for ending in found.endings
    ]
    totals = {"original_bytes": found.original_bytes, "total_bytes": found.total_bytes}
    return _headed("compress-each", {"endings": endings, "jobs": found.jobs, **totals})


def facts_as_dict(kind: str, facts: object) -> dict[str, Json]:
    """Turn a frozen dataclass of facts into plain data; `kind` is the command it answers."""
    return _headed(kind, _fields(facts))


def as_text(data: Mapping[str, Json]) -> str:
    """Write plain data as JSON, in ASCII so that any terminal and any file name survive."""
    return json.dumps(data, indent=2, allow_nan=False) + "\n"


def _headed(kind: str, facts: dict[str, Json]) -> dict[str, Json]:
    return {"schema_version": SCHEMA_VERSION, "kind": kind, **facts}


def _report(report: Report) -> dict[str, Json]:
    original = report.original.total_bytes
    steps: list[Json] = []
    for step, size_before in steps_with_sizes_before(report.original, report.steps):
        before, after = size_before.total_bytes, step.size.total_bytes
        change = {"bytes": after - before, "share": (after - before) / max(1, before)}
        computed = {"left_alone": _left_alone(step), "change": _plain(change), "ratio": original / max(1, after)}
        steps.append({**_fields(step), **computed})
    return {**_fields(report), "steps": steps}


def _left_alone(step: Step) -> Json:
    """What was left alone, by reason, as a terminal shows it."""
    return [
        {"reason": group.reason, "candidates": len(group.skips), "weight_bytes": group.weight_bytes}
        for group in group_skips(step.skipped)
    ]


def _fields(facts: object) -> dict[str, Json]:
    if not is_dataclass(facts):
        raise TypeError(f"{type(facts).__name__} is not a dataclass of facts")
    stored = {field.name: _plain(getattr(facts, field.name)) for field in fields(facts)}
    computed = [name for name, value in vars(type(facts)).items() if isinstance(value, property)]
    return stored | {name: _plain(getattr(facts, name)) for name in computed if not name.startswith("_")}


def _plain(value: object) -> Json:
    if isinstance(value, Enum):
        return _plain(value.value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return _fields(value)
