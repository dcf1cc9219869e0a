"""Choose the file names of results."""

from __future__ import annotations

from enum import Enum
from pathlib import PurePath


class Naming(Enum):
    """How a result is called, given what its source is called."""

    KEEP = "keep"
    """As the source."""

    QUANTIZED = "quantized"
    """With ``_quantized`` before the ending: what transformers.js fetches for its default type on the CPU, ``q8``."""


_SUFFIX = "_quantized"


def result_name(source: PurePath, naming: Naming) -> str:
    """Name the result; a name that says quantized already stays."""
    if naming is Naming.KEEP or source.stem.endswith(_SUFFIX):
        return source.name
    return f"{source.stem}{_SUFFIX}{source.suffix}"
