"""Limits: what breaks them, by how much, and what cannot be checked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compressor.budget import Budget, Figures
from compressor.errors import OptionError
from compressor.report import Fidelity, OutputFidelity, TaskScore


def fidelity(cosine: float | None = 0.97, agreement: float | None = 0.9) -> Fidelity:
    output = OutputFidelity(
        name="y", bit_identical=False, cosine_mean=cosine, cosine_min=cosine, sqnr_db=20.0, max_abs=0.1, max_rel=0.1,
        top1_agreement=agreement,
    )  # fmt: skip
    return Fidelity(samples=8, batches=2, generated=True, outputs=(output,))


def score(value: float, *, is_less_better: bool = False) -> TaskScore:
    return TaskScore(
        task="classification", metric="accuracy", value=value, low=0.0, high=1.0, samples=100,
        is_less_better=is_less_better,
    )  # fmt: skip


FOUND = Figures(total_bytes=30, original_bytes=100, fidelity=fidelity(), speedup=1.5)


def test_a_budget_without_limits_is_never_broken() -> None:
    assert Budget().broken(replace(FOUND, fidelity=None, speedup=None)) == ()


@pytest.mark.parametrize(
    "budget",
    [
        Budget(min_cosine=0.97),
        Budget(min_agreement=0.9),
        Budget(min_speedup=1.5),
        Budget(max_size="30"),
        Budget(max_size="30%"),
        Budget(max_size="0.03 kB"),
        Budget(max_size="1MiB"),
    ],
)
def test_a_limit_that_is_just_met_holds(budget: Budget) -> None:
    assert budget.broken(FOUND) == ()


@pytest.mark.parametrize(
    ("budget", "sentence"),
    [
        (
            Budget(min_cosine=0.98),
            "the cosine similarity of the worst row is 0.97, 0.01 below the limit of 0.98",
        ),
        (Budget(min_agreement=0.95), "top-1 agreement is 0.9, 0.05 below the limit of 0.95"),
        (Budget(min_speedup=2), "the speed against the original's is 1.5, 0.5 below the limit of 2"),
        (Budget(max_size="29"), "the size is 30 bytes, 1 more than the limit of 29 bytes"),
        (Budget(max_size="20%"), "the size is 30 bytes, 10 more than the limit of 20% (20 bytes)"),
        (Budget(max_accuracy_drop=1.0), "no task was scored, so the limit of 1 on its loss cannot be checked"),
    ],
)
def test_a_broken_limit_says_both_values_and_the_difference(budget: Budget, sentence: str) -> None:
    assert budget.broken(FOUND) == (sentence,)


def test_a_value_is_never_rounded_to_the_limit_it_misses() -> None:
    (sentence,) = Budget(min_cosine=0.99).broken(replace(FOUND, fidelity=fidelity(cosine=0.98999999)))
    assert "is 0.98999999, 1e-08 below" in sentence


def test_what_was_not_measured_breaks_its_limit() -> None:
    unknown = replace(FOUND, fidelity=fidelity(cosine=None, agreement=None), speedup=None)
    broken = Budget(min_cosine=0.5, min_agreement=0.5, min_speedup=1).broken(unknown)
    assert len(broken) == 3
    assert all("was not measured" in sentence for sentence in broken)


def test_not_a_number_meets_no_limit() -> None:
    assert Budget(min_cosine=0.5).broken(replace(FOUND, fidelity=fidelity(cosine=float("nan"))))


@pytest.mark.parametrize(
    ("before", "after", "is_less_better", "loss"),
    [(0.90, 0.88, False, "2 points"), (20.0, 21.0, True, "5 percent")],
)
def test_a_loss_of_the_metric_is_in_points_or_in_percent_where_less_is_better(
    before: float, after: float, is_less_better: bool, loss: str
) -> None:
    scored = replace(
        FOUND,
        score=score(after, is_less_better=is_less_better),
        original_score=score(before, is_less_better=is_less_better),
    )
    (sentence,) = Budget(max_accuracy_drop=1).broken(scored)
    assert f"a loss of {loss}; the limit is 1" in sentence
    assert Budget(max_accuracy_drop=6).broken(scored) == ()


def test_a_gain_breaks_no_limit_on_losses() -> None:
    assert Budget(max_accuracy_drop=0).broken(replace(FOUND, score=score(0.9), original_score=score(0.8))) == ()


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"min_agreement": 1.5}, "min_agreement is 1.5; it takes a number from 0 to 1"),
        ({"min_cosine": float("nan")}, "min_cosine is nan"),
        ({"max_accuracy_drop": -1.0}, "max_accuracy_drop is -1; it takes a number of at least 0"),
        ({"min_speedup": float("inf")}, "min_speedup is inf"),
        ({"max_size": "25 apples"}, "max_size is '25 apples'; it takes bytes"),
        ({"max_size": "-3"}, "max_size is '-3'"),
        ({"max_size": "9" * 400}, "max_size is a number of 400 digits; it takes less than 1e.18"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(limits: dict[str, float | str], words: str) -> None:
    with pytest.raises(OptionError, match=words.replace("(", "\\(")):
        Budget(**limits)  # type: ignore[arg-type]  # wrong values are the point


def test_says_which_limits_need_the_models_to_be_run() -> None:
    assert Budget(max_size="3").needs_runs == ()
    assert Budget(max_size="3", min_cosine=0.9, min_speedup=1).needs_runs == ("min_cosine", "min_speedup")
