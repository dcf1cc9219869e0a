"""Keep the original's outputs, and hold every later model against them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir

from compressor.errors import RuntimeRefusal
from compressor.evaluation.contract import Outputs, Refusal, Samples, Session
from compressor.evaluation.fidelity import measure_fidelity
from compressor.evaluation.latency import measure_latency
from compressor.evaluation.running import run_batch, run_samples, stream_samples
from compressor.evaluation.samples import generate_samples, probe_session
from compressor.model.session import open_session
from compressor.report import Fidelity, Latency, speedup

NO_SPINNING = {"session.intra_op.allow_spinning": "0"}
"""Threads that wait for work sleep instead of spinning: of two models timed in turns, the one that waits would take the
processor from the other. On two cores the speed-up of a 9 MB ALBERT came out at 0.9 to 1.8 with spinning, at 1.1 to 1.2
without."""

LATENCY_SECONDS = 0.5
"""Time spent on each of two models when they are timed against each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one model showed: how near it stays to the original, and the time per run of both, taken in turns."""

    fidelity: Fidelity
    latency: Latency | None
    original_latency: Latency | None

    @property
    def speedup(self) -> float | None:
        """How many times faster than the original; None where either was not timed."""
        return speedup(self.original_latency, self.latency)


@dataclass(frozen=True, slots=True)
class Judge:
    """The original, run once on samples; it judges candidates.

    Attributes:
        session: the original, open for timing it beside a candidate.
        samples: what it was run on.
        outputs: what it gave, for the outputs in `names`.
        names: outputs that the original itself reproduces when it is run again.
        left_out: outputs that it does not (it draws random numbers), which nothing can be held to.
        threads: threads given to each session.
    """

    session: Session
    samples: Samples
    outputs: tuple[Outputs, ...]
    names: tuple[str, ...]
    left_out: tuple[str, ...]
    threads: int = 0

    def judge(self, model: ir.Model) -> Verdict | Refusal:
        """Run `model` on the same samples, compare, and time it in turns with the original."""
        candidate = self._open(model)
        if isinstance(candidate, Refusal):
            return candidate
        fidelity = self._compare(candidate)
        if isinstance(fidelity, Refusal):
            return fidelity
        sessions = {"original": self.session, "candidate": candidate}
        timed = measure_latency(sessions, self.samples.batches[0], seconds=LATENCY_SECONDS)
        return Verdict(fidelity=fidelity, latency=timed.get("candidate"), original_latency=timed.get("original"))

    def compare(self, model: ir.Model) -> Fidelity | Refusal:
        """Run `model` on the same samples and compare, without timing it."""
        candidate = self._open(model)
        return candidate if isinstance(candidate, Refusal) else self._compare(candidate)

    def _open(self, model: ir.Model) -> Session | Refusal:
        try:
            session: Session = open_session(model, threads=self.threads, config=NO_SPINNING)
        except RuntimeRefusal as error:
            return Refusal(reason=str(error))
        return session

    def _compare(self, candidate: Session) -> Fidelity | Refusal:
        outputs = self._reproducible(stream_samples(candidate, self.samples))
        return measure_fidelity(self.outputs, outputs, self.names, self.samples)

    def _reproducible(self, stream: Iterator[Outputs | Refusal]) -> Iterator[Outputs | Refusal]:
        kept = [index for index, name in enumerate(self._all_names()) if name in self.names]
        for outputs in stream:
            yield outputs if isinstance(outputs, Refusal) else tuple(outputs[index] for index in kept)

    def _all_names(self) -> list[str]:
        return [output.name for output in self.session.get_outputs()]


def refusal_to_load(model: ir.Model) -> Refusal | None:
    """Why ONNX Runtime does not load `model`; None where it does."""
    try:
        open_session(model)
    except RuntimeRefusal as error:
        return Refusal(reason=str(error))
    return None


def appoint_judge(model: ir.Model, *, seed: int, threads: int = 0) -> Judge | Refusal:
    """Run the original on inputs generated from its signature; a refusal says why nothing can be measured."""
    try:
        session = open_session(model, threads=threads, config=NO_SPINNING)
    except RuntimeRefusal as error:
        return Refusal(reason=str(error))
    samples = generate_samples(model, seed=seed, probe=probe_session(session))
    if isinstance(samples, Refusal):
        return samples
    outputs = run_samples(session, samples)
    if isinstance(outputs, Refusal):
        return outputs
    names = [output.name for output in session.get_outputs()]
    unstable = _unstable_outputs(session, samples, outputs, names)
    if isinstance(unstable, Refusal):
        return unstable
    kept = [index for index, name in enumerate(names) if name not in unstable]
    if not kept:
        return Refusal(reason="every output differs when the original itself is run twice (it draws random numbers)")
    return Judge(
        session=session,
        samples=samples,
        outputs=tuple(tuple(batch[index] for index in kept) for batch in outputs),
        names=tuple(names[index] for index in kept),
        left_out=tuple(name for name in names if name in unstable),
        threads=threads,
    )


def _unstable_outputs(
    session: Session, samples: Samples, outputs: tuple[Outputs, ...], names: list[str]
) -> frozenset[str] | Refusal:
    """Outputs that change when the first batch is run once more."""
    again = run_batch(session, samples.batches[0])
    if isinstance(again, Refusal):
        return again
    one = Samples(batches=samples.batches[:1], generated=samples.generated, description=samples.description)
    changed = set()
    for index, name in enumerate(names):
        figures = measure_fidelity([(outputs[0][index],)], [(again[index],)], (name,), one)
        if isinstance(figures, Refusal) or not figures.is_bit_identical:
            changed.add(name)
    return frozenset(changed)
