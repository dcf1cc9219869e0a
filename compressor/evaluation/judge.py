"""Keep the original's outputs, and hold every later model against them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import onnx_ir as ir

from compressor.errors import OptionError, RuntimeRefusal
from compressor.evaluation.batching import measure_batching, scales_at_run_time
from compressor.evaluation.contract import Feeds, Outputs, Refusal, Samples, Session
from compressor.evaluation.latency import measure_latency
from compressor.evaluation.material import Material
from compressor.evaluation.reference import Progress, Reference, keep_outputs, open_reference, told
from compressor.evaluation.room import Room, find_room, why_tight
from compressor.evaluation.running import NO_SPINNING, stream_samples
from compressor.evaluation.samples import generate_samples, probe_session
from compressor.evaluation.tasks.scoring import OriginalScore, Scorer, score_candidate, score_original
from compressor.model.session import open_session
from compressor.report import Batching, Fidelity, Latency, TaskScore, speedup

LATENCY_SECONDS = 0.5
"""Time spent on each of two models when they are timed against each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one model showed.

    Attributes:
        fidelity: how near it stays to the original.
        rehearsal: the same on inputs made up from the signature, where `fidelity` is of the user's.
        score: how well it does its task; None without labels.
        latency, original_latency: time per run of both, taken in turns; None where they were not timed.
        batching: how far rows depend on those beside them, where scales are found at run time.
    """

    fidelity: Fidelity
    rehearsal: Fidelity | None = None
    score: TaskScore | None = None
    latency: Latency | None = None
    original_latency: Latency | None = None
    batching: Batching | None = None

    @property
    def speedup(self) -> float | None:
        """How many times faster than the original; None where either was not timed."""
        return speedup(self.original_latency, self.latency)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """The original, run once on samples; it judges candidates.

    Attributes:
        reference: the original, and what it gave.
        rehearsal: the same on made-up inputs, where `reference` is of the user's: text has no padding on the left, and
            no holes in its mask, so a fusion that gets these wrong would pass.
        original_score: how well the original does its task; None without labels.
        room: how models are opened; where it is tight, the original is no longer open.
        threads: threads given to each session.
        tell: told in a few words what is being done.
    """

    reference: Reference
    rehearsal: Reference | None = None
    original_score: OriginalScore | None = None
    room: Room = Room.AMPLE
    threads: int = 0
    tell: Progress = lambda words: None

    @property
    def samples(self) -> Samples:
        """Give what the original was run on."""
        return self.reference.samples

    @property
    def names(self) -> tuple[str, ...]:
        """Name the outputs that are judged."""
        return self.reference.names

    @property
    def left_out(self) -> tuple[str, ...]:
        """Name the outputs that nothing can be held to."""
        return self.reference.left_out

    def judge(self, model: ir.Model) -> Verdict | Refusal:
        """Run `model` on the same samples, compare, score, and where the original is open, time the two in turns."""
        candidate = self._open(model)
        if isinstance(candidate, Refusal):
            return candidate
        found = self._assess(candidate)
        original = self.reference.session
        if isinstance(found, Refusal) or original is None:
            return found
        sessions = {"original": original, "candidate": candidate}
        timed = measure_latency(sessions, self._timed_batch(), seconds=LATENCY_SECONDS)
        return Verdict(
            fidelity=found.fidelity,
            rehearsal=found.rehearsal,
            score=found.score,
            latency=timed.get("candidate"),
            original_latency=timed.get("original"),
            batching=measure_batching(original, candidate, self.samples) if scales_at_run_time(model) else None,
        )

    def race(self, before: ir.Model, after: ir.Model) -> float | None:
        """Time two models in turns with each other: how many times as fast is the second? None where one is not timed.

        Times taken beside the original, but minutes apart, differ by a tenth and more on a busy machine.
        """
        sessions = {"before": self._open(before), "after": self._open(after)}
        opened = {name: session for name, session in sessions.items() if not isinstance(session, Refusal)}
        timed = measure_latency(opened, self._timed_batch(), seconds=LATENCY_SECONDS)
        return speedup(timed.get("before"), timed.get("after"))

    def assess(self, model: ir.Model) -> Verdict | Refusal:
        """Run `model` on the same samples, compare and score, without timing it."""
        candidate = self._open(model)
        return candidate if isinstance(candidate, Refusal) else self._assess(candidate)

    def compare(self, model: ir.Model, config: Mapping[str, str] | None = None) -> Fidelity | Refusal:
        """Run `model` on the same samples, under these settings of the runtime, and compare; nothing is timed."""
        candidate = self._open(model, config)
        found = candidate if isinstance(candidate, Refusal) else self._assess(candidate)
        return found if isinstance(found, Refusal) else found.fidelity

    def gives_the_same_as_it_stands(self, before: ir.Model, after: ir.Model) -> bool:
        """Run two graphs without what the runtime makes of them when it loads them: do all bits agree?

        False where they cannot be run so. What a pass did is seen thus apart from what the runtime does with it: a
        fusion of its own may want a constant, or a Cast of its own making, to have one reader.
        """
        if self.room is not Room.AMPLE:  # then nothing is rewritten as it is
            return False
        samples = self.samples if self.rehearsal is None else self.rehearsal.samples
        try:
            earlier, later = (
                open_session(model, threads=self.threads, is_optimized=False) for model in (before, after)
            )
        except RuntimeRefusal:
            return False
        reference = open_reference(earlier, samples)
        if isinstance(reference, Refusal):
            return False
        fidelity = _compare(later, reference)
        return not isinstance(fidelity, Refusal) and fidelity.is_bit_identical

    def _open(self, model: ir.Model, config: Mapping[str, str] | None = None) -> Session | Refusal:
        settings = {**NO_SPINNING, **(config or {})}
        try:
            session: Session = self.room.open(model, threads=self.threads, config=settings)
        except RuntimeRefusal as error:
            return Refusal(reason=str(error))
        return session

    def _assess(self, candidate: Session) -> Verdict | Refusal:
        rehearsal = None if self.rehearsal is None else _compare(candidate, self.rehearsal)
        if isinstance(rehearsal, Refusal):
            return rehearsal
        original, score = self.original_score, None
        scorer = None if original is None else Scorer(original.task, self.samples, self.names)
        try:
            fidelity = _compare(candidate, self.reference, self.tell, scorer)
            if isinstance(fidelity, Refusal):
                return fidelity
            if scorer is not None and original is not None:
                score = score_candidate(scorer.facts(), original)
        except OptionError as error:  # the original's outputs are those of the task, so the candidate's are not
            return Refusal(reason=str(error))
        return Verdict(fidelity=fidelity, rehearsal=rehearsal, score=score)

    def _timed_batch(self) -> Feeds:
        """Of texts, which are sorted by length, the middle batch."""
        batches = self.samples.batches
        return batches[0 if self.samples.generated else len(batches) // 2]


def refusal_to_load(model: ir.Model) -> Refusal | None:
    """Why ONNX Runtime does not load `model`, or why there is no memory to try; None where it does."""
    try:
        find_room(model).open(model)
    except RuntimeRefusal as error:
        return Refusal(reason=str(error))
    return None


def appoint_judge(
    model: ir.Model,
    *,
    seed: int = 0,
    threads: int = 0,
    material: Material | None = None,
    tell: Progress = lambda words: None,
) -> Judge | Refusal:
    """Run the original; a refusal says why nothing can be measured.

    Args:
        model: the original.
        seed: where made-up inputs start.
        threads: threads given to each session.
        material: the user's samples; None makes inputs up from the signature. Such inputs are tried besides the
            user's too, for what a pass claims: see :class:`Judge`.
        tell: told in a few words what is being done.

    Raises:
        OptionError: the model does not run on `material`, or its outputs are not those of the task.
    """
    try:
        room = find_room(model)
        note = why_tight(model) if room is Room.TIGHT else ""
        session = room.open(model, threads=threads, config=NO_SPINNING)
    except RuntimeRefusal as error:
        return Refusal(reason=str(error))
    rehearsal = _rehearse(model, session, seed)
    if material is not None:
        judge = _judge_on(material, session, rehearsal, tell)
    elif isinstance(rehearsal, Refusal):
        return rehearsal
    else:
        judge = Judge(reference=rehearsal)
    judge = replace(judge, room=room, threads=threads, tell=tell)
    return judge if room is Room.AMPLE else _without_session(judge, note)


def _judge_on(material: Material, session: Session, rehearsal: Reference | Refusal, tell: Progress) -> Judge:
    """Run the original on the user's samples."""
    samples = _with_note(material.samples, rehearsal)
    reference = open_reference(session, samples)
    scorer = None
    if not isinstance(reference, Refusal):
        scorer = Scorer(material.task, samples, reference.names) if material.task is not None else None
        reference = keep_outputs(reference, _stream(session, reference, tell, scorer))
    if isinstance(reference, Refusal):
        raise OptionError(f"the data cannot be used: the model {reference.reason}")
    return Judge(
        reference=reference,
        rehearsal=None if isinstance(rehearsal, Refusal) else rehearsal,
        original_score=score_original(scorer) if scorer is not None else None,
    )


def _without_session(judge: Judge, note: str) -> Judge | Refusal:
    """Close the original, which leaves the room to candidates, and say what that means."""
    reference = judge.reference.closed()
    if isinstance(reference, Refusal):
        return reference
    kept, batches = len(reference.kept), len(reference.samples.batches)
    if kept < batches:
        note += f"; outputs are compared on the first {kept} of {batches} batches, which is what could be kept"
    rehearsal = judge.rehearsal.closed() if judge.rehearsal is not None else None
    samples = replace(reference.samples, notes=(*reference.samples.notes, note))
    return replace(
        judge,
        reference=replace(reference, samples=samples),
        rehearsal=None if isinstance(rehearsal, Refusal) else rehearsal,
    )


def _rehearse(model: ir.Model, session: Session, seed: int) -> Reference | Refusal:
    """Run the original on inputs made from its signature."""
    samples = generate_samples(model, seed=seed, probe=probe_session(session))
    opened = samples if isinstance(samples, Refusal) else open_reference(session, samples)
    return opened if isinstance(opened, Refusal) else keep_outputs(opened, _stream(session, opened))


def _with_note(samples: Samples, rehearsal: Reference | Refusal) -> Samples:
    """Say where no input made up from the signature runs, so that claims are held on the data alone."""
    if not isinstance(rehearsal, Refusal):
        return samples
    note = f"whether a pass keeps its claim is checked on the data alone: {rehearsal.reason}"
    return replace(samples, notes=(*samples.notes, note))


def _compare(
    candidate: Session, reference: Reference, tell: Progress | None = None, scorer: Scorer | None = None
) -> Fidelity | Refusal:
    return reference.compare(_stream(candidate, reference, tell, scorer))


def _stream(
    session: Session, reference: Reference, tell: Progress | None = None, scorer: Scorer | None = None
) -> Iterator[Outputs | Refusal]:
    """Run batch after batch; on the way say how far it is, and read what scoring needs."""
    stream = reference.judged(stream_samples(session, reference.samples))
    if tell is not None:
        stream = told(stream, reference.samples, tell)
    return stream if scorer is None else scorer.added(stream)
