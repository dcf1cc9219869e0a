"""Offer the library as the command ``compressor``: parse, call, render, and end with the right exit code."""

# No `from __future__ import annotations`: Typer reads the annotations when the program runs.
import gc
import signal
import sys
from typing import Annotated

import typer

from compressor import __version__
from compressor.cli.compare import compare_command
from compressor.cli.compress import compress_command
from compressor.cli.deferral import defer_imports
from compressor.cli.endings import ExitCode
from compressor.cli.examples import COMPARE_EXAMPLES, COMPRESS_EXAMPLES, INSPECT_EXAMPLES
from compressor.cli.inspect import inspect_command

__all__ = ["ExitCode", "app", "main"]

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
    # makes `compress --passes deduplicate --no-verify` take 8.2 s of processor time for 25,000 nodes, not 7.7 s, even
    # though nothing is looked for while graphs are built (`compressor.model.garbage`).
    gc.set_threshold(50_000, 20, 100)
    defer_imports()
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


app.command("compress", epilog=COMPRESS_EXAMPLES, no_args_is_help=True)(compress_command)
app.command("inspect", epilog=INSPECT_EXAMPLES, no_args_is_help=True)(inspect_command)
app.command("compare", epilog=COMPARE_EXAMPLES, no_args_is_help=True)(compare_command)
