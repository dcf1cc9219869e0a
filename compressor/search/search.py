"""Find the schemes of all weights that keep a budget of quality at the smallest size, or one of size at its best.

Two families of schemes are searched, each along its own frontier (see :mod:`compressor.search.frontier`): one that
multiplies integers, which is fast, and one that stores fewer bits, which is smaller. Quality falls along a frontier, so
halving it finds the last position that is good in log2(n) runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from compressor.errors import OptionError
from compressor.evaluation.observe import Observer
from compressor.passes.contract import FeatureStatistics
from compressor.passes.quantization.options import Scheme
from compressor.passes.quantization.sensitivity import expected_noise, measure_power, stored_bytes, watched_values
from compressor.passes.quantization.storage import WeightPlan
from compressor.passes.quantization.weights import FloatWeight, find_float_weights
from compressor.passes.quantize import QuantizeDynamic
from compressor.report import Attempt
from compressor.search.frontier import Form, Frontier, find_frontier
from compressor.search.trial import Bench, Trial

FAMILIES: tuple[tuple[Scheme, ...], ...] = (
    (Scheme.DYNAMIC, Scheme.WEIGHT_ONLY),
    (Scheme.BLOCKWISE_4, Scheme.WEIGHT_ONLY),
)
"""Schemes searched together, besides float: those that multiply integers, and those with the fewest bits."""

_SPEED_BONUS = 0.02
"""Share of a weight's bytes that being multiplied in integers is worth: else weight-only, as small and with less noise,
would always be taken before."""

_FASTER_FOR = 0.05
"""Share of its size by which a model that multiplies more integers may be larger and still be preferred."""

MOST_TRIALS = 16
"""Models run at most, for all families; with the one that is watched and the one that is kept, fewer than 20."""

_ALIKE = 0.005
"""Share of its weights by which a model may be larger than need be."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search chose.

    Attributes:
        step: the pass that makes it.
        attempts: all that was tried, in order.
    """

    step: QuantizeDynamic
    attempts: tuple[Attempt, ...]


def search(bench: Bench, tell: Tell) -> Found:
    """Choose a scheme for every weight.

    With limits on quality, the smallest model that keeps them; with one on size alone, the best model within it.
    Where nothing keeps the limits, the choice is the one that comes nearest, and the caller finds it broken.

    Raises:
        OptionError: the budget limits neither quality nor size, so there is nothing to search for.
    """
    if not bench.budget.limits_quality and bench.budget.max_size is None:
        raise OptionError("a search needs a limit to keep: a quality (--min-cosine, ...) or a size (--max-size)")
    tell("search: watching the model")
    frontiers = [find_frontier(forms) for forms in _forms_by_family(bench)]
    trials: list[Trial] = []
    for number, frontier in enumerate(frontiers):
        most = (MOST_TRIALS - len(trials)) // (len(frontiers) - number)
        dial = _Dial(bench, frontier, trials, tell, len(trials) + most)
        if bench.budget.limits_quality:
            _smallest_good(dial)
        else:
            _best_within(dial, bench)
    chosen = _choose(trials, by_size=bench.budget.limits_quality)
    attempts = (replace(trial.attempt, is_chosen=trial is chosen) for trial in trials)
    return Found(chosen.step, tuple(attempts))


@dataclass(slots=True)
class _Dial:
    """One frontier, and the trials along it."""

    bench: Bench
    frontier: Frontier[Scheme | None]
    trials: list[Trial]
    tell: Tell
    most: int

    @property
    def end(self) -> int:
        return len(self.frontier.steps)

    @property
    def is_over(self) -> bool:
        return len(self.trials) >= self.most

    def are_alike(self, first: int, second: int) -> bool:
        """They differ so little in size that telling which of the positions between is good is not worth a run."""
        return self.frontier.size(first) - self.frontier.size(second) < _ALIKE * self.frontier.size(second)

    def choice(self, position: int) -> dict[str, Scheme | None]:
        return {name: form.label for name, form in self.frontier.at(position).items()}

    def try_out(self, position: int) -> Trial:
        self.tell(f"search: trial {len(self.trials) + 1} of at most {MOST_TRIALS}")
        trial = self.bench.try_out(self.choice(position))
        self.trials.append(trial)
        return trial


def _smallest_good(dial: _Dial) -> None:
    """Halve the frontier: what is good stays on the left, what is not on the right."""
    if dial.try_out(dial.end).is_good:
        return
    good, bad = 0, dial.end
    while bad - good > 1 and not dial.is_over and not dial.are_alike(good, bad):
        middle = (good + bad) // 2
        if dial.try_out(middle).is_good:
            good = middle
        else:
            bad = middle
    if good == 0 and not dial.is_over:
        dial.try_out(0)


def _best_within(dial: _Dial, bench: Bench) -> None:
    """Find the first position that is small enough, by sizes alone, and try that one out."""
    large, small = -1, dial.end
    while small - large > 1:
        middle = (large + small) // 2
        if bench.budget.too_large(bench.size(dial.choice(middle)), bench.original_bytes):
            large = middle
        else:
            small = middle
    dial.try_out(small)


def _choose(trials: Sequence[Trial], *, by_size: bool) -> Trial:
    """The smallest of those that keep all limits, or the best of them; where none does, the one that comes nearest."""
    kept = [trial for trial in trials if not trial.attempt.broken_limits]
    if not kept and not by_size:
        return min(trials, key=lambda trial: (not trial.is_good, trial.attempt.total_bytes))
    kept = kept or [trial for trial in trials if trial.is_good]
    if not kept or not by_size:
        return max(kept or trials, key=_quality)
    smallest = min(trial.attempt.total_bytes for trial in kept)
    near = [trial for trial in kept if trial.attempt.total_bytes <= (1 + _FASTER_FOR) * smallest]
    # By scheme, not by the time a run took: the same command must give the same bytes tomorrow.
    return max(near, key=lambda trial: (trial.attempt.weights.get(Scheme.DYNAMIC.value, 0), -trial.attempt.total_bytes))


def _quality(trial: Trial) -> tuple[float, float]:
    attempt = trial.attempt
    score = attempt.score
    value = 0.0 if score is None else -score.value if score.is_less_better else score.value
    cosines = [output.cosine_mean for output in attempt.fidelity.outputs] if attempt.fidelity else []
    return value, min((cosine for cosine in cosines if cosine is not None), default=-1.0)


def _forms_by_family(bench: Bench) -> Iterator[dict[str, list[Form[Scheme | None]]]]:
    """For each family the forms that every weight can take."""
    weights = [
        weight for weight in find_float_weights(bench.model, 2) if weight.elements >= max(1, bench.step.min_elements)
    ]
    judge = bench.judge
    seen = Observer(judge.samples, judge.threads, judge.room).observe(bench.model, watched_values(weights))
    watched: Mapping[str, FeatureStatistics] = {} if isinstance(seen, str) else seen
    powers = {weight.name: measure_power(weight.tensor) for weight in weights}
    for family in FAMILIES:
        forms = {weight.name: [_as_float(weight)] for weight in weights}
        for scheme in family:
            plans, _ = replace(bench.step, scheme=scheme).decide(weights)
            for plan in plans:
                name = plan.weight.name
                noise = expected_noise(plan, powers[name], watched)
                forms[name].append(Form(scheme, _worth(plan, scheme), noise))
        yield {name: found for name, found in forms.items() if len(found) > 1}


def _as_float(weight: FloatWeight) -> Form[Scheme | None]:
    return Form(None, weight.tensor.nbytes, 0.0)


def _worth(plan: WeightPlan, scheme: Scheme) -> int:
    size = stored_bytes(plan)
    return size - int(_SPEED_BONUS * size) if scheme is Scheme.DYNAMIC else size
