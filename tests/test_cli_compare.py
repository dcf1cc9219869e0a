"""The commands that write no model: what they print, and which exit code says it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compressor.checks import DEFAULT_ATOL, SAME_OPERATORS_ATOL
from compressor.cli import ExitCode
from tests.commands import draw_twice, run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return draw_twice(tmp_path)


def test_inspect_prints_and_writes_nothing(model: Path) -> None:
    result = run("inspect", model)
    assert result.exit_code == ExitCode.DONE, result.stderr
    assert "1 weight stored more than once" in result.stdout
    assert list(model.parent.iterdir()) == [model]


def test_inspect_as_json(model: Path) -> None:
    read = json.loads(run("inspect", model, "--json", "-").stdout)
    assert read["kind"] == "inspect"
    assert read["duplicates"] == [{"members": ["first", "second"], "saved_bytes": 64 * 64 * 4}]


def test_compare_ends_with_0_or_1(model: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.onnx"
    assert run("compress", model, "-o", small, "--no-verify").exit_code == ExitCode.DONE
    strict, loose = (run("compare", model, small, "--atol", atol) for atol in ("1e-9", "1e9"))
    assert (strict.exit_code, loose.exit_code) == (ExitCode.BROKEN, ExitCode.DONE)
    assert "NOT VALID" in strict.stdout
    assert "Valid" in loose.stdout


def test_the_tolerance_is_small_where_only_weights_can_differ(model: Path, tmp_path: Path) -> None:
    merged, small = tmp_path / "merged.onnx", tmp_path / "small.onnx"
    run("compress", model, "-o", merged, "--no-verify", "--passes", "deduplicate")
    run("compress", model, "-o", small, "--no-verify")
    found = [json.loads(run("compare", model, other, "--json", "-").stdout)["atol"] for other in (merged, small)]
    assert found == [SAME_OPERATORS_ATOL, DEFAULT_ATOL]


def test_limits_take_the_place_of_the_tolerance(model: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.onnx"
    run("compress", model, "-o", small, "--no-verify")
    good = run("compare", model, small, "--min-cosine", "0.5")
    assert good.exit_code == ExitCode.DONE, good.stdout
    assert "Valid: every limit holds" in good.stdout
    bad = run("compare", model, small, "--min-cosine", "1", "--max-size", "1%")
    assert bad.exit_code == ExitCode.BROKEN
    assert bad.stdout.count("limit broken:") == 2
    assert "NOT VALID: 2 limits broken" in bad.stdout


def test_compare_as_json(model: Path) -> None:
    read = json.loads(run("compare", model, model, "--json", "-").stdout)
    assert read["kind"] == "compare"
    assert read["is_valid"] is True
    assert all(check["holds"] for check in read["checks"])
