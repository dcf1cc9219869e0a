"""What the chain says of a pass that holds its claim and still costs something."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx.parser
import onnx_ir as ir
import pytest

from compressor import Recipe, compress
from compressor.chain import REWRITTEN_OTHERWISE, _seems_slower, tolerance_for
from compressor.evaluation.judge import Verdict
from compressor.passes.contract import Claim, Pass, PassResult
from compressor.report import Fidelity, Latency, Outcome, Size


def timed(milliseconds: float) -> Verdict:
    """A model that takes this long where the original takes 10 ms."""
    original, own = (Latency(median_ms=time, runs=9, shape="x 1") for time in (10.0, milliseconds))
    fidelity = Fidelity(samples=1, batches=1, generated=True, outputs=())
    return Verdict(fidelity=fidelity, latency=own, original_latency=original)


def test_suspects_an_equivalent_pass_that_costs_speed() -> None:
    assert _seems_slower(Claim.EQUIVALENT, timed(8), timed(10))


def test_holds_the_first_pass_against_the_original() -> None:
    assert _seems_slower(Claim.EQUIVALENT, None, timed(20))


@pytest.mark.parametrize(
    ("claim", "before", "after"),
    [
        (Claim.EQUIVALENT, 10.0, 10.5),
        (Claim.EQUIVALENT, 10.0, 5.0),
        (Claim.LOSSY, 10.0, 20.0),
        (Claim.EXACT, 10.0, 20.0),
    ],
    ids=["noise", "faster", "lossy, judged by the user", "exact, the same work"],
)
def test_suspects_nothing_of(claim: Claim, before: float, after: float) -> None:
    assert not _seems_slower(claim, timed(before), timed(after))


def test_suspects_nothing_where_nothing_was_timed() -> None:
    assert not _seems_slower(Claim.EQUIVALENT, timed(10), None)


class WorkTwice(Pass):
    """Claims equality, and does what the model did five hundred times over."""

    name: ClassVar[str] = "work"
    claim: ClassVar[Claim] = Claim.EQUIVALENT

    def run(self, model: ir.Model) -> PassResult:
        last = model.graph[-1]
        for turn in range(500):
            turned = ir.node("Neg", [last.inputs[0]], name=f"there_{turn}")
            back = ir.node("Neg", [turned.outputs[0]], name=f"back_{turn}")
            model.graph.insert_before(last, [turned, back])
            last.replace_input_with(0, back.outputs[0])
        return PassResult(model=model, counts={"turns": 500})


def test_says_by_how_much_a_pass_slows_the_model_down_when_the_two_were_raced(tmp_path: Path) -> None:
    drawn = """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[n, 400, 400] x) => (float[n, 400, 400] y) { y = Relu(x) }
    """
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx.parser.parse_model(drawn).SerializeToString())
    (step,) = compress(path, recipe=Recipe((WorkTwice(),))).steps
    said = re.search(r"on this host the result runs at ([\d.]+) times the speed", step.reason)
    assert said is not None, step
    assert float(said[1]) < 0.5


@pytest.mark.parametrize(("kind", "bound"), [("FLOAT", 1e-4), ("FLOAT16", 2**-7), ("BFLOAT16", 2**-7)])
def test_allows_half_precision_more_rounding(kind: str, bound: float) -> None:
    assert tolerance_for(Size(total_bytes=8, weight_bytes={kind: 4, "INT64": 4})) == bound


NORMALIZATION = """
    <ir_version: 8, opset_import: ["" : 17]> g (float[N, 8] x) => (float[N, 8] y)
    <float two = {2.0}, float eps = {0.00001}, float[8] g = {1, 2, 3, 4, 5, 6, 7, 8}> {
        m = ReduceMean <axes = [-1]> (x) d = Sub(x, m) q = Pow(d, two) v = ReduceMean <axes = [-1]> (q)
        e = Add(v, eps) r = Sqrt(e) z = Div(d, r) y = Mul(z, g) }
"""


class Square(Pass):
    """Multiplies where the model raises to a power: the same bits, but ONNX Runtime sees no normalization any more."""

    name: ClassVar[str] = "square"
    claim: ClassVar[Claim] = Claim.EXACT
    eps: ClassVar[float] = 0.00001

    def run(self, model: ir.Model) -> PassResult:
        power = next(node for node in model.graph if node.op_type == "Pow")
        squared = ir.node("Mul", [power.inputs[0], power.inputs[0]], name="")
        model.graph.insert_before(power, squared)
        ir.convenience.replace_all_uses_with(power.outputs[0], squared.outputs[0])
        model.graph.remove(power, safe=True)
        del model.graph.initializers["two"]
        model.graph.initializers["eps"].const_value = ir.tensor(np.float32(self.eps), name="eps")
        return PassResult(model=model, counts={"powers_squared": 1})


class SquareInexactly(Square):
    """Claims as much, and moves outputs by a few bits."""

    eps: ClassVar[float] = 0.000011


class SquareWrongly(Square):
    """Claims as much, and computes something else."""

    eps: ClassVar[float] = 1.0


def drawn_normalization(folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(onnx.parser.parse_model(NORMALIZATION).SerializeToString())
    return path


def test_keeps_an_exact_pass_after_which_the_runtime_rewrites_the_graph_otherwise(tmp_path: Path) -> None:
    (step,) = compress(drawn_normalization(tmp_path), recipe=Recipe((Square(),))).steps
    assert step.outcome is Outcome.KEPT, step.reason
    assert step.fidelity is not None
    assert not step.fidelity.is_bit_identical  # the case is what it is taken for
    assert REWRITTEN_OTHERWISE in step.reason


@pytest.mark.parametrize("broken", [SquareInexactly(), SquareWrongly()])
def test_holds_an_exact_pass_to_the_last_bit_of_the_graph_as_it_stands(tmp_path: Path, broken: Pass) -> None:
    (step,) = compress(drawn_normalization(tmp_path), recipe=Recipe((broken,))).steps
    assert step.outcome is Outcome.ROLLED_BACK
    assert "the same to the last bit" in step.reason
