from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest

from compressor import Budget, Evaluation
from compressor.checks import Check
from compressor.comparison import Comparison, compare
from compressor.errors import ModelError, OptionError

LINEAR = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[batch, 8] x) => (float[batch, 4] y, int64[batch] best)
{
    y = MatMul(x, w)
    best = ArgMax <axis = 1, keepdims = 0> (y)
}
"""


def draw(path: Path, graph: str = LINEAR, *, shift: float = 0.0) -> Path:
    model = onnx.parser.parse_model(graph)
    weight = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    weight[0, 0] += shift
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    onnx.save(model, path)
    return path


def check(comparison: Comparison, claim: str) -> Check:
    return next(check for check in comparison.checks if check.claim.startswith(claim))


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return draw(tmp_path / "original.onnx")


def test_a_model_is_valid_against_itself(original: Path) -> None:
    found = compare(original, original)
    assert found.is_valid
    assert found.fidelity is not None
    assert found.fidelity.is_bit_identical
    assert check(found, "y: values").finding == "bit-identical"
    assert found.original_latency is not None
    assert found.candidate_latency is not None
    assert found.original.total_bytes == original.stat().st_size


def test_shapes_of_every_batch_are_named(original: Path) -> None:
    finding = check(compare(original, original), "y: shapes match").finding
    assert len(finding.split(", ")) >= 2
    assert all(shape.endswith("x4") for shape in finding.split(", "))


def test_a_small_difference_is_valid_and_a_larger_one_is_not(original: Path, tmp_path: Path) -> None:
    near, far = draw(tmp_path / "near.onnx", shift=4e-6), draw(tmp_path / "far.onnx", shift=0.5)
    assert compare(original, near).is_valid
    found = compare(original, far)
    assert not found.is_valid
    assert not check(found, "y: values").holds
    assert found.fidelity is not None, "figures are given for an invalid candidate too"


def test_the_tolerance_is_the_callers(original: Path, tmp_path: Path) -> None:
    near = draw(tmp_path / "near.onnx", shift=1e-5)
    assert not check(compare(original, near, atol=0), "y: values").holds
    far = draw(tmp_path / "far.onnx", shift=0.5)
    assert check(compare(original, far, atol=100), "y: values").holds


def test_whole_numbers_are_held_to_the_tolerance_too(original: Path, tmp_path: Path) -> None:
    found = compare(original, draw(tmp_path / "far.onnx", shift=50.0), atol=0.5)
    assert not check(found, "best: values").holds


def test_texts_must_be_equal(tmp_path: Path) -> None:
    graph = '<ir_version: 8, opset_import: ["" : 20]> g (string[n] x) => (string[n] y) { y = Identity(x) }'
    original = draw(tmp_path / "texts.onnx", graph)
    longer = draw(tmp_path / "longer.onnx", graph.replace("Identity(x)", "StringConcat(x, x)"))
    assert compare(original, original).is_valid
    found = compare(original, longer, atol=100)
    assert check(found, "y: values").finding == "entries that are not numbers differ"
    assert not found.is_valid


@pytest.mark.parametrize(
    ("old", "new", "claim", "named"),
    [
        ("float[batch, 8] x)", "float[batch, 8] z)", "input names", "the candidate has z"),
        ("(float[batch, 8] x)", "(float[batch, 8] x, int64[batch] more)", "input names", "more"),
        ("int64[batch] best)", "int64[batch] other)", "output names", "other"),
        (", int64[batch] best)", ")", "output names", "the original has y"),
    ],
)
def test_another_interface_is_named_and_nothing_is_run(
    original: Path, tmp_path: Path, old: str, new: str, claim: str, named: str
) -> None:
    graph = LINEAR.replace(old, new)
    if "z)" in new:
        graph = graph.replace("MatMul(x", "MatMul(z")
    if "other" in new:
        graph = graph.replace("best = ", "other = ")
    found = compare(original, draw(tmp_path / "candidate.onnx", graph))
    assert not found.is_valid
    assert not check(found, claim).holds
    assert named in check(found, claim).finding
    assert (found.fidelity, found.original_latency, found.candidate_latency, found.samples) == (None, None, None, "")


def test_an_input_with_a_default_need_not_match(original: Path, tmp_path: Path) -> None:
    candidate = draw(
        tmp_path / "candidate.onnx", LINEAR.replace("float[batch, 8] x)", "float[batch, 8] x, float[8, 4] w)")
    )
    assert compare(original, candidate).is_valid


def test_other_shapes_are_named(original: Path, tmp_path: Path) -> None:
    graph = LINEAR.replace("y = MatMul(x, w)", "wide = MatMul(x, w)\n y = Concat <axis = 1> (wide, wide)")
    found = compare(original, draw(tmp_path / "wide.onnx", graph.replace("float[batch, 4] y", "float[batch, 8] y")))
    assert not found.is_valid
    assert "shape" in check(found, "the candidate's outputs can be compared").finding
    assert found.fidelity is None


def test_values_that_are_not_finite_are_refused(original: Path, tmp_path: Path) -> None:
    found = compare(original, draw(tmp_path / "nan.onnx", shift=math.nan), atol=1e9)
    assert not found.is_valid
    assert "not finite" in check(found, "the candidate's outputs can be compared").finding


def test_the_same_seed_gives_the_same_figures(original: Path, tmp_path: Path) -> None:
    far = draw(tmp_path / "far.onnx", shift=0.5)
    first, second = Evaluation(seed=1), Evaluation(seed=2)
    assert compare(original, far, evaluation=first).fidelity == compare(original, far, evaluation=first).fidelity
    assert compare(original, far, evaluation=first).fidelity != compare(original, far, evaluation=second).fidelity


def test_tells_what_it_does(original: Path) -> None:
    told: list[str] = []
    compare(original, original, progress=told.append)
    assert told[0] == "loading both models"
    assert told[-1] == "running the candidate"


def test_refuses_a_tolerance_that_is_no_number(original: Path) -> None:
    with pytest.raises(OptionError, match="nan"):
        compare(original, original, atol=math.nan)


def test_names_the_model_that_cannot_be_read(original: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"missing\.onnx: no such file"):
        compare(original, tmp_path / "missing.onnx")


def test_a_model_that_cannot_be_run_is_not_valid(original: Path, tmp_path: Path) -> None:
    strange = draw(
        tmp_path / "strange.onnx", LINEAR.replace('["" : 17]', '["" : 17, "odd" : 1]').replace("MatMul", "odd.Mix")
    )
    found = compare(original, strange)
    assert not found.is_valid
    assert "odd" in check(found, "the candidate's outputs can be compared").finding
    assert not check(compare(strange, original), "the original can be run").holds


def test_an_output_that_is_drawn_at_random_is_left_out_and_named(original: Path, tmp_path: Path) -> None:
    graph = LINEAR.replace("int64[batch] best)", "int64[batch] best, float[batch, 8] noise)")
    random = draw(tmp_path / "random.onnx", graph.replace("}", "    noise = RandomNormalLike(x)\n}"))
    found = compare(random, random)
    assert found.is_valid
    assert any("'noise' is not judged" in warning for warning in found.warnings)
    assert not any(check.claim.startswith("noise") for check in found.checks)


@pytest.fixture
def labelled(original: Path) -> Evaluation:
    """200 rows, and the original's own answer for each."""
    model = onnx.load(original)
    (weight,) = map(onnx.numpy_helper.to_array, model.graph.initializer)
    x = np.random.default_rng(1).standard_normal((200, 8)).astype(np.float32)
    data = original.parent / "rows.npz"
    np.savez(data, x=x, label=(x @ weight).argmax(axis=1))
    return Evaluation(data=data, labels="label", task="classification")


def test_labels_decide_where_nothing_else_is_said(original: Path, tmp_path: Path, labelled: Evaluation) -> None:
    near, far = draw(tmp_path / "near.onnx", shift=0.02), draw(tmp_path / "far.onnx", shift=50.0)
    good, bad = (compare(original, candidate, evaluation=labelled) for candidate in (near, far))
    assert good.atol is bad.atol is None
    assert good.fidelity is not None
    assert good.fidelity.worst_max_rel > 1e-3, "without labels it would not be valid"
    assert good.is_valid
    assert check(good, "accuracy: no loss").finding.startswith("1.0000 became ")
    assert not bad.is_valid
    assert not check(bad, "accuracy: no loss").holds


def test_a_tolerance_or_a_limit_goes_before_labels(original: Path, tmp_path: Path, labelled: Evaluation) -> None:
    far = draw(tmp_path / "far.onnx", shift=50.0)
    by_atol = compare(original, far, atol=1e6, evaluation=labelled)
    by_limit = compare(original, far, budget=Budget(max_accuracy_drop=99), evaluation=labelled)
    for found in (by_atol, by_limit):
        assert found.is_valid
        assert not found.is_held_to_its_score


def test_a_better_score_is_no_loss_however_sure(original: Path, tmp_path: Path, labelled: Evaluation) -> None:
    far = draw(tmp_path / "far.onnx", shift=50.0)
    found = compare(far, original, evaluation=labelled)
    assert found.candidate_score is not None
    assert found.candidate_score.p_value is not None
    assert found.candidate_score.p_value < 0.05
    assert found.is_valid
