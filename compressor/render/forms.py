"""Put the report of a run into every form the command gives it: JSON, Markdown, a table, sentences for stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from rich.console import RenderableType

from compressor.render.as_json import as_text, each_as_dict, report_as_dict, set_as_dict
from compressor.render.as_markdown import report_as_markdown, set_as_markdown
from compressor.render.as_model_card import card_of_report, card_of_set
from compressor.render.as_table import report_as_table
from compressor.render.each_as_table import each_as_markdown, each_as_table
from compressor.render.findings_of_each import broken_in_each
from compressor.render.findings_of_set import broken_in, rolled_back
from compressor.render.html.report_page import report_as_html
from compressor.render.html.set_page import each_as_html, set_as_html
from compressor.render.set_as_table import set_as_table
from compressor.report import EachReport, Outcome, Report, SetReport, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """One report, said in several ways.

    Attributes:
        json, markdown, card: texts for files or pipes.
        html: the same as a page; made when it is asked for, as drawing it takes time.
        table: for a terminal.
        broken: a sentence for each promise that the result does not keep: a pass rolled back, a limit of the budget.
        recipe: the passes that ran, as a recipe file holds them; empty for several models, which have one each.
        is_written: there is a result.
    """

    json: str
    markdown: str
    card: str
    html: Callable[[], str]
    table: RenderableType
    broken: tuple[str, ...]
    recipe: str = ""
    is_written: bool = True


def forms_of_report(report: Report, *, verbose: bool, worst: int = 0) -> Forms:
    """Say what became of one model."""
    return Forms(
        json=as_text(report_as_dict(report)),
        markdown=report_as_markdown(report),
        card=card_of_report(report),
        html=partial(report_as_html, report),
        table=report_as_table(report, verbose=verbose, worst=worst),
        broken=(
            *(_undone(step) for step in report.steps if step.outcome is Outcome.ROLLED_BACK),
            *_limits(report.broken_limits, is_written=report.output is not None),
        ),
        recipe=report.recipe,
        is_written=report.output is not None,
    )


def forms_of_set(found: SetReport, *, verbose: bool) -> Forms:
    """Say what became of models that belong together."""
    return Forms(
        json=as_text(set_as_dict(found)),
        markdown=set_as_markdown(found),
        card=card_of_set(found),
        html=partial(set_as_html, found),
        table=set_as_table(found, verbose=verbose),
        broken=(
            *(f"{report.source.name}: {_undone(step)}" for report, step in rolled_back(found)),
            *_limits(tuple(broken_in(found)), is_written=bool(found.files)),
        ),
    )


def forms_of_each(found: EachReport, *, verbose: bool) -> Forms:
    """Say what became of models that have nothing to do with each other."""
    return Forms(
        json=as_text(each_as_dict(found)),
        markdown=each_as_markdown(found),
        card="\n".join(card_of_report(report) for report in found.reports),
        html=partial(each_as_html, found),
        table=each_as_table(found, verbose=verbose),
        broken=tuple(broken_in_each(found)),
    )


def _undone(step: Step) -> str:
    return f"{step.name} was rolled back: {step.reason or 'it broke its claim'}"


def _limits(sentences: Sequence[str], *, is_written: bool) -> Iterator[str]:
    yield from sentences
    if sentences and not is_written:
        yield "nothing was written; --keep writes the result all the same"
