"""The pipeline: measure after every pass, hold it to its claim, keep or roll back, write whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from compressor import Budget, ModelError, OptionError, OutputError, Recipe, compress
from compressor.passes.contract import Claim, Pass, PassResult
from compressor.report import Outcome, Report

MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
agraph (float[n, 2] x) => (float[n, 2] y) <float[2] a = {1, 2}, float[2] b = {1, 2}> {
    p = Mul(x, a)
    y = Add(p, b)
}
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path, MODEL)


def write(folder: Path, text: str) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
    return path


@dataclass(frozen=True)
class Scale(Pass):
    """Multiply initializer ``b`` by a factor: a change of known size."""

    factor: float = 1.0
    name: ClassVar[str] = "scale"
    claim: ClassVar[Claim] = Claim.EQUIVALENT

    def run(self, model: ir.Model) -> PassResult:
        value = model.graph.initializers["b"]
        assert value.const_value is not None
        value.const_value = ir.tensor(value.const_value.numpy() * np.float32(self.factor), name="b")
        return PassResult(model=model, counts={"scaled": 1}, note=f"factor {self.factor}")


@dataclass(frozen=True)
class ExactScale(Scale):
    claim: ClassVar[Claim] = Claim.EXACT


@dataclass(frozen=True)
class LossyScale(Scale):
    claim: ClassVar[Claim] = Claim.LOSSY


@dataclass(frozen=True)
class Choice(Scale):
    """Offer two results, the first of which is wrong."""

    def alternatives(self, model: ir.Model) -> Iterator[PassResult]:
        yield Scale(factor=2.0).run(model.clone())
        yield Scale(factor=1.0 + 1e-6).run(model.clone())


@dataclass(frozen=True)
class Defect(Scale):
    def run(self, model: ir.Model) -> PassResult:
        raise KeyError("no such thing")


def run_with(source: Path, *steps: Pass, out: Path | None = None) -> Report:
    return compress(source, out, recipe=Recipe(steps))


def test_compresses_and_writes_what_it_reports(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.onnx"
    report = compress(source, out, recipe=Recipe.from_names(["deduplicate"]))
    (step,) = report.steps
    assert step.outcome is Outcome.KEPT
    assert step.fidelity is not None
    assert step.fidelity.is_bit_identical
    assert report.final.total_bytes == out.stat().st_size < report.original.total_bytes == source.stat().st_size
    assert report.is_verified


def test_leaves_the_source_as_it_is(source: Path, tmp_path: Path) -> None:
    before = source.read_bytes()
    compress(source, tmp_path / "small.onnx")
    assert source.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "small.onnx"}


def test_writes_nothing_without_an_output(source: Path, tmp_path: Path) -> None:
    report = compress(source)
    assert report.output is None
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_rolls_back_an_exact_pass_that_changes_one_bit(source: Path) -> None:
    (step,) = run_with(source, ExactScale(factor=1.0 + 2**-22)).steps
    assert step.outcome is Outcome.ROLLED_BACK
    assert "same to the last bit" in step.reason


def test_keeps_an_equivalent_pass_within_rounding(source: Path) -> None:
    (step,) = run_with(source, Scale(factor=1.0 + 2**-22)).steps
    assert step.outcome is Outcome.KEPT
    assert step.fidelity is not None
    assert 0 < step.fidelity.worst_max_rel < 1e-6


def test_rolls_back_an_equivalent_pass_that_changes_values(source: Path) -> None:
    report = run_with(source, Scale(factor=1.01))
    (step,) = report.steps
    assert step.outcome is Outcome.ROLLED_BACK
    assert "output 'y' differs by" in step.reason
    assert step.fidelity is None
    assert not report.is_verified


def test_rolls_back_an_equivalent_pass_that_flips_truth_values(tmp_path: Path) -> None:
    text = MODEL.replace("float[n, 2] y) <", "float[n, 2] x2, bool[n, 2] y) <").replace(
        "y = Add(p, b)", "x2 = Neg(x) s = Add(p, b) y = Greater(s, a)"
    )
    path = write(tmp_path, text)
    assert run_with(path, Scale(factor=1 + 1e-7)).steps[0].outcome is Outcome.KEPT
    (step,) = run_with(path, Scale(factor=-3.0)).steps
    assert step.outcome is Outcome.ROLLED_BACK
    assert "output 'y' differs in " in step.reason


def test_the_model_after_a_roll_back_is_the_one_before(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    run_with(source, Scale(factor=1.01), out=out)
    assert onnx.load(out).graph.initializer[1].float_data[:] == onnx.load(source).graph.initializer[1].float_data[:]


def test_takes_the_first_alternative_that_holds_its_claim_and_says_what_was_withdrawn(source: Path) -> None:
    (step,) = run_with(source, Choice()).steps
    assert step.outcome is Outcome.KEPT
    assert "factor 2.0 was withdrawn: it promises" in step.reason


def test_lets_a_lossy_pass_change_values_and_measures_them(source: Path) -> None:
    (step,) = run_with(source, LossyScale(factor=1.5)).steps
    assert step.outcome is Outcome.KEPT
    assert step.fidelity is not None
    assert step.fidelity.worst_max_rel > 0.01


def test_refuses_outputs_that_are_no_longer_finite(source: Path) -> None:
    (step,) = run_with(source, LossyScale(factor=float("inf"))).steps
    assert step.outcome is Outcome.ROLLED_BACK
    assert "finite" in step.reason


def test_holds_an_exact_pass_to_its_claim_after_a_lossy_one(source: Path) -> None:
    report = run_with(source, LossyScale(factor=1.5), ExactScale(factor=1.0 + 2**-10))
    assert [step.outcome for step in report.steps] == [Outcome.KEPT, Outcome.ROLLED_BACK]


def test_a_defect_in_one_pass_is_reported_and_does_not_stop_the_others(source: Path, tmp_path: Path) -> None:
    report = run_with(source, Defect(), Scale(factor=1.0 + 1e-6), out=tmp_path / "out.onnx")
    assert [step.outcome for step in report.steps] == [Outcome.ROLLED_BACK, Outcome.KEPT]
    assert "KeyError" in report.steps[0].reason
    assert "defect" in report.steps[0].reason


def test_a_pass_that_gets_no_memory_is_no_defect(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(step: Defect, model: ir.Model) -> PassResult:
        raise MemoryError

    monkeypatch.setattr(Defect, "run", fail)
    (step,) = run_with(source, Defect()).steps
    assert (step.outcome, step.reason) == (Outcome.ROLLED_BACK, "there is not enough memory for it")


def test_says_when_the_model_cannot_be_run(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        """
<ir_version: 8, opset_import: ["" : 17, "mine" : 1]>
agraph (float[2] x) => (float[2] y) <float[2] a = {1, 2}, float[2] b = {1, 2}> {
    p = mine.MyOp(x, a)
    y = Add(p, b)
}
""",
    )
    report = compress(source, recipe=Recipe.from_names(["deduplicate"]))
    assert any("nothing could be measured" in warning for warning in report.warnings)
    assert report.steps[0].counts == {"initializers_merged": 1}
    assert not report.is_verified


@dataclass(frozen=True)
class Unloadable(Scale):
    """Leave a model that no runtime loads."""

    def run(self, model: ir.Model) -> PassResult:
        for node in model.graph:
            node.op_type = "NoSuchOperator" if node.op_type == "Reshape" else node.op_type
        return PassResult(model=model, counts={"broken": 1})


def test_holds_what_cannot_be_run_to_loading(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        """
<ir_version: 8, opset_import: ["" : 17]>
agraph (float[n] x) => (float[m] y) <int64[1] impossible = {-1000003}> {
    d = Shape(x)
    s = Mul(d, impossible)
    y = Reshape(x, s)
}
""",
    )
    report = run_with(source, Unloadable())
    assert any("nothing could be measured" in warning for warning in report.warnings)
    assert report.steps[0].outcome is Outcome.ROLLED_BACK
    assert "cannot load" in report.steps[0].reason


def test_does_not_judge_outputs_that_are_random(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        """
<ir_version: 8, opset_import: ["" : 17]>
agraph (float[n, 2] x) => (float[n, 2] y, float[n, 2] z) <float[2] a = {1, 2}, float[2] b = {1, 2}> {
    p = Mul(x, a)
    y = Add(p, b)
    z = RandomNormalLike(x)
}
""",
    )
    report = compress(source, recipe=Recipe.from_names(["deduplicate"]))
    assert report.steps[0].outcome is Outcome.KEPT
    assert any("'z' is not judged" in warning for warning in report.warnings)


def test_without_verification_nothing_is_claimed(source: Path) -> None:
    report = compress(source, verify=False)
    assert all(step.fidelity is None and step.latency is None for step in report.steps)
    assert not report.is_verified
    assert any("accuracy is unknown" in warning for warning in report.warnings)


def test_refuses_an_existing_output_before_doing_any_work(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "there.onnx"
    out.write_bytes(b"old")
    with pytest.raises(OutputError, match="exists"):
        compress(source, out)
    assert out.read_bytes() == b"old"
    compress(source, out, force=True)
    onnx.checker.check_model(onnx.load(out))


def test_refuses_the_source_as_output_even_by_force(source: Path) -> None:
    before = source.read_bytes()
    with pytest.raises(OutputError, match="never written"):
        compress(source, source, force=True)
    assert source.read_bytes() == before


def test_refuses_a_file_that_is_not_a_model(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="is empty"):
        compress(path, tmp_path / "out.onnx")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]


def test_the_second_run_on_its_own_output_changes_nothing(source: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    compress(source, first)
    report = compress(first, second)
    assert all(step.outcome is Outcome.UNCHANGED for step in report.steps)
    assert first.read_bytes() == second.read_bytes()


def test_the_same_command_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    compress(source, first)
    compress(source, second)
    assert first.read_bytes() == second.read_bytes()


def test_tells_what_it_is_doing(source: Path) -> None:
    told: list[str] = []
    compress(source, recipe=Recipe.from_names(["deduplicate"]), progress=told.append)
    assert told[0] == "reading the model"
    assert "deduplicate" in told


def test_a_broken_limit_leaves_nothing_written_unless_the_result_is_kept(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.onnx"
    report = compress(source, out, budget=Budget(max_size="10"))
    assert not out.exists()
    assert report.output is None
    assert len(report.broken_limits) == 1
    kept = compress(source, out, budget=Budget(max_size="10"), keep=True)
    assert out.exists()
    assert kept.broken_limits == report.broken_limits


def test_a_limit_that_holds_changes_nothing(source: Path, tmp_path: Path) -> None:
    report = compress(source, tmp_path / "small.onnx", budget=Budget(max_size="1MB", min_cosine=0.9))
    assert report.broken_limits == ()
    assert report.output == tmp_path / "small.onnx"


def test_a_limit_on_outputs_is_refused_where_nothing_may_be_run(source: Path) -> None:
    with pytest.raises(OptionError, match="min_cosine: can only be checked by running"):
        compress(source, verify=False, budget=Budget(min_cosine=0.9))
