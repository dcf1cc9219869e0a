"""The command ``compress``."""

# No `from __future__ import annotations`: Typer reads the annotations when the program runs.
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from compressor.cli.data_options import (
    BatchSizeOption,
    DataOption,
    LabelsOption,
    SamplesOption,
    TaskOption,
    TextColumnOption,
    TokenizerOption,
    read_evaluation,
)
from compressor.cli.destinations import is_standard_output, refuse_clashes
from compressor.cli.endings import ExitCode, errors_as_exit_codes
from compressor.cli.options import (
    ExcludeOption,
    ForceOption,
    HtmlOption,
    JobsOption,
    JsonOption,
    KeepOption,
    MarkdownOption,
    MaxAccuracyDropOption,
    MaxSizeOption,
    MinAgreementOption,
    MinCosineOption,
    MinSpeedupOption,
    ModelCardOption,
    ModelsArgument,
    ModelsOnlyOption,
    NamingOption,
    NoSharedDataOption,
    NoVerifyOption,
    OutputOption,
    PassesOption,
    QuietOption,
    RecipeOption,
    SaveRecipeOption,
    SchemeOption,
    SearchOption,
    SeedOption,
    SeparateOption,
    ShowWorstOption,
    TargetOption,
    VerboseOption,
)
from compressor.errors import OptionError
from compressor.folder.naming import Naming
from compressor.passes.quantization.options import Scheme
from compressor.passes.target import Target

if TYPE_CHECKING:
    from compressor.recipe import Recipe
    from compressor.selection import Selection


def compress_command(
    models: ModelsArgument,
    output: OutputOption = None,
    passes: PassesOption = None,
    recipe: RecipeOption = None,
    target: TargetOption = None,
    scheme: SchemeOption = None,
    exclude: ExcludeOption = None,
    json: JsonOption = None,
    markdown: MarkdownOption = None,
    html: HtmlOption = None,
    model_card: ModelCardOption = None,
    data: DataOption = None,
    text_column: TextColumnOption = None,
    tokenizer: TokenizerOption = None,
    labels: LabelsOption = None,
    task: TaskOption = None,
    samples: SamplesOption = None,
    batch_size: BatchSizeOption = None,
    seed: SeedOption = 0,
    min_cosine: MinCosineOption = None,
    min_agreement: MinAgreementOption = None,
    max_accuracy_drop: MaxAccuracyDropOption = None,
    max_size: MaxSizeOption = None,
    min_speedup: MinSpeedupOption = None,
    search: SearchOption = False,
    save_recipe: SaveRecipeOption = None,
    naming: NamingOption = Naming.KEEP,
    no_shared_data: NoSharedDataOption = False,
    models_only: ModelsOnlyOption = False,
    separate: SeparateOption = False,
    jobs: JobsOption = 1,
    keep: KeepOption = False,
    force: ForceOption = False,
    no_verify: NoVerifyOption = False,
    show_worst: ShowWorstOption = 0,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Shrink a model, or models that belong together, pass by pass, measuring after each."""
    with errors_as_exit_codes():
        from compressor.budget import Budget
        from compressor.model.together import Storage
        from compressor.pipeline import compress, compress_together
        from compressor.recipe import MARK as RECIPE_MARK
        from compressor.recipe import Recipe
        from compressor.render import as_json, as_markdown, as_model_card
        from compressor.render.destination import open_destination
        from compressor.render.forms import forms_of_each, forms_of_report, forms_of_set
        from compressor.render.html.page import MARK as HTML_MARK
        from compressor.render.terminal import print_report, say, shown_progress
        from compressor.selection import select
        from compressor.separate import compress_each

        budget = Budget(
            min_cosine=min_cosine,
            min_agreement=min_agreement,
            max_accuracy_drop=max_accuracy_drop,
            max_size=max_size,
            min_speedup=min_speedup,
        )
        evaluation = read_evaluation(
            data=data, text_column=text_column, tokenizer=tokenizer, labels=labels, task=task, samples=samples,
            batch_size=batch_size, seed=seed,
        )  # fmt: skip
        if jobs > 1 and not separate:
            raise OptionError("--jobs: models that belong together are compressed one after the other; add --separate")
        selected = select(models, output, naming)
        recipe_file = _place_of_recipe(save_recipe, selected, search)
        refuse_clashes(selected.written, json, markdown, html, model_card, recipe_file)
        with (
            open_destination(json, as_json.MARK) as to_json,
            open_destination(markdown, as_markdown.MARK) as to_markdown,
            open_destination(html, HTML_MARK) as to_html,
            open_destination(model_card, as_model_card.MARK) as to_card,
            open_destination(recipe_file, RECIPE_MARK) as to_recipe,
        ):
            chosen, verify, out = _choose_recipe(passes, recipe, target, scheme), not no_verify, selected.output
            if exclude:
                chosen = (chosen or Recipe.default()).excluding(exclude)
            with nullcontext() if quiet else shown_progress() as tell:
                if selected.is_set and separate:
                    each = compress_each(
                        selected.models, out, recipe=chosen, budget=budget, keep=keep, force=force, verify=verify,
                        evaluation=evaluation, progress=tell, search=search, naming=naming, jobs=jobs,
                    )  # fmt: skip
                    forms = forms_of_each(each, verbose=verbose)
                elif selected.is_set:
                    together = compress_together(
                        selected.models, out, recipe=chosen, budget=budget, keep=keep, force=force, verify=verify,
                        evaluation=evaluation, progress=tell, search=search,
                        folder=None if models_only else selected.folder, naming=naming,
                        storage=Storage.INSIDE if no_shared_data or naming is Naming.QUANTIZED else Storage.SHARED,
                    )  # fmt: skip
                    forms = forms_of_set(together, verbose=verbose)
                else:
                    report = compress(
                        selected.models[0], out, recipe=chosen, budget=budget, keep=keep, force=force, verify=verify,
                        evaluation=evaluation, progress=tell, search=search,
                    )  # fmt: skip
                    forms = forms_of_report(report, verbose=verbose, worst=show_worst)
                    if save_recipe is not None or report.output is not None:
                        to_recipe.write(report.recipe)
            to_json.write(forms.json)
            to_markdown.write(forms.markdown)
            if html is not None:
                to_html.write(forms.html())
            to_card.write(forms.card)
        if not quiet and not is_standard_output(json, markdown, html, model_card, recipe_file):
            print_report(forms.table)
        for sentence in forms.broken:
            say(sentence)
        if forms.broken:
            raise typer.Exit(ExitCode.BROKEN)


def _place_of_recipe(named: Path | None, selected: "Selection", search: bool) -> Path | None:
    """Where the recipe goes: what a search found is kept even if nobody said where."""
    if named is not None and selected.is_set:
        raise OptionError("--save-recipe: several models have a recipe each; the JSON report holds them")
    if named is not None or not search or selected.is_set:
        return named
    return selected.output.with_suffix(".recipe.toml")


def _choose_recipe(
    passes: str | None, recipe: Path | None, target: Target | None, scheme: Scheme | None
) -> "Recipe | None":
    from compressor.recipe import Recipe

    if passes is not None and recipe is not None:
        raise OptionError("--passes and --recipe both name the passes; give one of them")
    chosen = None
    if recipe is not None:
        chosen = Recipe.from_toml(recipe)
    elif passes is not None:
        chosen = Recipe.from_names([name.strip() for name in passes.split(",") if name.strip()])
    if target is not None:
        chosen = (chosen or Recipe.default()).for_target(target)
    return chosen if scheme is None else (chosen or Recipe.default()).with_scheme(scheme)
