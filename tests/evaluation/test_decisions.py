"""Choices along the last axis: which entry is largest, whether it is among the first five, how far apart."""

from __future__ import annotations

import math

import numpy as np
import pytest

from compressor.evaluation.contract import Array, Samples
from compressor.evaluation.decisions import compare_choices
from compressor.evaluation.fidelity import measure_fidelity
from compressor.report import Fidelity


def rows(*entries: list[float]) -> Array:
    return np.array(entries, np.float64)


def test_the_originals_choice_is_looked_for_among_the_candidates_five_largest() -> None:
    original = rows([9, 0, 0, 0, 0, 0, 0], [9, 0, 0, 0, 0, 0, 0])
    candidate = rows([1, 2, 3, 4, 5, 0, 0], [1, 2, 3, 4, 5, 6, 0])
    found = compare_choices(original, candidate, are_logits=False)
    assert found.agreement == 0.0
    assert found.listed_agreement == 0.5


def test_rows_of_five_entries_have_no_list() -> None:
    found = compare_choices(rows([1, 2, 3, 4, 5]), rows([5, 4, 3, 2, 1]), are_logits=False)
    assert found.agreement == 0.0
    assert found.listed_agreement is None


def test_divergence_of_logits_is_that_of_their_softmax() -> None:
    p, q = np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.5, 0.25])
    expected = float(np.sum(p * np.log(p / q)))
    found = compare_choices(np.log(p)[None] + 7, np.log(q)[None] - 3, are_logits=True)
    assert found.mean_divergence == pytest.approx(expected)


def test_probabilities_are_compared_as_they_are_and_other_numbers_not_at_all() -> None:
    p, q = np.array([[0.5, 0.5, 0.0]]), np.array([[0.25, 0.25, 0.5]])
    assert compare_choices(p, q, are_logits=False).mean_divergence == pytest.approx(math.log(2))
    assert compare_choices(3 * p, 3 * q, are_logits=False).mean_divergence is None


def test_a_distribution_that_leaves_out_what_the_original_gives_diverges_finitely() -> None:
    found = compare_choices(np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]]), are_logits=False)
    assert found.mean_divergence is not None
    assert 100 < found.mean_divergence < 1000


def test_rows_that_are_not_finite_have_no_divergence() -> None:
    found = compare_choices(rows([0, -math.inf], [0, 1]), rows([0, -math.inf], [0, 1]), are_logits=True)
    assert found.distributions == 1


def measured(original: Array, candidate: Array, samples: Samples, name: str = "logits") -> Fidelity:
    fidelity = measure_fidelity([[original]], [[candidate]], [name], samples)
    assert isinstance(fidelity, Fidelity)
    return fidelity


def test_positions_that_nothing_defines_take_no_part() -> None:
    mask = np.array([[0, 1, 1]], np.int64)
    samples = Samples(batches=({"attention_mask": mask},), generated=True, description="")
    original = np.zeros((1, 3, 8), np.float32)
    original[0, :, 2] = 1
    candidate = np.roll(original, 1, axis=-1)
    candidate[0, 0], candidate[0, 2] = 5, original[0, 2]
    (output,) = measured(original, candidate, samples).outputs
    assert output.top1_agreement == 0.5
    assert output.top5_agreement == 1.0
    one = math.e / (math.e + 7)
    assert output.kl_mean == pytest.approx((one - (1 - one) / 7) / 2, rel=1e-3)
