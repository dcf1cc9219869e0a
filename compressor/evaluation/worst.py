"""Find the samples on which a model is farthest from the original, so that a user can look at them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import chain

from compressor.evaluation.comparison import Comparison
from compressor.evaluation.contract import Samples, count_rows
from compressor.report import WorstSample

MOST_NAMED = 20


def worst_samples(
    found: Sequence[Sequence[Comparison]], names: Sequence[str], samples: Samples
) -> tuple[WorstSample, ...]:
    """Name the samples with the smallest cosine, each with its worst output, the worst first.

    Args:
        found: for each batch, one comparison for each of `names`.
        names: the outputs.
        samples: what was run. Outputs that do not have one row for each sample take no part.
    """
    # A row of the data is run more than once where it fills a batch up, and where both texts of a pair are rows.
    worst: dict[int, WorstSample] = {}
    for sample in chain.from_iterable(_rows(found, names, samples)):
        if sample.row not in worst or sample.cosine < worst[sample.row].cosine:
            worst[sample.row] = sample
    return tuple(heapq.nsmallest(MOST_NAMED, worst.values(), key=lambda sample: (sample.cosine, sample.row)))


def _rows(found: Sequence[Sequence[Comparison]], names: Sequence[str], samples: Samples) -> Iterator[list[WorstSample]]:
    earlier = 0
    for batch, compared in enumerate(found):
        rows = _count(samples, batch)
        outputs = [
            (name, comparison.cosines)
            for name, comparison in zip(names, compared, strict=True)
            if len(comparison.cosines) == rows and not comparison.bit_identical
        ]
        for row in range(rows):
            place = samples.places[batch][row] if samples.places else earlier + row
            number = samples.row_numbers[place] if samples.row_numbers else place + 1
            shown = samples.excerpts[place] if samples.excerpts else ""
            yield [
                WorstSample(output=name, row=number, cosine=cosines[row], excerpt=shown) for name, cosines in outputs
            ]
        earlier += rows


def _count(samples: Samples, batch: int) -> int:
    """Rows of a batch; given ones are not asked, as each that is made opens its pictures once more."""
    return len(samples.places[batch]) if samples.places else count_rows(samples.batches[batch])
