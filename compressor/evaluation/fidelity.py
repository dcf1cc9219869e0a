"""Hold a model's outputs against the original's on the same inputs, without labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from compressor.evaluation.comparison import Comparison, compare_arrays, merge
from compressor.evaluation.contract import Array, Feeds, Outputs, Refusal, Samples
from compressor.evaluation.leaves import KEYS, flatten
from compressor.evaluation.visibility import find_undefined
from compressor.evaluation.worst import worst_samples
from compressor.report import Fidelity, OutputFidelity


def measure_fidelity(
    original: Iterable[Outputs],
    candidate: Iterable[Outputs | Refusal],
    names: Sequence[str],
    samples: Samples,
) -> Fidelity | Refusal:
    """Compare batch by batch; `candidate` may be a stream, of which one batch is held at a time.

    Every entry counts, those at padded positions included, except the positions that :mod:`visibility` finds
    undefined; those count for bit identity only. Sequences and maps are taken apart and their parts are counted
    together under the output's name. Entries that are not finite in the original must be the same in the candidate,
    and take no further part.

    Args:
        original: the original's outputs, one for each batch of `samples`.
        candidate: the candidate's, in the same order; a failed run ends it.
        names: the graph outputs, in graph order.
        samples: what both were run on.

    Returns:
        The figures, or a refusal: a run failed, the outputs differ in number, structure, type or shape, or an output
        is not finite where the original's is.
    """
    found: list[list[Comparison]] = []
    for feeds, expected, actual in zip(samples.batches, original, candidate, strict=False):
        compared = actual if isinstance(actual, Refusal) else _compare_batch(names, expected, actual, feeds)
        if isinstance(compared, Refusal):
            return compared
        found.append(compared)
    if len(found) != len(samples.batches):
        return Refusal(reason=f"gave outputs for {len(found)} of {len(samples.batches)} batches")
    outputs = tuple(_summarize(name, merge([batch[place] for batch in found])) for place, name in enumerate(names))
    return Fidelity(
        samples=samples.rows,
        batches=len(found),
        generated=samples.generated,
        outputs=outputs,
        worst_samples=worst_samples(found, names, samples),
    )


def _compare_batch(
    names: Sequence[str], expected: Outputs, actual: Outputs, feeds: Feeds
) -> list[Comparison] | Refusal:
    """Compare the outputs of one run: one comparison for each name."""
    if len(actual) != len(names) or len(expected) != len(names):
        return Refusal(reason=f"has {len(actual)} outputs, the original has {len(names)}")
    compared: list[Comparison] = []
    for name, first, second in zip(names, expected, actual, strict=True):
        parts = _compare_output(name, first, second, feeds)
        if isinstance(parts, Refusal):
            return parts
        compared.append(merge(parts))
    return compared


def _compare_output(name: str, first: object, second: object, feeds: Feeds) -> list[Comparison] | Refusal:
    """Compare one output of one run, part by part."""
    expected, actual = flatten(first), flatten(second)
    if expected.keys() != actual.keys() or not _have_same_keys(expected, actual):
        return Refusal(reason=f"output '{name}' is made of other parts than the original's")
    compared: list[Comparison] = []
    for part, array in expected.items():
        if part.endswith(KEYS):  # equal, which is no merit, and numbers that no difference is to be held against
            continue
        comparison = _compare_part(name + part, array, actual[part], feeds)
        if isinstance(comparison, Refusal):
            return comparison
        compared.append(comparison)
    return compared


def _have_same_keys(expected: Mapping[str, Array], actual: Mapping[str, Array]) -> bool:
    """Maps have values for the same keys."""
    return all(np.array_equal(array, actual[part]) for part, array in expected.items() if part.endswith(KEYS))


def _compare_part(name: str, first: Array, second: Array, feeds: Feeds) -> Comparison | Refusal:
    if first.dtype != second.dtype:
        return Refusal(reason=f"output '{name}' has type {second.dtype}, the original has {first.dtype}")
    if first.shape != second.shape:
        return Refusal(reason=f"output '{name}' has shape {second.shape}, the original has {first.shape}")
    undefined = find_undefined(feeds, name, first.shape)
    comparison = compare_arrays(first, second, undefined=undefined, are_logits="logits" in name.lower())
    if comparison.unmatched:
        return Refusal(
            reason=f"output '{name}' has {comparison.unmatched} of {first.size} entries that are not finite in one of "
            "the two models and different in the other"
        )
    return comparison


def _summarize(name: str, found: Comparison) -> OutputFidelity:
    return OutputFidelity(
        name=name,
        bit_identical=found.bit_identical,
        cosine_mean=found.cosine_mean,
        cosine_min=found.cosine_min,
        sqnr_db=found.sqnr_db,
        max_abs=found.max_abs,
        max_rel=found.max_rel,
        top1_agreement=found.decisions.agreement,
        top5_agreement=found.decisions.listed_agreement,
        kl_mean=found.decisions.mean_divergence,
    )
