"""The command ``compress``."""

# No `from __future__ import annotations`: Typer reads the annotations when the program runs.
from contextlib import nullcontext
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
from compressor.cli.destinations import Destinations, place_of_recipe, refuse_clashes
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

if TYPE_CHECKING:
    from compressor.render.forms import Forms


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
        from compressor.cli.order import Order, chosen_recipe, storage_for
        from compressor.render.terminal import shown_progress
        from compressor.selection import select

        if search and scheme is not None:
            raise OptionError("--search chooses the scheme of every weight; leave out --scheme, or --search")
        selected = select(models, output, naming)
        places = Destinations(
            json=json,
            markdown=markdown,
            html=html,
            card=model_card,
            recipe=place_of_recipe(save_recipe, selected, is_searched=search),
            is_recipe_asked=save_recipe is not None,
        )
        refuse_clashes(selected.written, places.json, places.markdown, places.html, places.card, places.recipe)
        with places.opened() as write:
            order = Order(
                selected=selected,
                recipe=chosen_recipe(passes=passes, file=recipe, target=target, scheme=scheme, exclude=exclude or ()),
                budget=Budget(
                    min_cosine=min_cosine, min_agreement=min_agreement, max_accuracy_drop=max_accuracy_drop,
                    max_size=max_size, min_speedup=min_speedup,
                ),
                evaluation=read_evaluation(
                    data=data, text_column=text_column, tokenizer=tokenizer, labels=labels, task=task, samples=samples,
                    batch_size=batch_size, seed=seed,
                ),
                search=search,
                keep=keep,
                force=force,
                verify=not no_verify,
                separate=separate,
                jobs=jobs,
                storage=storage_for(naming, is_shared=not no_shared_data),
                takes_files_along=not models_only,
            )  # fmt: skip
            with nullcontext() if quiet else shown_progress() as tell:
                forms = order.carry_out(tell, verbose=verbose, worst=show_worst)
            write(forms)
        _conclude(forms, is_shown=not quiet and not places.are_printed)


def _conclude(forms: "Forms", *, is_shown: bool) -> None:
    """Print the report and each promise broken, and end with the exit code that fits.

    A promise broken is a line on stderr, unless both go to one terminal: there the report has just said it.
    """
    from compressor.render.terminal import is_terminal, print_report, say

    if is_shown:
        print_report(forms.table)
    for sentence in () if is_shown and is_terminal() else forms.broken:
        say(sentence)
    if forms.broken:
        raise typer.Exit(ExitCode.BROKEN)
