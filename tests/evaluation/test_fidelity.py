"""Figures that hold one set of outputs against another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from compressor.evaluation.contract import Array, Feeds, Refusal, Samples
from compressor.evaluation.fidelity import measure_fidelity
from compressor.report import Fidelity, OutputFidelity


def compare(original: object, candidate: object, *, name: str = "y", feeds: Feeds | None = None) -> Any:
    """Measure one output of one batch; the caller knows whether figures or a refusal come back."""
    samples = Samples(batches=(feeds or {"x": np.zeros((2, 1))},), generated=True, description="")
    return measure_fidelity([[original]], [[candidate]], [name], samples)


def figures(original: object, candidate: object, **options: Any) -> OutputFidelity:
    fidelity = compare(original, candidate, **options)
    assert isinstance(fidelity, Fidelity), fidelity
    (output,) = fidelity.outputs
    return output


def array(*rows: Sequence[float], dtype: Any = np.float32) -> Array:
    return np.array(rows, dtype=dtype)


def test_equal_outputs_are_equal_in_every_figure() -> None:
    found = figures(array([1, 2], [3, -4]), array([1, 2], [3, -4]))
    assert found.bit_identical
    assert found.cosine_min == found.cosine_mean == pytest.approx(1.0)
    assert found.sqnr_db == math.inf
    assert found.max_abs == found.max_rel == 0.0
    assert found.top1_agreement == 1.0


def test_figures_follow_their_formulas() -> None:
    found = figures(array([3, 4], [1, 0]), array([3, 4], [0, 1]))
    assert not found.bit_identical
    assert found.cosine_mean == pytest.approx(0.5)
    assert found.cosine_min == pytest.approx(0.0)
    assert found.sqnr_db == pytest.approx(10 * math.log10(26 / 2))
    assert found.max_abs == 1.0
    assert found.max_rel == pytest.approx(0.25)
    assert found.top1_agreement == 0.5


def test_negative_zero_and_nan_payload_are_not_the_same_bytes() -> None:
    assert not figures(array([0.0, 1]), array([-0.0, 1])).bit_identical
    nans = np.array([[0x7FC00000, 0x3F800000], [0x7FC00001, 0x3F800000]], dtype=np.uint32).view(np.float32)
    found = figures(nans[:1], nans[1:])
    assert not found.bit_identical
    assert found.max_abs == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_entry_that_stopped_being_finite_is_refused_with_the_output(bad: float) -> None:
    refusal = compare(array([1, 2]), array([1, bad]))
    assert isinstance(refusal, Refusal)
    assert "'y'" in refusal.reason
    assert "1 of 2" in refusal.reason


@pytest.mark.parametrize(("first", "second"), [(np.nan, 1.0), (np.inf, -np.inf), (np.nan, np.inf)])
def test_entry_that_was_not_finite_and_changed_is_refused(first: float, second: float) -> None:
    assert isinstance(compare(array([1, first]), array([1, second])), Refusal)


def test_entries_that_are_not_finite_in_both_take_no_part() -> None:
    found = figures(array([-np.inf, 2, 1], [np.nan, 0, 1]), array([-np.inf, 2, 1.5], [np.nan, 0, 1]))
    assert found.max_abs == 0.5
    assert found.top1_agreement == 1.0
    assert found.sqnr_db is not None
    assert math.isfinite(found.sqnr_db)


def test_minus_infinity_does_not_win_over_negative_entries() -> None:
    assert figures(array([-np.inf, -3, -2]), array([-np.inf, -2, -3])).top1_agreement == 0.0


def test_nan_is_never_the_largest() -> None:
    assert figures(array([np.nan, 3, 2]), array([np.nan, 2, 3])).top1_agreement == 0.0


def test_row_of_zeros_equals_only_a_row_of_zeros() -> None:
    assert figures(array([0, 0], [0, 0]), array([0, 0], [1e-30, 0])).cosine_min == 0.0
    assert figures(array([0, 0]), array([0, 0])).cosine_min == 1.0
    assert figures(array([0, 0]), array([1, 0])).max_rel == math.inf


def test_row_of_one_entry_has_no_direction() -> None:
    found = figures(array([5], [-0.001]), array([5], [0.001]))
    assert found.cosine_min == pytest.approx(1.0, abs=1e-6)
    assert found.top1_agreement is None
    assert figures(np.float32(3), np.float32(-3)).cosine_min is None


def test_large_values_do_not_overflow() -> None:
    found = figures(array([3e38, -3e38]), array([3e38, -3e38]))
    assert found.cosine_min == pytest.approx(1.0)
    assert figures(array([1e300, 1], dtype=float), array([1e300, 2], dtype=float)).cosine_min == pytest.approx(1.0)


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, np.complex64])
def test_other_floating_types_are_measured(kind: Any) -> None:
    found = figures(array([1, 2], dtype=kind), array([1, 3], dtype=kind))
    assert found.max_abs == 1.0
    assert found.cosine_min is not None
    assert found.cosine_min < 1.0


def test_integers_give_difference_and_share_of_equal_entries() -> None:
    found = figures(array([1, 2], [3, 4], dtype=np.int64), array([1, 2], [3, 9], dtype=np.int64))
    assert (found.max_abs, found.top1_agreement, found.cosine_min) == (5.0, 0.75, None)
    near = figures(np.array([2**60]), np.array([2**60 + 1]))
    assert near.max_abs == 1.0
    wide = figures(array([-128], dtype=np.int8), array([127], dtype=np.int8))
    assert wide.max_abs == 255.0


@pytest.mark.parametrize("kind", [bool, object])
def test_truth_values_and_strings_are_equal_or_not(kind: Any) -> None:
    first, second = np.array([[1, 0, 1, 1]], dtype=kind), np.array([[1, 0, 0, 1]], dtype=kind)
    found = figures(first, second)
    assert (found.max_abs, found.sqnr_db, found.top1_agreement) == (None, None, 0.75)
    assert not found.bit_identical
    assert figures(first, first.copy()).bit_identical


def test_sequences_and_maps_are_taken_apart() -> None:
    sequence = [array([1, 2]), array([3, 4])]
    assert figures(sequence, [array([1, 2]), array([3, 5])]).max_abs == 1.0
    assert isinstance(compare(sequence, sequence[:1]), Refusal)
    maps = [{"a": 0.5, "b": 0.5}]
    assert figures(maps, [{"a": 0.25, "b": 0.75}]).max_abs == 0.25
    assert figures(None, None).bit_identical


def test_keys_of_maps_are_no_figures() -> None:
    found = figures([{1000: 0.5, 2000: 0.5}], [{1000: 0.25, 2000: 0.75}])
    assert (found.max_abs, found.max_rel, found.top1_agreement) == (0.25, 0.5, None)


@pytest.mark.parametrize(
    ("original", "candidate"),
    [([{"a": 0.5}], [{"c": 0.5}]), (None, array([1])), ([array([1])], [array([1]), array([1])])],
)
def test_outputs_made_of_other_parts_are_refused(original: object, candidate: object) -> None:
    assert compare(original, candidate) == Refusal(reason="output 'y' is made of other parts than the original's")


def test_empty_outputs_are_equal() -> None:
    found = figures(np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32))
    assert found.bit_identical
    assert found.cosine_min is None
    assert found.max_rel == 0.0


def test_other_shape_or_type_is_refused_with_both() -> None:
    shape = compare(array([1, 2]), array([1], [2]))
    assert isinstance(shape, Refusal)
    assert "(2, 1)" in shape.reason
    assert "(1, 2)" in shape.reason
    kind = compare(array([1, 2]), array([1, 2], dtype=np.float64))
    assert isinstance(kind, Refusal)
    assert "float64" in kind.reason


def test_figures_span_batches_and_missing_batches_are_refused() -> None:
    samples = Samples(batches=({"x": np.zeros((2, 1))}, {"x": np.zeros((1, 1))}), generated=False, description="")
    original = [[array([1, 0], [1, 0])], [array([1, 0])]]
    candidate = [[array([1, 0], [1, 0])], [array([0, 1])]]
    found = measure_fidelity(original, iter(candidate), ["y"], samples)
    assert isinstance(found, Fidelity)
    assert (found.samples, found.batches, found.generated) == (3, 2, False)
    assert found.outputs[0].cosine_mean == pytest.approx(2 / 3)
    assert found.worst_top1_agreement == pytest.approx(2 / 3)
    assert isinstance(measure_fidelity(original, candidate[:1], ["y"], samples), Refusal)
    assert isinstance(measure_fidelity(original, [[]], ["y"], samples), Refusal)
    failed = Refusal(reason="does not run")
    assert measure_fidelity(original, [candidate[0], failed], ["y"], samples) is failed


def test_large_rows_are_measured_in_blocks_with_the_same_result() -> None:
    random = np.random.default_rng(0)
    original = random.standard_normal((5, 700_000)).astype(np.float32)
    candidate = original + random.standard_normal(original.shape).astype(np.float32) * np.float32(1e-3)
    found = figures(original, candidate)
    noise = np.sum((original.astype(float) - candidate.astype(float)) ** 2)
    assert found.sqnr_db == pytest.approx(10 * math.log10(np.sum(original.astype(float) ** 2) / noise))


LEFT_PADDED = {"attention_mask": np.array([[0, 1, 1], [1, 0, 1]])}


def test_positions_that_see_nothing_count_for_bit_identity_only() -> None:
    original = np.ones((2, 3, 2), np.float32)
    candidate = original.copy()
    candidate[0, 0] = (np.nan, 9.0)
    found = figures(original, candidate, feeds=LEFT_PADDED)
    assert not found.bit_identical
    assert found.max_abs == 0.0
    assert found.top1_agreement == 1.0
    cache = np.ones((2, 4, 3, 5), np.float32)
    other = cache.copy()
    other[0, :, 0] = 7.0
    assert figures(cache, other, feeds=LEFT_PADDED, name="present.0.key").max_abs == 0.0
    assert figures(cache, other, feeds=LEFT_PADDED, name="scores").max_abs == 6.0


@pytest.mark.parametrize(("row", "position"), [(0, 1), (1, 1), (1, 0)])
def test_holes_and_real_positions_count(row: int, position: int) -> None:
    original = np.ones((2, 3, 2), np.float32)
    candidate = original.copy()
    candidate[row, position] = (1.0, 9.0)
    found = figures(original, candidate, feeds=LEFT_PADDED)
    assert found.max_abs == 8.0
    assert found.top1_agreement == pytest.approx(4 / 5)


def test_pooled_output_as_wide_as_the_mask_counts_in_full() -> None:
    assert figures(array([1, 2, 3], [4, 5, 6]), array([9, 2, 3], [4, 5, 6]), feeds=LEFT_PADDED).max_abs == 8.0
