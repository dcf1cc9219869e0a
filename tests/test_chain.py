"""What the chain says of a pass that holds its claim and still costs something."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import onnx.parser
import onnx_ir as ir
import pytest

from compressor import Recipe, compress
from compressor.chain import _seems_slower, tolerance_for
from compressor.evaluation.judge import Verdict
from compressor.passes.contract import Claim, Pass, PassResult
from compressor.report import Fidelity, Latency, Size


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
