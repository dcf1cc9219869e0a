"""The command ``compare``."""

# No `from __future__ import annotations`: Typer reads the annotations when the program runs.
from contextlib import nullcontext

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
    AtolOption,
    CandidateArgument,
    HtmlOption,
    JsonOption,
    MaxAccuracyDropOption,
    MaxSizeOption,
    MinAgreementOption,
    MinCosineOption,
    MinSpeedupOption,
    OriginalArgument,
    QuietOption,
    SeedOption,
    ShowWorstOption,
)


def compare_command(
    original: OriginalArgument,
    candidate: CandidateArgument,
    json: JsonOption = None,
    html: HtmlOption = None,
    atol: AtolOption = None,
    min_cosine: MinCosineOption = None,
    min_agreement: MinAgreementOption = None,
    max_accuracy_drop: MaxAccuracyDropOption = None,
    max_size: MaxSizeOption = None,
    min_speedup: MinSpeedupOption = None,
    data: DataOption = None,
    text_column: TextColumnOption = None,
    tokenizer: TokenizerOption = None,
    labels: LabelsOption = None,
    task: TaskOption = None,
    samples: SamplesOption = None,
    batch_size: BatchSizeOption = None,
    seed: SeedOption = 0,
    show_worst: ShowWorstOption = 0,
    quiet: QuietOption = False,
) -> None:
    """Say how far apart two models are: size, speed, outputs.

    Both are run on the same inputs: yours, or generated ones.
    """
    with errors_as_exit_codes():
        from compressor.budget import Budget
        from compressor.comparison import compare
        from compressor.render import as_json
        from compressor.render.comparison_as_table import comparison_as_table
        from compressor.render.destination import open_destination
        from compressor.render.html.comparison_page import comparison_as_html
        from compressor.render.html.page import MARK as HTML_MARK
        from compressor.render.terminal import print_report, shown_progress

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
        refuse_clashes((), json, html)
        with open_destination(json, as_json.MARK) as to_json, open_destination(html, HTML_MARK) as to_html:
            with nullcontext() if quiet else shown_progress() as progress:
                comparison = compare(
                    original, candidate, atol=atol, budget=budget, evaluation=evaluation, progress=progress
                )
            to_json.write(as_json.as_text(as_json.facts_as_dict("compare", comparison)))
            if html is not None:
                to_html.write(comparison_as_html(comparison))
        if not quiet and not is_standard_output(json, html):
            print_report(comparison_as_table(comparison, worst=show_worst))
        if not comparison.is_valid:
            raise typer.Exit(ExitCode.BROKEN)
