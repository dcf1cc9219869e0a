"""The samples that fared worst: by row, by text, once each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from compressor.evaluation.comparison import compare_arrays
from compressor.evaluation.contract import Array, Samples
from compressor.evaluation.data.excerpt import LONGEST, excerpt
from compressor.evaluation.fidelity import measure_fidelity
from compressor.evaluation.worst import worst_samples
from compressor.report import Fidelity


def measured(original: Array, candidate: Array, samples: Samples, name: str = "logits") -> Fidelity:
    fidelity = measure_fidelity([[original]], [[candidate]], [name], samples)
    assert isinstance(fidelity, Fidelity)
    return fidelity


def test_the_worst_samples_are_named_by_their_rows_in_the_data() -> None:
    batches = ({"x": np.zeros((2, 1))}, {"x": np.zeros((2, 1))})
    samples = Samples(
        batches=batches, generated=False, description="", places=((3, 0), (2, 1)), row_numbers=(11, 12, 13, 14)
    )
    original = np.array([[1, 0], [1, 0]], np.float32)
    first, second = np.array([[1, 0], [1, 1]], np.float32), np.array([[0, 1], [1, 0.1]], np.float32)
    fidelity = measure_fidelity([[original], [original]], [[first], [second]], ["y"], samples)
    assert isinstance(fidelity, Fidelity)
    assert [sample.row for sample in fidelity.worst_samples] == [13, 11, 12, 14]
    assert fidelity.worst_samples[0].cosine == pytest.approx(0.0)


def test_a_row_that_is_run_twice_is_named_once() -> None:
    """The last row of the data fills up a batch of a fixed size; the texts of a pair have one row between them."""
    samples = Samples(
        batches=({"x": np.zeros((3, 1))},), generated=False, description="", places=((0, 1, 1),), row_numbers=(1, 2)
    )
    original, candidate = np.array([[[1, 0]] * 3, [[1, 0.1], [1, 0.2], [1, 0.3]]], np.float32)
    worst = measured(original, candidate, samples).worst_samples
    assert [sample.row for sample in worst] == [2, 1]
    assert worst[0].cosine == pytest.approx(1 / math.hypot(1, 0.3))


def test_generated_samples_are_counted_from_one_and_equal_outputs_have_no_worst() -> None:
    samples = Samples(batches=({"x": np.zeros((2, 1))},), generated=True, description="")
    original = np.array([[1, 0], [1, 0]], np.float32)
    assert measured(original, original.copy(), samples).worst_samples == ()
    assert [s.row for s in measured(original, original[:, ::-1], samples).worst_samples] == [1, 2]


def test_a_sample_is_shown_as_its_reader_knows_it() -> None:
    samples = Samples(
        batches=({"x": np.zeros((2, 1))},), generated=False, description="", places=((1, 0),), row_numbers=(8, 9),
        excerpts=("how do I pay", "where is my card"),
    )  # fmt: skip
    original, candidate = np.array([[[1, 0]] * 2, [[1, 0.1], [1, 0.2]]], np.float32)
    worst = measured(original, candidate, samples).worst_samples
    assert [(sample.row, sample.excerpt) for sample in worst] == [(8, "how do I pay"), (9, "where is my card")]


def test_given_batches_are_not_made_once_more() -> None:
    """Each would open its pictures again."""

    class Unmade(Sequence[Any]):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: Any) -> Any:
            raise AssertionError("a batch was made")

        def __iter__(self) -> Iterator[Any]:
            raise AssertionError("batches were made")

    samples = Samples(batches=Unmade(), generated=False, description="", places=((0, 1),))
    compared = compare_arrays(np.eye(2, 3, dtype=np.float32), np.ones((2, 3), np.float32))
    assert [sample.row for sample in worst_samples([[compared]], ["y"], samples)] == [1, 2]


def test_an_excerpt_is_one_line_of_a_terminal() -> None:
    assert excerpt(["  where is\n my\tcard "]) == "where is my card"
    assert excerpt(["word " * 40]) == "word " * 11 + "word…"
    assert len(excerpt(["word" * 40])) == LONGEST
    assert excerpt([["New", "York"], "is large"]) == "New York | is large"
    assert len(excerpt(["q" * 99, "c" * 99])) <= LONGEST
    assert excerpt([" " * 999 + "late"]) == "…"
