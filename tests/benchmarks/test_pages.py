from __future__ import annotations

import json
from pathlib import Path

import chain_table
import matrices
import pages
import plots
import pytest
import records
import tables

from tests.benchmarks import results
from tests.benchmarks.conftest import BENCHMARKS


def page_at(path: Path, script: str) -> Path:
    path.write_text(f"before\n<!-- made by {script}: do not edit -->\nold\n<!-- end of {script} -->\nafter\n")
    return path


def test_text_goes_between_the_marks_and_nothing_else_changes(tmp_path: Path) -> None:
    page = page_at(tmp_path / "page.md", "a.py")
    pages.write_between(page, "a.py", "new\n")
    pages.write_between(page, "a.py", "newer\n")
    assert page.read_text() == ("before\n<!-- made by a.py: do not edit -->\n\nnewer\n\n<!-- end of a.py -->\nafter\n")


def test_a_page_without_the_marks_stays_as_it_is(tmp_path: Path) -> None:
    page = page_at(tmp_path / "page.md", "a.py")
    with pytest.raises(SystemExit, match="has no lines"):
        pages.write_between(page, "b.py", "new")
    assert "old" in page.read_text()


def test_results_of_all_models_go_into_a_page(tmp_path: Path) -> None:
    for name in ("one.onnx", "two.onnx"):
        records.write(results.model(name), tmp_path)
    page = page_at(tmp_path / "page.md", records.MARK)
    records.write_into_page(tmp_path, page)
    assert "| | one | two |" in page.read_text()


def test_the_readme_of_the_benchmark_shows_the_results_that_are_stored() -> None:
    models = json.loads((BENCHMARKS / "results" / "results.json").read_text(encoding="utf-8"))
    shown = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert f"{matrices.as_short_tables(models)}\n{pages.end(records.MARK)}" in shown
    assert tables.as_page(models) == (BENCHMARKS / "results" / "results.md").read_text(encoding="utf-8")
    assert all((BENCHMARKS / "results" / plots.plot_name(model["model"])).exists() for model in models)


def test_the_readme_shows_the_table_of_the_chain_that_is_stored() -> None:
    rows = json.loads((BENCHMARKS / "results" / "chain.json").read_text(encoding="utf-8"))
    shown = (BENCHMARKS.parent / "README.md").read_text(encoding="utf-8")
    assert f"{chain_table.as_text(rows)}\n{pages.end(chain_table.MARK)}" in shown


def test_the_table_of_the_chain_says_what_was_measured() -> None:
    row = {
        "model": "gpt2.sdpa.dynamo",
        "commit": "abc1234",
        "host": "a processor (avx2), Linux, Python 3.11.7; onnx 1.23.2",
        "opset": 20,
        "bytes": [500_000_000, 400_000_000, 399_000_000, 399_000_000, 100_000_000],
        "nodes": [1234, 210],
        "attention": [12, 12],
        "drift": {"deduplicate": 0.0, "fuse": 2e-7, "smooth": 2e-7, "quantize": 0.031},
        "top1": 0.988,
        "rolled_back": [],
        "samples": 11,
    }
    text = chain_table.as_text([row])
    assert "| gpt2 | sdpa, dynamo 20 | 500.0 | 400.0 | 100.0 | 5.0 | 1,234 | 210 | 12 of 12 | 3.1e-02 | 98.8% |" in text
    said = " ".join(text.split())
    assert "after `fuse`: at most 2e-07. Rolled back: nothing. a processor (avx2), Linux" in said
    unverified = {**row, "model": "large", "drift": {}, "top1": None, "samples": 0}
    assert "| large | 20 | 500.0 | 400.0 | 100.0 | 5.0 | 1,234 | 210 | 12 of 12 | not run | - |" in chain_table.as_text(
        [row, unverified]
    )
    assert "Rolled back: 1." in chain_table.as_text([{**row, "rolled_back": ["fuse"]}])
