"""Put a report's facts into the words that every printed form shares."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from compressor.render import figures
from compressor.render.counts import count_as_fact
from compressor.render.scores import scores_in_words
from compressor.report import Fidelity, Host, Outcome, Report, Size, Skip, Step

TIMING_NOISE = 0.05
"""A file timed in turns with itself came out 3 % apart; a speed-up nearer to 1 than this says nothing."""

COSINE_THAT_TELLS = 0.9999
"""Above it, four nines look like nothing: float rounding is better told by the relative error."""

NOTHING_WRITTEN = "Nothing was written, as a limit is broken; --keep writes the result all the same."

_VARIABLE = re.compile(r"('[^']*'|\d[\d,.]*(?:e[+-]?\d+)?(?<![,.]))")
"""What may differ between two spellings of one reason: a quoted name or a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipGroup:
    """Candidates left alone for one reason, figures and names in it aside.

    Attributes:
        reason: the common wording, with an ellipsis where the single reasons differ.
        skips: the candidates, the heaviest first.
    """

    reason: str
    skips: tuple[Skip, ...]

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights that stay as they were for this reason."""
        return sum(skip.weight_bytes for skip in self.skips)


def group_skips(skips: Iterable[Skip]) -> tuple[SkipGroup, ...]:
    """Gather skips by reason, the heaviest reason first, then the most frequent."""
    alike: dict[tuple[str, ...], list[Skip]] = defaultdict(list)
    for skip in skips:
        alike[tuple(_VARIABLE.split(skip.reason)[::2])].append(skip)
    groups = [
        SkipGroup(
            reason=_common_wording([skip.reason for skip in members]),
            skips=tuple(sorted(members, key=lambda skip: -skip.weight_bytes)),
        )
        for members in alike.values()
    ]
    return tuple(sorted(groups, key=lambda group: (-group.weight_bytes, -len(group.skips), group.reason)))


def steps_with_sizes_before(original: Size, steps: Iterable[Step]) -> Iterator[tuple[Step, Size]]:
    """Pair each step with the size of the model that it was given."""
    before = original
    for step in steps:
        yield step, before
        before = step.size


def counts_of(step: Step, before: Size) -> str:
    """Say what a pass did to a model of size `before`: counts as facts, nothing found, or why it was undone."""
    facts = ", ".join(count_as_fact(name, count) for name, count in step.counts.items())
    if step.outcome is Outcome.ROLLED_BACK:
        undone = f"rolled back ({facts} undone)" if facts else "rolled back"
        return f"{undone}: {figures.printable(step.reason)}" if step.reason else undone
    if step.outcome is Outcome.UNCHANGED and not facts:
        facts = "nothing to do"
        if step.size.total_bytes != before.total_bytes:
            facts += " (writing the file anew makes the difference in size)"
    return f"{facts}; {figures.printable(step.reason)}" if step.reason else facts


def drift_of(fidelity: Fidelity | None) -> list[str]:
    """Say how far outputs moved, one measure a line: identical, or error, cosine and top-1 where they exist."""
    if fidelity is None or not fidelity.outputs:
        return [figures.NOT_MEASURED]
    if fidelity.is_bit_identical:
        return ["bit-identical"]
    lines = []
    if any(output.max_rel is not None for output in fidelity.outputs):
        lines.append(f"max rel {figures.difference(fidelity.worst_max_rel)}")
    if fidelity.worst_cosine is not None:
        lines.append(f"cosine {figures.cosine(fidelity.worst_cosine)}")
    if fidelity.worst_top1_agreement is not None:
        lines.append(f"top-1 {figures.agreement(fidelity.worst_top1_agreement)}")
    return lines or ["not bit-identical"]


def drift_in_short(fidelity: Fidelity | None) -> str:
    """Say in one measure how far outputs moved: the cosine where it is low enough to tell, else the error."""
    measures = drift_of(fidelity)
    if len(measures) == 1 or fidelity is None:
        return measures[0]
    cosine = fidelity.worst_cosine
    tells = cosine is not None and cosine < COSINE_THAT_TELLS
    return next((measure for measure in measures if measure.startswith("cosine") is tells), measures[0])


def time_of(step: Step) -> list[str]:
    """Say how long one run takes, and how many times as fast as the original that is, where both were timed."""
    if step.latency is None:
        return [figures.NOT_MEASURED]
    spelled = figures.milliseconds(step.latency.median_ms)
    return [spelled] if step.speedup is None else [spelled, f"({step.speedup:.2f}x)"]


def timing_of(report: Report) -> str:
    """Say how runs were timed and on what; the fewest runs behind any figure are the ones that are named."""
    timed = [taken for step in report.steps for taken in (step.latency, step.original_latency) if taken is not None]
    if not timed:
        return figures.NOT_MEASURED
    runs = figures.plural(min(taken.runs for taken in timed), "run")
    return figures.printable(
        f"median of at least {runs} in turns with the original; {timed[0].shape}, {place_of(report.host)}"
    )


def place_of(host: Host) -> str:
    """Name what runs were timed on."""
    return f"{figures.threads(host.threads)}, {host.cpu}; int8 path: {host.int8_path}"


def is_on_given_data(report: Report) -> bool:
    """Tell whether figures come from the user's own inputs."""
    return any(step.fidelity is not None and not step.fidelity.generated for step in report.steps)


def samples_of(fidelity: Fidelity) -> str:
    """Say how many samples stand behind a figure, and of which kind."""
    kind = "generated" if fidelity.generated else "given"
    return f"{fidelity.samples:,} {kind} sample{'' if fidelity.samples == 1 else 's'}"


def closing(report: Report) -> str:
    """Say in one paragraph what the run brought and what it cost."""
    gained = gain(report.original.total_bytes, report.final.total_bytes)
    sentences = (gained, _cost(report), _score(report), _speed(report), _left_unwritten(report))
    return " ".join(sentence for sentence in sentences if sentence)


def gain(before: int, after: int) -> str:
    """Say in one sentence what became of so many bytes."""
    if before == after:
        return f"The size stays {figures.size(before)}."
    became = f"{figures.size(before)} became {figures.size(after)}"
    if after < before:
        return f"{became}: {figures.times(before / max(1, after))} times smaller."
    return f"{became}: {figures.times(after / max(1, before))} times LARGER."


def _cost(report: Report) -> str:
    fidelity = report.steps[-1].fidelity if report.steps else None
    if fidelity is None or not fidelity.outputs:
        return "Accuracy was not measured: no output was compared with the original's."
    samples = samples_of(fidelity)
    if fidelity.is_bit_identical:
        said = f"Outputs are bit-identical on {samples}"
    else:
        said = f"Outputs on {samples}, worst case: {', '.join(drift_of(fidelity))}"
    if fidelity.generated:
        return f"{said}; generated inputs are indicative only, real ones decide."
    return f"{said}."


def _score(report: Report) -> str:
    score = report.steps[-1].score if report.steps else None
    return "" if score is None or report.original_score is None else scores_in_words(report.original_score, score)


def _speed(report: Report) -> str:
    last = report.steps[-1] if report.steps else None
    if last is None or last.latency is None or last.original_latency is None or not last.speedup:
        return ""
    before, after = (figures.milliseconds(taken.median_ms) for taken in (last.original_latency, last.latency))
    return f"One run on this host: {before} -> {after}, {pace(last.speedup)}."


def _left_unwritten(report: Report) -> str:
    if report.output is not None or not report.broken_limits:
        return ""
    return NOTHING_WRITTEN


def pace(speedup: float) -> str:
    """Say how many times as fast a model runs, and nothing of what is noise."""
    if abs(speedup - 1) < TIMING_NOISE:
        return f"no faster or slower (within {TIMING_NOISE:.0%})".replace("%", " %")
    return f"{speedup:.2f} times as fast" if speedup > 1 else f"{1 / speedup:.2f} times SLOWER"


def _common_wording(reasons: list[str]) -> str:
    split = [_VARIABLE.split(reason) for reason in reasons]
    columns = zip(*split, strict=True)
    return "".join(pieces[0] if len(set(pieces)) == 1 else "…" for pieces in columns)
