"""Run the original on samples, and give its outputs again and again in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from compressor.evaluation.contract import Outputs, Refusal, Samples, Session
from compressor.evaluation.fidelity import measure_fidelity
from compressor.evaluation.leaves import flatten
from compressor.evaluation.running import run_batch
from compressor.report import Fidelity

KEPT_BYTES = 256 << 20
"""Outputs kept in memory; those beyond are computed again, in step with each candidate's. Logits over 30,000 words for
3,080 rows of 64 tokens are 24 GB."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The original, run once on samples.

    Attributes:
        session: the original, open; None where nothing but what is kept is left of it.
        samples: what it was run on.
        names: outputs that it reproduces when it is run again.
        positions: where these are among the outputs of the graph.
        left_out: outputs that it does not (it draws random numbers), which nothing can be held to.
        kept: what it gave for the first batches, for the outputs in `names`.
        shapes: of each output in `names`, the different shapes it had, as text.
    """

    session: Session | None
    samples: Samples
    names: tuple[str, ...]
    positions: tuple[int, ...]
    left_out: tuple[str, ...]
    kept: tuple[Outputs, ...] = ()
    shapes: tuple[tuple[str, ...], ...] = ()

    def outputs(self) -> Iterator[Outputs]:
        """Yield what the original gives for each batch; it ends early where it does not run again."""
        yield from self.kept
        if self.session is None:
            return
        rest = (run_batch(self.session, feeds) for feeds in islice(self.samples.batches, len(self.kept), None))
        for outputs in self.judged(rest):
            if isinstance(outputs, Refusal):
                return
            yield outputs

    def judged(self, stream: Iterable[Outputs | Refusal]) -> Iterator[Outputs | Refusal]:
        """Take the outputs in `names` from those of each run of a model with the same interface."""
        for outputs in stream:
            yield outputs if isinstance(outputs, Refusal) else tuple(outputs[index] for index in self.positions)

    def compare(self, stream: Iterable[Outputs | Refusal]) -> Fidelity | Refusal:
        """Hold a candidate's outputs, those in `names`, against the original's, as far as there are any to be had."""
        outputs = iter(stream)
        fidelity = measure_fidelity(self.outputs(), outputs, self.names, self._comparable())
        if isinstance(fidelity, Refusal):
            return fidelity
        failure = (rest for rest in outputs if isinstance(rest, Refusal))  # nothing to compare with, but to score
        return next(failure, fidelity)

    def closed(self) -> Reference | Refusal:
        """Let go of the session, and of what it would have to give again."""
        if self.kept:
            return replace(self, session=None)
        return Refusal(reason=f"gives more than {KEPT_BYTES >> 20} MB for one batch, which is more than can be kept")

    def _comparable(self) -> Samples:
        if self.session is not None or len(self.kept) == len(self.samples.batches):
            return self.samples
        count = len(self.kept)
        batches = tuple(islice(self.samples.batches, count))
        return replace(self.samples, batches=batches, places=self.samples.places[:count])


def open_reference(session: Session, samples: Samples) -> Reference | Refusal:
    """Find the outputs that the original repeats; a refusal says that it does not run, or repeats none."""
    names = [output.name for output in session.get_outputs()]
    unstable = _unstable_outputs(session, samples, names)
    if isinstance(unstable, Refusal):
        return unstable
    if unstable.issuperset(names):
        return Refusal(reason="every output differs when the original itself is run twice (it draws random numbers)")
    return Reference(
        session=session,
        samples=samples,
        names=tuple(name for name in names if name not in unstable),
        positions=tuple(index for index, name in enumerate(names) if name not in unstable),
        left_out=tuple(name for name in names if name in unstable),
    )


def keep_outputs(opened: Reference, stream: Iterable[Outputs | Refusal]) -> Reference | Refusal:
    """Keep what the original gives, as far as that may fill memory; the first failure is the answer."""
    kept: list[Outputs] = []
    total = 0
    shapes: list[dict[str, None]] = [{} for _ in opened.names]
    for outputs in stream:
        if isinstance(outputs, Refusal):
            return outputs
        for seen, output in zip(shapes, outputs, strict=True):
            seen[_shape_of(output)] = None
        total += sum(_bytes_of(output) for output in outputs)
        if total <= KEPT_BYTES:
            kept.append(outputs)
    return replace(opened, kept=tuple(kept), shapes=tuple(tuple(seen) for seen in shapes))


def told(stream: Iterable[Outputs | Refusal], samples: Samples, tell: Progress) -> Iterator[Outputs | Refusal]:
    """Say how many rows are done as they pass by; made-up ones are too few to tell."""
    total, done = samples.rows, 0
    for number, outputs in enumerate(stream):
        if samples.places:
            done = min(total, done + len(samples.places[number]))
            tell(f"{done:,} of {total:,} rows")
        yield outputs


def _unstable_outputs(session: Session, samples: Samples, names: Sequence[str]) -> frozenset[str] | Refusal:
    """Find outputs that change when the first batch is run once more."""
    feeds = samples.batches[0]
    first, again = run_batch(session, feeds), run_batch(session, feeds)
    if isinstance(first, Refusal):
        return first
    if isinstance(again, Refusal):
        return again
    one = Samples(batches=(feeds,), generated=samples.generated, description=samples.description)
    changed = set()
    for index, name in enumerate(names):
        figures = measure_fidelity([(first[index],)], [(again[index],)], (name,), one)
        if isinstance(figures, Refusal) or not figures.is_bit_identical:
            changed.add(name)
    return frozenset(changed)


def _bytes_of(output: object) -> int:
    return sum(array.nbytes for array in flatten(output).values())


def _shape_of(output: object) -> str:
    if not isinstance(output, np.ndarray):
        return "not a tensor"
    return "x".join(map(str, output.shape)) or "scalar"
