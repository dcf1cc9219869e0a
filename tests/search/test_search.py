"""The search: the smallest model that keeps a limit, the best within a size, and no more runs than promised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from compressor import Budget, OptionError, Recipe, compress
from compressor.evaluation import judge as judging
from compressor.report import Report
from compressor.search.search import MOST_TRIALS

LAYERS = 6
SIZE = 64


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Six products one after another; one of them reads features of which one is a thousand times as large."""
    steps = " ".join(f"h{i + 1} = MatMul(h{i}, w{i})" for i in range(LAYERS))
    text = f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[n, {SIZE}] h0) => (float[n, {SIZE}] h{LAYERS}) {{ {steps} }}
    """
    model = onnx.parser.parse_model(text)
    random = np.random.default_rng(0)
    for layer in range(LAYERS):
        weight = random.standard_normal((SIZE, SIZE)).astype(np.float32) / 8
        if layer == 2:
            weight[:, 7] *= 1000
        if layer == 3:
            weight[7] /= 1000
        model.graph.initializer.append(numpy_helper.from_array(weight, f"w{layer}"))
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    return path


def searched(source: Path, **limits: float | str) -> Report:
    return compress(source, budget=Budget(**limits), search=True)  # type: ignore[arg-type]  # of the right kind each


def test_the_chosen_model_keeps_the_limit_and_no_smaller_one_that_was_tried_does(source: Path) -> None:
    report = searched(source, min_cosine=0.9999)
    (chosen,) = [attempt for attempt in report.attempts if attempt.is_chosen]
    assert report.broken_limits == ()
    assert chosen.broken_limits == ()
    assert chosen.total_bytes == report.final.total_bytes
    good = [attempt for attempt in report.attempts if not attempt.broken_limits]
    assert chosen.total_bytes <= 1.05 * min(attempt.total_bytes for attempt in good)
    assert any(attempt.broken_limits for attempt in report.attempts), "the limit is one that matters"


def test_a_loose_limit_is_kept_by_the_smallest_forms_of_all_weights(source: Path) -> None:
    report = searched(source, min_cosine=0.5)
    (chosen,) = [attempt for attempt in report.attempts if attempt.is_chosen]
    assert chosen.weights == {"blockwise-4": LAYERS}
    in_blocks = [attempt for attempt in report.attempts if "blockwise-4" in attempt.weights]
    assert len(in_blocks) == 1, "a family ends at once where its end is good"


def test_a_limit_that_nothing_keeps_is_reported_as_broken(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    report = compress(source, out, budget=Budget(min_cosine=1.0, max_size="30%"), search=True)
    assert report.broken_limits
    assert not out.exists()


def test_within_a_size_the_best_is_taken(source: Path) -> None:
    small, large = searched(source, max_size="24%"), searched(source, max_size="60%")
    for report, share in ((small, 0.24), (large, 0.60)):
        assert report.final.total_bytes <= share * report.original.total_bytes
    cosines = [report.steps[-1].fidelity.worst_cosine for report in (small, large) if report.steps[-1].fidelity]
    assert (cosines[0] or 0) < (cosines[1] or 0)


def test_where_no_size_is_small_enough_the_smallest_is_shown(source: Path) -> None:
    report = searched(source, max_size="1%")
    assert report.broken_limits
    (chosen,) = [attempt for attempt in report.attempts if attempt.is_chosen]
    assert chosen.total_bytes == min(attempt.total_bytes for attempt in report.attempts)


def test_no_more_models_are_run_than_promised(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[ir.Model] = []
    judge = judging.Judge.judge

    def counted(self: judging.Judge, model: ir.Model) -> object:
        runs.append(model)
        return judge(self, model)

    monkeypatch.setattr(judging.Judge, "judge", counted)
    report = searched(source, min_cosine=0.9999)
    assert len(report.attempts) <= MOST_TRIALS
    assert len(runs) <= MOST_TRIALS + len(report.steps)


def test_the_recipe_of_a_search_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    first, again, replayed = (tmp_path / name for name in ("first.onnx", "again.onnx", "replayed.onnx"))
    budget = Budget(min_cosine=0.9999)
    report = compress(source, first, budget=budget, search=True)
    compress(source, again, budget=budget, search=True)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(report.recipe, encoding="utf-8")
    compress(source, replayed, recipe=Recipe.from_toml(recipe))
    assert first.read_bytes() == again.read_bytes() == replayed.read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "needs a limit to keep"),
        ({"budget": Budget(min_speedup=1)}, "needs a limit to keep"),
        ({"budget": Budget(max_size="50%"), "verify": False}, "a search runs the models"),
        ({"budget": Budget(min_cosine=0.9), "recipe": Recipe.from_names(["fuse"])}, "the recipe has none"),
    ],
)
def test_a_search_without_what_it_needs_is_refused(source: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        compress(source, search=True, **options)  # type: ignore[arg-type]  # of the right kind each
