"""End with the exit code that fits, and one line on stderr, whatever happened."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import NoReturn

import typer

from compressor.errors import CompressorError


class ExitCode(IntEnum):
    """How a run ended, for scripts."""

    DONE = 0
    BROKEN = 1
    BAD_INPUT = 2
    DEFECT = 70
    INTERRUPTED = 130
    READER_GONE = 141
    TERMINATED = 143


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
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
    except MemoryError:
        _end(
            ExitCode.BAD_INPUT, "there is not enough memory; free some, or leave out what runs the models (--no-verify)"
        )
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
