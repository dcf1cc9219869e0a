"""Name the options that commands take, with their help."""

# No `from __future__ import annotations`: Typer reads the annotations when the program runs.
from pathlib import Path
from typing import Annotated

import typer

from compressor.folder.naming import Naming
from compressor.passes.quantization.options import Scheme
from compressor.passes.target import Target

ModelsArgument = Annotated[
    list[Path], typer.Argument(metavar="MODEL", help="The .onnx file, several, or a folder; never changed.")
]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="The .onnx file; it is never changed.")]
OriginalArgument = Annotated[Path, typer.Argument(metavar="ORIGINAL", help="The model whose outputs are right.")]
CandidateArgument = Annotated[Path, typer.Argument(metavar="CANDIDATE", help="The model to judge.")]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="Result; for several models a folder "
        "[default: NAME.compressed.onnx beside NAME.onnx, DIR.compressed beside DIR, compressed beside the first of "
        "several].",
    ),
]
PassesOption = Annotated[
    str | None,
    typer.Option(metavar="NAMES", help="Passes in order, with commas [default: deduplicate,fuse,smooth,quantize]."),
]
RecipeOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="TOML file that names passes and sets their options.")
]
JsonOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the report as JSON; '-' prints it and nothing else.")
]
MarkdownOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write a short table for a pull request; '-' prints it.")
]
ModelCardOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write how the model was made, for its model card, in Markdown; '-' prints it."),
]
HtmlOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the report as a page with drawings, whole in itself; '-' prints it."),
]
MinCosineOption = Annotated[
    float | None, typer.Option(metavar="C", help="Smallest cosine similarity of any row of any output that is good.")
]
MinAgreementOption = Annotated[
    float | None, typer.Option(metavar="SHARE", help="Smallest top-1 agreement with the original, 0 to 1.")
]
MaxAccuracyDropOption = Annotated[
    float | None, typer.Option(metavar="POINTS", help="Largest loss of the task's metric in points; needs labels.")
]
MaxSizeOption = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Most the result may weigh: 25MB, 8MiB, or 30% of the original.")
]
MinSpeedupOption = Annotated[
    float | None, typer.Option(metavar="X", help="Smallest number of times as fast as the original, on this host.")
]
SearchOption = Annotated[
    bool,
    typer.Option(
        "--search",
        help="Choose a scheme for every weight: the smallest model that keeps the limits on quality, or the best one "
        "within --max-size.",
    ),
]
SaveRecipeOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write the passes that ran as a recipe, which gives the same result again "
        "[default with --search: OUT with the ending .recipe.toml].",
    ),
]
TargetOption = Annotated[
    Target | None,
    typer.Option(
        help="Whose operators the result may hold: 'standard' for runtimes other than ONNX Runtime [default: ort]."
    ),
]
SchemeOption = Annotated[
    Scheme | None,
    typer.Option(help="What 'quantize' makes of weights, in place of its recipe's choice [default: dynamic]."),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="GLOB",
        help="Leave weights in float by name, or by that of an operator using them or its module; may be repeated.",
    ),
]
NamingOption = Annotated[
    Naming,
    typer.Option(
        help="'quantized' names results NAME_quantized.onnx, as transformers.js looks for them, weights inside; 'q4' "
        "and so on are its other types."
    ),
]
NoSharedDataOption = Annotated[
    bool, typer.Option("--no-shared-data", help="Of several models, keep each one's weights inside its own file.")
]
ModelsOnlyOption = Annotated[
    bool,
    typer.Option("--models-only", help="Of a folder, do not copy configuration, tokenizer and the like to the result."),
]
SeparateOption = Annotated[
    bool,
    typer.Option(
        "--separate",
        help="Several models have nothing to do with each other: each is compressed for itself, and one that is "
        "refused does not stop the rest.",
    ),
]
JobsOption = Annotated[
    int, typer.Option(min=1, metavar="N", help="With --separate, models to work on at a time, each in a process.")
]
KeepOption = Annotated[bool, typer.Option("--keep", help="Write the result even if it breaks a limit.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Replace OUT if it exists; in a folder, the models of the same names.")
]
NoVerifyOption = Annotated[
    bool, typer.Option("--no-verify", help="Do not run the models: faster, but accuracy stays unknown.")
]
NoRunOption = Annotated[
    bool, typer.Option("--no-run", help="Do not run the model, so that its dynamic axes are not put to the test.")
]
AtolOption = Annotated[
    float | None,
    typer.Option(
        help="Largest absolute difference of any output value that is valid "
        "[default: 1e-5 where both models have the same operators, else 1e-3; none where limits or labels decide]."
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of generated inputs, and of the rows drawn from data.")]
ShowWorstOption = Annotated[
    int, typer.Option(min=0, max=20, metavar="N", help="Name the N samples whose outputs moved farthest.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no table, only errors.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="List every candidate that was left alone.")]
