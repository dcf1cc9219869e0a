"""The pipeline and the command on the user's own data: scores after every pass, and mistakes in one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from compressor import Evaluation, OptionError, Recipe, compress, compress_together
from compressor.passes.contract import Claim, Pass, PassResult
from compressor.render.as_markdown import report_as_markdown
from compressor.render.forms import forms_of_report
from compressor.render.terminal import print_report
from compressor.report import Outcome
from tests.conftest import FIXTURES
from tests.evaluation.data.drawn import write_config, write_model, write_tokenizer

CLASSIFIER = FIXTURES / "albert-banking77"
QUESTIONS = Evaluation(data=CLASSIFIER / "questions.csv", labels="category")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_tokenizer(tmp_path)
    write_config(tmp_path, architectures=["BertForSequenceClassification"], id2label={"0": "no", "1": "yes"})
    rows = "".join(f"{text},{label}\n" for text, label in (("good film", "yes"), ("bad", "no"), ("very bad", "yes")))
    (tmp_path / "d.csv").write_text(f"text,label\n{rows}")
    return write_model(tmp_path)


def labelled(source: Path) -> Evaluation:
    return Evaluation(data=source.parent / "d.csv", labels="label")


@dataclass(frozen=True)
class TurnTable(Pass):
    """Swap the classes: every answer changes."""

    name: ClassVar[str] = "turn"
    claim: ClassVar[Claim] = Claim.LOSSY

    def run(self, model: ir.Model) -> PassResult:
        value = model.graph.initializers["table"]
        assert value.const_value is not None
        value.const_value = ir.tensor(value.const_value.numpy()[:, ::-1].copy(), name="table")
        return PassResult(model=model, counts={"tables_turned": 1})


@dataclass(frozen=True)
class CountMask(Pass):
    """Take a mask for padding on the right, which text has and made-up inputs do not always have."""

    name: ClassVar[str] = "count"
    claim: ClassVar[Claim] = Claim.EQUIVALENT

    def run(self, model: ir.Model) -> PassResult:
        mask = model.graph.inputs[1]
        (use,) = mask.uses()
        length = ir.node("Shape", [mask])
        one = ir.node("Gather", [length.outputs[0], model.graph.initializers["middle"]])
        best = ir.node("TopK", [mask, one.outputs[0]], num_outputs=2)
        model.graph.insert_before(use.node, [length, one, best])
        use.node.replace_input_with(use.idx, best.outputs[0])
        return PassResult(model=model, counts={"masks_counted": 1})


def test_every_pass_has_a_score_and_the_last_one_is_explained(source: Path) -> None:
    report = compress(source, recipe=Recipe((TurnTable(),)), evaluation=labelled(source))
    assert report.original_score is not None
    assert (report.original_score.value, report.original_score.samples) == (2 / 3, 3)
    (step,) = report.steps
    assert step.score is not None
    assert (step.score.value, step.score.wins, step.score.losses) == (1 / 3, 1, 2)
    assert step.fidelity is not None
    assert not step.fidelity.generated
    assert report.samples == "3 rows of d.csv in batches of 16, the shortest first"
    assert any("the labels are taken for classification" in warning for warning in report.warnings)


def test_every_printed_form_has_the_score(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = compress(source, recipe=Recipe((TurnTable(),)), evaluation=labelled(source))
    forms = forms_of_report(report, verbose=False)
    print_report(forms.table)
    table = capsys.readouterr().out
    words = " ".join(table.split())
    for said in ("accuracy", "66.67 %", "33.33 %", "Inputs: 3 rows of d.csv"):
        assert said in words
    assert "became 33.33 % (1 better, 2 worse; no more than chance gives, p = 1.00)" in words
    assert max(map(len, table.splitlines()[1:])) <= 80
    assert "| 33.33 % +1 -2 p = 1.00 |" in report_as_markdown(report)
    step = json.loads(forms.json)["steps"][0]
    assert (step["score"]["metric"], step["score"]["wins"]) == ("accuracy", 1)


def test_a_claim_that_holds_on_the_data_alone_is_broken(source: Path) -> None:
    report = compress(source, recipe=Recipe((CountMask(),)), evaluation=labelled(source))
    (step,) = report.steps
    assert step.outcome is Outcome.ROLLED_BACK
    assert "it promises a relative difference of at most" in step.reason
    assert report.original_score is not None


def test_a_lossy_pass_reports_figures_of_the_data(source: Path) -> None:
    report = compress(
        source, recipe=Recipe.from_names(["deduplicate"]), evaluation=Evaluation(data=source.parent / "d.csv")
    )
    assert report.original_score is None
    assert report.steps[0].score is None
    assert report.steps[0].fidelity is not None
    assert report.steps[0].fidelity.samples == 3


def test_the_trained_classifier_answers_as_many_questions_as_its_readme_says() -> None:
    report = compress(CLASSIFIER / "model.onnx", recipe=Recipe.from_names(["deduplicate"]), evaluation=QUESTIONS)
    scores = [report.original_score, report.steps[0].score]
    assert [round(score.value * score.samples) for score in scores if score is not None] == [278, 278]
    assert [score.samples for score in scores if score is not None] == [308, 308]


def test_data_is_refused_where_it_cannot_be_used(source: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="leave out --no-verify or --data"):
        compress(source, evaluation=labelled(source), verify=False)
    with pytest.raises(OptionError, match="data fits one model at a time"):
        compress_together([source, source.with_name("other.onnx")], tmp_path / "out", evaluation=labelled(source))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": "x"}, "labels says something of data, and no data is given; add --data FILE"),
        ({"samples": 0}, "samples is 0; it takes a number of at least 1"),
        ({"seed": -1}, "seed is -1; it takes a number of at least 0"),
        ({"threads": -1}, "threads is -1; it takes a number of at least 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"task": "guessing"}, "there is no task 'guessing'; choose from classification, multi-label"),
        ({"data": Path("d"), "text_columns": ("a", "b", "c")}, "3 text columns are named; a model takes one text"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Evaluation(**settings)  # type: ignore[arg-type]  # that is what is tested


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "80"}
    command = [sys.executable, "-m", "compressor", *map(str, arguments)]
    root = Path(__file__).parent.parent
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, env=environment)


def test_the_command_scores_and_holds_the_budget(source: Path, tmp_path: Path) -> None:
    common = ("compress", source, "-o", tmp_path / "out.onnx", "--passes", "deduplicate", "--json", "-")
    done = run(*common, "--data", tmp_path / "d.csv", "--labels", "label", "--max-accuracy-drop", "0")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["original_score"]["value"] == pytest.approx(2 / 3)
    assert report["broken_limits"] == []


def test_the_command_compares_with_labels(source: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    proto = onnx.load(source)
    (table,) = (weight for weight in proto.graph.initializer if weight.name == "table")
    table.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(table), "table"))
    onnx.save(proto, tmp_path / "other/model.onnx")
    options = ("--data", tmp_path / "d.csv", "--labels", "label", "--max-accuracy-drop", "5", "--json", "-")
    done = run("compare", source, tmp_path / "other/model.onnx", *options)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert (found["original_score"]["samples"], found["candidate_score"]["losses"]) == (3, 2)
    assert "accuracy went from 0.6667 to 0.3333" in found["broken_limits"][0]


def test_a_mistake_in_the_data_ends_the_command_with_one_sentence(source: Path, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text,label\ngood,yes\nbad,maybe\n")
    done = run("compress", source, "-o", tmp_path / "out.onnx", "--data", tmp_path / "d.csv", "--labels", "label")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "row 2, column 'label': label 'maybe' is none of the 2 labels in" in done.stderr
    assert not (tmp_path / "out.onnx").exists()
