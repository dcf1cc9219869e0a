"""Take one model through a recipe: run the passes, measure, search; nothing is written."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir

from compressor.budget import Budget, Figures
from compressor.chain import Chain, Progress
from compressor.errors import OptionError
from compressor.evaluation.contract import Refusal
from compressor.evaluation.host import describe_host
from compressor.evaluation.settings import Evaluation
from compressor.model.carried import carried
from compressor.model.layers import layers_of
from compressor.model.size import bytes_on_disk
from compressor.passes.contract import Pass
from compressor.passes.quantize import QuantizeDynamic
from compressor.recipe import Recipe
from compressor.report import Attempt, Report

if TYPE_CHECKING:
    from compressor.evaluation.judge import Judge
    from compressor.search.search import Found


def checked(budget: Budget | None, verify: bool, search: bool) -> Budget:
    limits = budget or Budget()
    if search and not verify:
        raise OptionError("a search runs the models; leave out --no-verify or --search")
    if limits.needs_runs and not verify:
        names = ", ".join(limits.needs_runs)
        raise OptionError(f"{names}: can only be checked by running the models; leave out --no-verify or the limit")
    return limits


def figures_of(report: Report) -> Figures:
    return Figures.of(
        report.steps[-1] if report.steps else None,
        total_bytes=report.final.total_bytes,
        original_bytes=report.original.total_bytes,
        original_score=report.original_score,
    )


@dataclass(frozen=True, slots=True)
class Treatment:
    """What every model of a run goes through.

    Attributes:
        recipe: the passes.
        verify: run original and result after every pass.
        evaluation: what they are run on.
        tell: told in a few words what is being done.
        searched: what a search is to keep; None where none is asked for.

    Raises:
        OptionError: the parts contradict each other.
    """

    recipe: Recipe
    verify: bool
    evaluation: Evaluation
    tell: Progress
    searched: Budget | None

    @staticmethod
    def of(
        recipe: Recipe | None,
        verify: bool,
        evaluation: Evaluation | None,
        tell: Progress | None,
        searched: Budget | None,
    ) -> Treatment:
        """Take what is usual for everything that is None."""
        return Treatment(
            recipe or Recipe.default(), verify, evaluation or Evaluation(), tell or (lambda words: None), searched
        )

    def __post_init__(self) -> None:
        if self.evaluation.data is not None and not self.verify:
            raise OptionError("data is only of use where models are run; leave out --no-verify or --data")
        has_schemes = any(isinstance(step, QuantizeDynamic) for step in self.recipe.passes)
        if self.searched is not None and not has_schemes:
            raise OptionError("a search chooses the schemes of the quantize pass, and the recipe has none; add it")

    def apply(self, model: ir.Model, source: Path) -> tuple[ir.Model, Report]:
        """Take `model`, read from `source`, through the recipe; nothing is written."""
        started = time.perf_counter()
        warnings = list(facts.warnings) if (facts := carried(model)) else []
        judge = _find_judge(model, source, self, warnings)
        must_load = self.verify and judge is None and _loads(model)
        chain = Chain(model=model, judge=judge, must_load=must_load, tell=self.tell)
        # The source's files may hold more than the model needs, and that is what they weigh.
        original = replace(chain.size, total_bytes=bytes_on_disk([model]))
        done: list[Pass] = []
        attempts: tuple[Attempt, ...] = ()
        for step in self.recipe.passes:
            if isinstance(step, QuantizeDynamic) and self.searched is not None:
                found = _search(step, chain.model, judge, self, original.total_bytes)
                step, attempts = found.step, (*attempts, *found.attempts)
            chain.apply(step)
            done.append(step)
        report = Report(
            source=source,
            output=None,
            original=original,
            steps=tuple(chain.steps),
            host=describe_host(self.evaluation.threads),
            warnings=tuple(warnings),
            recipe=Recipe(tuple(done)).to_toml(),
            attempts=attempts,
            samples=judge.samples.description if judge is not None else "",
            original_score=judge.original_score.summary
            if judge is not None and judge.original_score is not None
            else None,
            original_layers=layers_of(model),
            final_layers=layers_of(chain.model),
            seconds=time.perf_counter() - started,
        )
        return chain.model, report


def _search(
    step: QuantizeDynamic, model: ir.Model, judge: Judge | None, treatment: Treatment, original_bytes: int
) -> Found:
    """Choose the schemes of `step` for the model as it stands."""
    from compressor.search.search import search
    from compressor.search.trial import Bench

    if judge is None or treatment.searched is None:
        raise OptionError("a search runs the model, and this one does not run on inputs made up for it; give --data")
    return search(Bench(model, step, judge, treatment.searched, original_bytes), treatment.tell)


def _loads(model: ir.Model) -> bool:
    """A model that loads but runs on no input made up for it can at least be held to loading."""
    from compressor.evaluation.judge import refusal_to_load

    return refusal_to_load(model) is None


def _find_judge(model: ir.Model, source: Path, treatment: Treatment, warnings: list[str]) -> Judge | None:
    if not treatment.verify:
        warnings.append("nothing was run, so accuracy is unknown (--no-verify)")
        return None
    from compressor.evaluation.judge import appoint_judge  # what runs models is imported where one is run

    chosen, material = treatment.evaluation, None
    if chosen.data is not None:
        from compressor.evaluation.data.read import read_material

        treatment.tell("reading the data")
        material = read_material(model, source, chosen.data, chosen)
    treatment.tell("running the original")
    judge = appoint_judge(model, seed=chosen.seed, threads=chosen.threads, material=material, tell=treatment.tell)
    if isinstance(judge, Refusal):
        warnings.append(f"accuracy is unknown, nothing could be measured: {judge.reason}")
        return None
    warnings.extend(judge.samples.notes)
    warnings.extend(
        f"output {name!r} is not judged: the original does not repeat it when it is run twice"
        for name in judge.left_out
    )
    return judge
