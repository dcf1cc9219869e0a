"""Offer the library as the command ``compressor``: parse, call, render, and end with the right exit code."""

# No `from __future__ import annotations`: Typer reads the annotations when the program runs.
import gc
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from compressor import __version__
from compressor.errors import CompressorError, OptionError
from compressor.examples import COMPARE_EXAMPLES, COMPRESS_EXAMPLES, INSPECT_EXAMPLES

if TYPE_CHECKING:
    from compressor.recipe import Recipe


class ExitCode(IntEnum):
    """How a run ended, for scripts."""

    DONE = 0
    BROKEN = 1
    BAD_INPUT = 2
    DEFECT = 70
    INTERRUPTED = 130
    READER_GONE = 141
    TERMINATED = 143


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
    typer.Option(metavar="NAMES", help="Passes in order, with commas [default: deduplicate,fuse,quantize]."),
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
ForceOption = Annotated[
    bool, typer.Option("--force", help="Replace OUT if it exists; in a folder, the models of the same names.")
]
NoVerifyOption = Annotated[
    bool, typer.Option("--no-verify", help="Do not run the models: faster, but accuracy stays unknown.")
]
AtolOption = Annotated[float, typer.Option(help="Largest absolute difference of any output value that is valid.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of the generated inputs.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no table, only errors.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="List every candidate that was left alone.")]

app = typer.Typer(
    name="compressor",
    no_args_is_help=True,
    # Plain text: rich markup swallows the "[v2]" of a path in an error message, and costs start-up time.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def main() -> None:
    """Run the command line; the entry point of the package."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A path or a tensor's name may hold what the terminal's encoding cannot.
            stream.reconfigure(errors="backslashreplace")
    # Leave by an exception, so that half-written files are cleaned up as they are after Ctrl-C.
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(ExitCode.TERMINATED))
    # A graph is millions of small objects that stay. Looking for garbage among them as often as Python does by default
    # makes `compress --passes deduplicate --no-verify` take 18.8 s of processor time for 100,000 nodes, not 11.8 s.
    gc.set_threshold(50_000, 20, 100)
    app()


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"compressor {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Shrink an exported .onnx file, and say honestly what that cost."""


@app.command("compress", epilog=COMPRESS_EXAMPLES, no_args_is_help=True)
def _compress(
    models: ModelsArgument,
    output: OutputOption = None,
    passes: PassesOption = None,
    recipe: RecipeOption = None,
    json: JsonOption = None,
    markdown: MarkdownOption = None,
    force: ForceOption = False,
    no_verify: NoVerifyOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Shrink a model, or models that belong together, pass by pass, measuring after each."""
    with _errors_as_exit_codes():
        from compressor.pipeline import compress, compress_together
        from compressor.render import as_json, as_markdown
        from compressor.render.destination import open_destination
        from compressor.render.forms import forms_of_report, forms_of_set
        from compressor.render.terminal import print_report, say, shown_progress
        from compressor.selection import select

        selected = select(models, output)
        _refuse_clashes(selected.written, json, markdown)
        with (
            open_destination(json, as_json.MARK) as to_json,
            open_destination(markdown, as_markdown.MARK) as to_markdown,
        ):
            chosen, verify, out = _choose_recipe(passes, recipe), not no_verify, selected.output
            with nullcontext() if quiet else shown_progress() as tell:
                if selected.is_set:
                    together = compress_together(
                        selected.models, out, recipe=chosen, force=force, verify=verify, progress=tell
                    )
                    forms = forms_of_set(together, verbose=verbose)
                else:
                    (model,) = selected.models
                    report = compress(model, out, recipe=chosen, force=force, verify=verify, progress=tell)
                    forms = forms_of_report(report, verbose=verbose)
            to_json.write(forms.json)
            to_markdown.write(forms.markdown)
        if not quiet and not _is_standard_output(json, markdown):
            print_report(forms.table)
        for sentence in forms.undone:
            say(sentence)
        if forms.undone:
            raise typer.Exit(ExitCode.BROKEN)


@app.command("inspect", epilog=INSPECT_EXAMPLES, no_args_is_help=True)
def _inspect(model: ModelArgument, json: JsonOption = None, verbose: VerboseOption = False) -> None:
    """Say where the bytes are and what each pass would save.

    Nothing is written, and the model is not run.
    """
    with _errors_as_exit_codes():
        from compressor.inspection import inspect
        from compressor.render import as_json
        from compressor.render.destination import open_destination
        from compressor.render.inspection_as_table import inspection_as_table
        from compressor.render.terminal import print_report

        with open_destination(json, as_json.MARK) as to_json:
            inspection = inspect(model)
            to_json.write(as_json.as_text(as_json.facts_as_dict("inspect", inspection)))
        if not _is_standard_output(json):
            print_report(inspection_as_table(inspection, verbose=verbose))


@app.command("compare", epilog=COMPARE_EXAMPLES, no_args_is_help=True)
def _compare(
    original: OriginalArgument,
    candidate: CandidateArgument,
    json: JsonOption = None,
    atol: AtolOption = 1e-3,
    seed: SeedOption = 0,
    quiet: QuietOption = False,
) -> None:
    """Say how far apart two models are: size, speed, outputs.

    Both are run on the same generated inputs.
    """
    with _errors_as_exit_codes():
        from compressor.comparison import compare
        from compressor.render import as_json
        from compressor.render.comparison_as_table import comparison_as_table
        from compressor.render.destination import open_destination
        from compressor.render.terminal import print_report, shown_progress

        with open_destination(json, as_json.MARK) as to_json:
            with nullcontext() if quiet else shown_progress() as progress:
                comparison = compare(original, candidate, atol=atol, seed=seed, progress=progress)
            to_json.write(as_json.as_text(as_json.facts_as_dict("compare", comparison)))
        if not quiet and not _is_standard_output(json):
            print_report(comparison_as_table(comparison))
        if not comparison.is_valid:
            raise typer.Exit(ExitCode.BROKEN)


def _choose_recipe(passes: str | None, recipe: Path | None) -> "Recipe | None":
    from compressor.recipe import Recipe

    if passes is not None and recipe is not None:
        raise OptionError("--passes and --recipe both name the passes; give one of them")
    if recipe is not None:
        return Recipe.from_toml(recipe)
    if passes is not None:
        return Recipe.from_names([name.strip() for name in passes.split(",") if name.strip()])
    return None


def _refuse_clashes(results: Sequence[Path], *reports: Path | None) -> None:
    """Refuse two things written to one place, before either is; the result itself is never printed."""
    if _is_standard_output(*results):
        raise OptionError("-: the result cannot be printed; name a file")
    taken = set(map(os.path.realpath, results))
    for path in reports:
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in taken:
            raise OptionError(f"{path}: is named twice for output; give each report a file of its own")
        taken.add(place)


def _is_standard_output(*paths: Path | None) -> bool:
    return Path("-") in paths


@contextmanager
def _errors_as_exit_codes() -> Iterator[None]:
    """End with one line on stderr and the exit code that fits, whatever happens inside."""
    try:
        yield
        sys.stdout.flush()
    except CompressorError as error:
        _end(ExitCode.BAD_INPUT, str(error))
    except KeyboardInterrupt:
        _end(ExitCode.INTERRUPTED, "interrupted")
    except BrokenPipeError:
        _drop_unprintable_output()
        raise typer.Exit(ExitCode.READER_GONE) from None
    except OSError as error:
        _drop_unprintable_output()
        _end(ExitCode.BAD_INPUT, f"the system refused: {error}")
    except typer.Exit:
        raise
    except Exception:  # noqa: BLE001  # the outermost border: exit code 1 must not be taken for a verdict
        traceback.print_exc()
        _end(ExitCode.DEFECT, "this is a defect of compressor, not of your input; please report the lines above")


def _drop_unprintable_output() -> None:
    """Send what stdout no longer takes nowhere: Python tries once more on the way out, and would complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(code: ExitCode, message: str) -> NoReturn:
    from compressor.render.terminal import say

    say(message)
    raise typer.Exit(code) from None
