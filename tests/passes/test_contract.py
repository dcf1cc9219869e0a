"""The contract of passes, held against every pass and every ordered pair of passes; a new pass adds no line here."""

from __future__ import annotations

from functools import cache
from itertools import permutations
from pathlib import Path

import onnx_ir as ir
import pytest

from compressor.chain import tolerance_for
from compressor.evaluation.contract import Refusal
from compressor.evaluation.judge import Judge, appoint_judge
from compressor.model.load import load
from compressor.model.save import save
from compressor.model.similarity import permuted_pairs, same_bytes
from compressor.model.size import measure
from compressor.model.skeleton import to_skeleton
from compressor.model.tensors import all_tensors
from compressor.passes.contract import Claim, Pass
from compressor.passes.tied import WORTH_TYING
from compressor.recipe import PASSES
from compressor.report import Fidelity

FIXTURES = sorted((Path(__file__).parents[2] / "fixtures").glob("*.onnx"))
LOSSY_COSINE = 0.98
"""Lowest cosine of a right quantization of these tiny random models; wrong ones fall below 0.9."""

pytestmark = pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
every_pass = pytest.mark.parametrize("name", PASSES)
every_pair = pytest.mark.parametrize("names", list(permutations(PASSES, 2)), ids="+".join)


@cache
def judge_of(path: Path) -> Judge:
    judge = appoint_judge(load(path), seed=0)
    assert isinstance(judge, Judge), judge
    return judge


def apply(step: Pass, model: ir.Model) -> ir.Model:
    return step.run(model.clone()).model


def fidelity_of(path: Path, model: ir.Model) -> Fidelity:
    fidelity = judge_of(path).compare(model)
    assert not isinstance(fidelity, Refusal), fidelity
    return fidelity


def assert_interface_is_kept(before: ir.Model, after: ir.Model) -> None:
    first, second = to_skeleton(before).proto, to_skeleton(after).proto
    assert list(first.graph.input) == list(second.graph.input)
    assert list(first.graph.output) == list(second.graph.output)
    assert list(first.metadata_props) == list(second.metadata_props)
    assert (first.producer_name, first.doc_string, first.domain) == (
        second.producer_name,
        second.doc_string,
        second.domain,
    )


def assert_nothing_dangles(model: ir.Model) -> None:
    for value in model.graph.initializers.values():
        assert value.uses() or value.is_graph_output() or value.is_graph_input(), f"orphan initializer {value.name}"


@every_pass
def test_a_pass_keeps_the_interface_and_leaves_no_orphans(path: Path, name: str) -> None:
    model = load(path)
    after = apply(PASSES[name](), model)
    assert_interface_is_kept(model, after)
    assert_nothing_dangles(after)


@every_pass
def test_a_pass_holds_its_claim(path: Path, name: str) -> None:
    step = PASSES[name]()
    fidelity = fidelity_of(path, apply(step, load(path)))
    if step.claim is Claim.EXACT:
        assert fidelity.is_bit_identical
    elif step.claim is Claim.EQUIVALENT:
        assert fidelity.worst_max_rel <= tolerance_for(measure(load(path)))
    else:
        assert fidelity.worst_cosine is not None
        assert fidelity.worst_cosine >= LOSSY_COSINE


@every_pass
def test_a_second_run_changes_nothing(path: Path, name: str) -> None:
    step = PASSES[name]()
    once = apply(step, load(path))
    again = step.run(once.clone())
    assert not again.is_changed, dict(again.counts)
    assert to_skeleton(again.model).proto == to_skeleton(once).proto


@every_pass
def test_a_pass_makes_no_duplicates_and_nothing_larger(path: Path, name: str) -> None:
    model = load(path)
    before, after = measure(model), measure(apply(PASSES[name](), model))
    assert after.duplicate_bytes <= before.duplicate_bytes
    assert after.all_weight_bytes <= before.all_weight_bytes


@every_pair
def test_passes_work_in_any_order(path: Path, names: tuple[str, str], tmp_path: Path) -> None:
    model = load(path)
    after = model
    for name in names:
        after = apply(PASSES[name](), after)
    assert_interface_is_kept(model, after)
    assert_nothing_dangles(after)
    assert measure(after).duplicate_bytes <= measure(model).duplicate_bytes
    fidelity = fidelity_of(path, after)
    assert fidelity.worst_cosine is not None
    assert fidelity.worst_cosine >= LOSSY_COSINE
    out = tmp_path / "out.onnx"
    save(after, out)
    assert fidelity_of(path, load(out)) == fidelity


def test_the_chain_leaves_no_copy_exact_or_reordered(path: Path, tmp_path: Path) -> None:
    after = load(path)
    for name in PASSES:
        after = apply(PASSES[name](), after)
    assert measure(after).duplicate_bytes == 0
    out = tmp_path / "out.onnx"
    save(after, out)
    weights = [held.tensor for held in all_tensors(load(out)) if held.tensor.nbytes >= WORTH_TYING]
    assert not same_bytes(weights, lambda tensor: tensor)
    assert not list(permuted_pairs(weights, lambda tensor: tensor, lambda tensor: (0,)))
