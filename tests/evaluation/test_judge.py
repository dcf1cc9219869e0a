"""The judge: the user's samples decide the figures, made-up ones hold claims, and memory stays bounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from compressor import OptionError
from compressor.evaluation import reference
from compressor.evaluation.contract import Feeds, Refusal, Samples
from compressor.evaluation.judge import Judge, appoint_judge
from compressor.evaluation.material import Material
from compressor.model.load import load
from tests.evaluation.data.drawn import parse, read, write_model, write_tokenizer

MASKED_MEAN = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[batch, sequence] x, int64[batch, sequence] attention_mask) => (float[batch, 1] y) <int64[1] last = {1}> {
    mask = Cast<to = 1>(attention_mask)
    seen = Mul(x, mask)
    y = ReduceSum(seen, last)
}
"""
# Takes the mask for padding on the right: as many entries from the start as the mask has ones.
SORTED = MASKED_MEAN.replace(
    "mask = Cast<to = 1>(attention_mask)",
    """shape = Shape(attention_mask)
    length = Gather(shape, last)
    descending, places = TopK(attention_mask, length)
    mask = Cast<to = 1>(descending)""",
)


def rows(*masks: list[int]) -> Material:
    """Samples of ones with these masks, a batch each."""
    batches: tuple[Feeds, ...] = tuple(
        {"x": np.ones((1, len(mask)), np.float32), "attention_mask": np.array([mask], np.int64)} for mask in masks
    )
    places = tuple((number,) for number in range(len(masks)))
    return Material(samples=Samples(batches=batches, generated=False, description="drawn", places=places))


def appointed(model: ir.Model, material: Material | None) -> Judge:
    judge = appoint_judge(model, threads=1, material=material)
    assert isinstance(judge, Judge), judge
    return judge


def test_a_mask_taken_for_padding_on_the_right_shows_on_made_up_inputs_where_the_data_hides_it() -> None:
    judge = appointed(parse(MASKED_MEAN), rows([1, 1, 0], [1, 1, 1, 1]))
    verdict = judge.assess(parse(SORTED))
    assert not isinstance(verdict, Refusal)
    assert verdict.fidelity.is_bit_identical
    assert not verdict.fidelity.generated
    assert verdict.rehearsal is not None
    assert not verdict.rehearsal.is_bit_identical
    assert verdict.rehearsal.generated


def test_where_made_up_inputs_do_not_run_the_report_says_that_the_data_is_alone() -> None:
    # Takes rows of 11 entries, which nothing in the signature says, and no constant.
    text = MASKED_MEAN.replace(
        "y = ReduceSum(seen, last)", "target = Sub(more, four) row = Reshape(seen, target) y = ReduceSum(row, last)"
    ).replace("<int64[1] last = {1}>", "<int64[1] last = {1}, int64[2] more = {5, 15}, int64[2] four = {4, 4}>")
    judge = appointed(parse(text), rows([1] * 11))
    assert judge.rehearsal is None
    assert judge.samples.notes[-1].startswith(
        "whether a pass keeps its claim is checked on the data alone: no input made"
    )


def test_without_data_there_is_one_set_of_inputs() -> None:
    judge = appointed(parse(MASKED_MEAN), None)
    assert judge.rehearsal is None
    assert judge.samples.generated


def test_outputs_beyond_what_may_be_kept_are_computed_again_and_compare_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = parse(MASKED_MEAN), parse(MASKED_MEAN.replace("Mul(x, mask)", "Add(x, mask)"))
    material = rows(*([1, 1, 1] for _ in range(9)))
    whole = appointed(model, material)
    monkeypatch.setattr(reference, "KEPT_BYTES", 10)
    bounded = appointed(model, material)
    assert [len(judge.reference.kept) for judge in (whole, bounded)] == [9, 2]
    assert bounded.compare(other) == whole.compare(other)
    assert bounded.reference.shapes == whole.reference.shapes == (("1x1",),)


def test_progress_counts_rows() -> None:
    said: list[str] = []
    material = rows([1, 1], [1, 1])
    judge = appoint_judge(parse(MASKED_MEAN), threads=1, material=material, tell=said.append)
    assert isinstance(judge, Judge)
    judge.assess(parse(MASKED_MEAN))
    assert said == ["1 of 2 rows", "2 of 2 rows"] * 2


def test_data_that_the_model_does_not_run_on_is_an_error_and_says_why() -> None:
    model = parse(MASKED_MEAN.replace("y = ReduceSum(seen, last)", "y = Reshape(seen, last)"))
    with pytest.raises(
        OptionError, match=r"the data cannot be used: the model does not run on x 1x3, attention_mask 1x3"
    ):
        appoint_judge(model, threads=1, material=rows([1, 1, 1]))


def test_a_candidate_is_scored_on_the_same_rows(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    source = write_model(tmp_path)
    (tmp_path / "d.csv").write_text("text,label\ngood film,1\nbad,0\na very bad film,0\ngood good,1\nbad bad good,1\n")
    material = read(source, tmp_path / "d.csv", labels="label", batch_size=2)
    judge = appointed(load(source), material)
    assert judge.original_score is not None
    assert judge.original_score.scores.tolist() == [1, 1, 1, 1, 0]
    turned = load(source)
    table = turned.graph.initializers["table"]
    assert table.const_value is not None
    table.const_value = ir.tensor(table.const_value.numpy()[:, ::-1].copy(), name="table")
    verdict = judge.judge(turned)
    assert not isinstance(verdict, Refusal)
    assert verdict.score is not None
    assert (verdict.score.value, verdict.score.wins, verdict.score.losses) == (0.2, 1, 4)
    assert verdict.latency is not None
    same = judge.assess(load(source))
    assert not isinstance(same, Refusal)
    assert same.score is not None
    assert (same.score.value, same.score.p_value, same.latency) == (0.8, 1, None)


def test_outputs_that_are_not_those_of_the_task_are_the_users_mistake(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    source = write_model(tmp_path)
    (tmp_path / "d.csv").write_text("text,label\ngood film,5\n")
    material = read(source, tmp_path / "d.csv", labels="label")
    with pytest.raises(OptionError, match="row 1, column 'label': label 5 is not one of the 2 classes"):
        appoint_judge(load(source), material=material)


def test_an_output_drawn_by_chance_cannot_be_scored(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[batch, 2] x) => (float[batch, 2] logits, float[batch, 2] z) {
        logits = RandomUniformLike(x)
        z = Neg(x)
    }"""
    source = write_model(tmp_path, text)
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 2), np.float32), y=np.zeros(4, np.int64))
    material = read(source, tmp_path / "d.npz", labels="y", task="classification")
    with pytest.raises(OptionError, match="output 'logits' cannot be scored: it differs when the model is run again"):
        appoint_judge(load(source), material=material)
