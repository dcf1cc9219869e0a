"""Decide where reports may go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from compressor.errors import OptionError


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
