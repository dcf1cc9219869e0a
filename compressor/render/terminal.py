"""Print for people: the report on stdout, progress and single sentences on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from compressor.render.figures import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text


def print_report(report: RenderableType) -> None:
    """Print `report` on stdout, without the blanks that rich fills lines up with.

    A line that asks not to be wrapped, such as a path, is longer than the terminal rather than cut.
    """
    from rich.console import Console

    console = Console(highlight=False, emoji=False, markup=False)
    with console.capture() as capture:
        console.print(report, crop=False)
    for line in capture.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def unwrapped(text: str) -> Text:
    """Make a line that is neither folded nor cut, so that a path in it can be copied."""
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ignore")


def say(message: str) -> None:
    """Print one line on stderr, as plain text."""
    sys.stderr.write(f"compressor: {printable(message)}\n")


def is_terminal() -> bool:
    """Report and sentences are read by one person in one place."""
    return sys.stdout.isatty() and sys.stderr.isatty()


@contextmanager
def shown_progress() -> Iterator[Callable[[str], None] | None]:
    """Give what shows the stage of work on stderr while it lasts; None where nobody is looking."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text("starting")) as status:
        yield lambda stage: status.update(Text(printable(stage)))
