"""Put the reports of a run where the user wants them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compressor.errors import OptionError

if TYPE_CHECKING:
    from compressor.render.forms import Forms
    from compressor.selection import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Destinations:
    """A place for each form of a report; None for those not asked for, ``-`` for standard output."""

    json: Path | None
    markdown: Path | None
    html: Path | None
    card: Path | None
    recipe: Path | None
    is_recipe_asked: bool

    @property
    def are_printed(self) -> bool:
        """One of them takes standard output, where nothing else may go then."""
        return is_standard_output(self.json, self.markdown, self.html, self.card, self.recipe)

    @contextmanager
    def opened(self) -> Iterator[Callable[[Forms], None]]:
        """Prove that all places can be written to, and give what writes to them."""
        from compressor.recipe import MARK as RECIPE_MARK
        from compressor.render import as_json, as_markdown, as_model_card
        from compressor.render.destination import open_destination
        from compressor.render.html.page import MARK as HTML_MARK

        with (
            open_destination(self.json, as_json.MARK) as to_json,
            open_destination(self.markdown, as_markdown.MARK) as to_markdown,
            open_destination(self.html, HTML_MARK) as to_html,
            open_destination(self.card, as_model_card.MARK) as to_card,
            open_destination(self.recipe, RECIPE_MARK) as to_recipe,
        ):

            def write(forms: Forms) -> None:
                to_json.write(forms.json)
                to_markdown.write(forms.markdown)
                to_card.write(forms.card)
                if self.html is not None:
                    to_html.write(forms.html())
                if self.is_recipe_asked or forms.is_written:
                    to_recipe.write(forms.recipe)

            yield write


def place_of_recipe(named: Path | None, selected: Selection, *, is_searched: bool) -> Path | None:
    """Where the recipe goes: what a search found is kept even if nobody said where.

    Raises:
        OptionError: a place is named and several models are compressed.
    """
    if named is not None and selected.is_set:
        raise OptionError("--save-recipe: several models have a recipe each; the JSON report holds them")
    if named is not None or not is_searched or selected.is_set:
        return named
    return selected.output.with_suffix(".recipe.toml")


def refuse_clashes(results: Sequence[Path], *reports: Path | None) -> None:
    """Refuse two things written to one place, before either is; the result itself is never printed."""
    if is_standard_output(*results):
        raise OptionError("-: the result cannot be printed; name a file")
    taken = set(map(os.path.realpath, results))
    for path in reports:
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in taken:
            raise OptionError(f"{path}: is named twice for output; give each report a file of its own")
        taken.add(place)


def is_standard_output(*paths: Path | None) -> bool:
    return Path("-") in paths
