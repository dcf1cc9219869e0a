"""Choose the file names of results."""

from __future__ import annotations

from enum import Enum
from pathlib import PurePath


class Naming(Enum):
    """How a result is called, given what its source is called: its name, or with one of these before the ending.

    All but the first are what transformers.js looks for, by the ``dtype`` that it is asked for; ``quantized`` is that
    of ``q8``, its default in browsers. They name the file and change nothing in it.
    """

    KEEP = "keep"
    QUANTIZED = "quantized"
    INT8 = "int8"
    UINT8 = "uint8"
    Q4 = "q4"
    FP16 = "fp16"


def result_name(source: PurePath, naming: Naming) -> str:
    """Name the result; a name that says so already stays."""
    suffix = f"_{naming.value}"
    if naming is Naming.KEEP or source.stem.endswith(suffix):
        return source.name
    return f"{source.stem}{suffix}{source.suffix}"
