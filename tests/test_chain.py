"""What the chain says of a pass that holds its claim and still costs something."""

from __future__ import annotations

import pytest

from compressor.chain import _slowdown, tolerance_for
from compressor.evaluation.judge import Verdict
from compressor.passes.contract import Claim
from compressor.report import Fidelity, Latency, Size


def timed(milliseconds: float) -> Verdict:
    """A model that takes this long where the original takes 10 ms."""
    original, own = (Latency(median_ms=time, runs=9, shape="x 1") for time in (10.0, milliseconds))
    fidelity = Fidelity(samples=1, batches=1, generated=True, outputs=())
    return Verdict(fidelity=fidelity, latency=own, original_latency=original)


def test_says_that_an_equivalent_pass_costs_speed() -> None:
    assert _slowdown(Claim.EQUIVALENT, timed(8), timed(10)).startswith("on this host the result runs at 0.80 times")


def test_holds_the_first_pass_against_the_original() -> None:
    assert "0.50 times" in _slowdown(Claim.EQUIVALENT, None, timed(20))


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
def test_says_nothing_of(claim: Claim, before: float, after: float) -> None:
    assert _slowdown(claim, timed(before), timed(after)) == ""


def test_says_nothing_where_nothing_was_timed() -> None:
    assert _slowdown(Claim.EQUIVALENT, timed(10), None) == ""


@pytest.mark.parametrize(("kind", "bound"), [("FLOAT", 1e-4), ("FLOAT16", 2**-7), ("BFLOAT16", 2**-7)])
def test_allows_half_precision_more_rounding(kind: str, bound: float) -> None:
    assert tolerance_for(Size(total_bytes=8, weight_bytes={kind: 4, "INT64": 4})) == bound
