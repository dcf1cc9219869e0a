from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

from compressor.render.as_json import MARK, Json, as_text, facts_as_dict, report_as_dict, set_as_dict
from compressor.report import SCHEMA_VERSION, Report, SetReport, Step


def parsed(data: dict[str, Json]) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(as_text(data), parse_constant=refuse)


def test_holds_every_stored_fact_under_its_own_name(report: Report) -> None:
    read = parsed(report_as_dict(report))
    assert {field.name for field in fields(Report)} <= read.keys()
    assert {field.name for field in fields(Step)} <= read["steps"][0].keys()
    assert read["schema_version"] == SCHEMA_VERSION
    assert read["kind"] == "compress"
    assert read["source"] == "models/albert[v2].onnx"
    assert read["steps"][1]["outcome"] == "rolled back"
    assert len(read["steps"][2]["skipped"]) == 15


def test_adds_what_can_be_computed(report: Report) -> None:
    read = parsed(report_as_dict(report))
    assert read["ratio"] == pytest.approx(358_548_619 / 12_310_000)
    assert read["is_verified"] is False
    assert read["final"]["total_bytes"] == 12_310_000
    assert read["steps"][0]["change"]["bytes"] == 47_200_000 - 358_548_619
    assert read["steps"][1]["change"] == {"bytes": 0, "share": 0.0}
    assert read["steps"][2]["change"]["bytes"] == 12_310_000 - 47_200_000, "against the step before, not the original"
    assert read["steps"][2]["ratio"] == read["ratio"]
    assert read["steps"][2]["fidelity"]["worst_cosine"] == 0.985039


def test_each_model_of_a_set_reads_like_a_run_of_its_own(set_report: SetReport) -> None:
    read = parsed(set_as_dict(set_report))
    assert (read["kind"], read["schema_version"]) == ("compress-set", SCHEMA_VERSION)
    assert {field.name for field in fields(SetReport)} <= read.keys()
    assert read["ratio"] == pytest.approx(717_097_238 / 18_510_000)
    for report, found in zip(set_report.reports, read["reports"], strict=True):
        alone = parsed(report_as_dict(report))
        assert found == {key: value for key, value in alone.items() if key not in ("schema_version", "kind")}


def test_tells_not_measured_from_infinite(report: Report, unverified_report: Report) -> None:
    assert parsed(report_as_dict(report))["steps"][0]["fidelity"]["outputs"][0]["sqnr_db"] == "inf"
    read = parsed(report_as_dict(unverified_report))
    assert read["steps"][1]["fidelity"] is None
    assert read["steps"][1]["latency"] is None
    assert read["output"] is None


def test_spells_what_json_has_no_number_for() -> None:
    @dataclass(frozen=True)
    class Facts:
        ratios: tuple[float, ...]

    assert parsed(facts_as_dict("test", Facts(ratios=(float("nan"), float("-inf"), 1.5))))["ratios"] == [
        "nan",
        "-inf",
        1.5,
    ]


def test_survives_names_that_no_encoding_takes() -> None:
    @dataclass(frozen=True)
    class Facts:
        path: Path

    text = as_text(facts_as_dict("test", Facts(path=Path("\udcff/вес"))))
    assert text.isascii()
    assert json.loads(text)["path"] == "\udcff/вес"


def test_refuses_what_is_no_fact() -> None:
    with pytest.raises(TypeError, match="object is not a dataclass of facts"):
        facts_as_dict("test", object())


def test_a_report_can_be_told_from_other_json(report: Report) -> None:
    assert MARK in as_text(report_as_dict(report))[:40]


def test_what_was_left_alone_is_given_by_reason_as_well(report: Report) -> None:
    groups = report_as_dict(report)["steps"][-1]["left_alone"]  # type: ignore[index,call-overload]  # plain data
    assert groups == [
        {"reason": "holds NaN", "candidates": 1, "weight_bytes": 400_000},
        {"reason": "… elements, fewer than 1,024", "candidates": 13, "weight_bytes": 37_248},
        {"reason": "operator Add takes no int8 weights", "candidates": 1, "weight_bytes": 0},
    ]
