"""Put a task's score into words: the figure, how far it can be trusted, and what became of single samples."""

from __future__ import annotations

from compressor.render import figures
from compressor.report import SIGNIFICANT, TaskScore

_NOT_A_SHARE = frozenset({"Spearman correlation"})


def score_of(score: TaskScore | None) -> list[str]:
    """Give the figure, and below it the interval of the original, or wins, losses and chance of another model."""
    if score is None:
        return [figures.NOT_MEASURED]
    spelled = _spell(score, score.value)
    if score.p_value is None:
        return [spelled, f"({_interval(score, '–')})"]
    if (score.wins, score.losses) == (0, 0):
        return [spelled]
    turned = [] if score.wins is None else [f"+{score.wins:,} -{score.losses:,}"]
    return [spelled, *turned, figures.chance(score.p_value)]


def score_in_short(score: TaskScore | None) -> str:
    """Give the figure alone."""
    return figures.NOT_MEASURED if score is None else _spell(score, score.value)


def scores_in_words(original: TaskScore, score: TaskScore) -> str:
    """Say what became of the metric, and whether that is more than chance."""
    before, after = _spell(original, original.value), _spell(score, score.value)
    name = figures.printable(f"{original.metric[:1].upper()}{original.metric[1:]}")
    on = figures.plural(original.samples, "labelled sample")
    said = f"{name} on {on}: {before} (95 % interval {_interval(original, ' to ')})"
    if score.value == original.value and not (score.wins or score.losses):
        return f"{said}, and every sample as by the original."
    return f"{said} became {after}{_turned(score)}."


def legend_of(original: TaskScore) -> str:
    """Explain the column of scores."""
    name = figures.printable(f"{original.metric[:1].upper()}{original.metric[1:]}")
    return (
        f"{name}: on {figures.plural(original.samples, 'labelled sample')}; in brackets its 95 % interval; + and - "
        "count samples that came out better and worse than by the original; p: how likely such a difference is by "
        "chance."
    )


def _turned(score: TaskScore) -> str:
    if score.p_value is None:
        return ""
    verdict = "more than chance gives" if score.p_value < SIGNIFICANT else "no more than chance gives"
    counts = "" if score.wins is None else f"{score.wins:,} better, {score.losses:,} worse; "
    return f" ({counts}{verdict}, {figures.chance(score.p_value)})"


def _is_share(score: TaskScore) -> bool:
    return not score.is_less_better and score.metric not in _NOT_A_SHARE


def _spell(score: TaskScore, value: float) -> str:
    return figures.score(value, is_share=_is_share(score))


def _interval(score: TaskScore, between: str) -> str:
    """Spell the ends with a digit less than the figure, without its unit."""
    if _is_share(score):
        return between.join(f"{100 * end:.1f}" for end in (score.low, score.high))
    return between.join(f"{end:,.3f}" for end in (score.low, score.high))
