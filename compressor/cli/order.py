"""What a user has ordered from ``compress``, and how it is carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compressor import pipeline
from compressor.budget import Budget
from compressor.chain import Progress
from compressor.errors import OptionError
from compressor.evaluation.settings import Evaluation
from compressor.folder.naming import Naming
from compressor.model.together import Storage
from compressor.passes.quantization.options import Scheme
from compressor.passes.target import Target
from compressor.recipe import Recipe
from compressor.render.forms import Forms, forms_of_each, forms_of_report, forms_of_set
from compressor.selection import Selection
from compressor.separate import compress_each


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Models, and everything that is to be done to them.

    Attributes:
        selected: the models, and the place for the result.
        recipe, budget, search, keep, force, verify, evaluation: as for :func:`compressor.compress`.
        separate: several models have nothing to do with each other.
        jobs: how many of those are worked on at once.
        storage: where weights go that several models hold.
        takes_files_along: the other files of a folder are copied.

    Raises:
        OptionError: the parts contradict each other.
    """

    selected: Selection
    recipe: Recipe | None
    budget: Budget
    evaluation: Evaluation
    search: bool
    keep: bool
    force: bool
    verify: bool
    separate: bool
    jobs: int
    storage: Storage
    takes_files_along: bool

    def __post_init__(self) -> None:
        if self.jobs > 1 and not self.separate:
            raise OptionError("--jobs: models that belong together are compressed one after the other; add --separate")

    def carry_out(self, tell: Progress | None, *, verbose: bool, worst: int) -> Forms:
        """Compress, and put what became of it into words."""
        if not self.selected.is_set:
            return self._one(tell, verbose=verbose, worst=worst)
        return self._each(tell, verbose=verbose) if self.separate else self._together(tell, verbose=verbose)

    def _one(self, tell: Progress | None, *, verbose: bool, worst: int) -> Forms:
        report = pipeline.compress(
            self.selected.models[0], self.selected.output, recipe=self.recipe, budget=self.budget, search=self.search,
            keep=self.keep, force=self.force, verify=self.verify, evaluation=self.evaluation, progress=tell,
        )  # fmt: skip
        return forms_of_report(report, verbose=verbose, worst=worst)

    def _together(self, tell: Progress | None, *, verbose: bool) -> Forms:
        found = pipeline.compress_together(
            self.selected.models, self.selected.output, recipe=self.recipe, budget=self.budget, search=self.search,
            keep=self.keep, force=self.force, verify=self.verify, evaluation=self.evaluation, progress=tell,
            folder=self.selected.folder if self.takes_files_along else None, naming=self.selected.naming,
            storage=self.storage,
        )  # fmt: skip
        return forms_of_set(found, verbose=verbose)

    def _each(self, tell: Progress | None, *, verbose: bool) -> Forms:
        found = compress_each(
            self.selected.models, self.selected.output, recipe=self.recipe, budget=self.budget, search=self.search,
            keep=self.keep, force=self.force, verify=self.verify, evaluation=self.evaluation, progress=tell,
            naming=self.selected.naming, jobs=self.jobs,
        )  # fmt: skip
        return forms_of_each(found, verbose=verbose)


def chosen_recipe(
    *, passes: str | None, file: Path | None, target: Target | None, scheme: Scheme | None, exclude: Sequence[str]
) -> Recipe | None:
    """Take the passes from where they are named, and set what single options say of them; None takes the default.

    Raises:
        OptionError: passes are named in two places, or do not exist, or an option speaks of a pass that is not there.
    """
    if passes is not None and file is not None:
        raise OptionError("--passes and --recipe both name the passes; give one of them")
    recipe = None
    if file is not None:
        recipe = Recipe.from_toml(file)
    elif passes is not None:
        recipe = Recipe.from_names([name.strip() for name in passes.split(",") if name.strip()])
    if target is not None:
        recipe = (recipe or Recipe.default()).for_target(target)
    if scheme is not None:
        recipe = (recipe or Recipe.default()).with_scheme(scheme)
    return (recipe or Recipe.default()).excluding(exclude) if exclude else recipe


def storage_for(naming: Naming, *, is_shared: bool) -> Storage:
    """transformers.js loads no data file of another name than its model's."""
    return Storage.SHARED if is_shared and naming is Naming.KEEP else Storage.INSIDE
