"""Give single weights a scheme of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compressor.errors import OptionError
from compressor.passes.quantization.exclusion import Exclusion
from compressor.passes.quantization.options import Scheme
from compressor.passes.quantization.weights import FloatWeight

FLOAT = "float"
"""Stands for no scheme at all."""


@dataclass(frozen=True, slots=True)
class Override:
    """What weights that match a glob are stored as.

    Attributes:
        glob: matches as those of `exclude` do.
        scheme: None keeps them float.
    """

    glob: str
    scheme: Scheme | None

    def fits(self, weight: FloatWeight) -> bool:
        """Tell whether it speaks of `weight`."""
        return any(Exclusion(globs=(self.glob,), operators=()).matches(weight))

    def __str__(self) -> str:
        return f"{self.glob}={self.scheme.value if self.scheme else FLOAT}"


def parse_override(text: str) -> Override:
    """Read ``GLOB=SCHEME``; a name may hold ``=`` itself, a scheme does not.

    Raises:
        OptionError: there is no ``=``, nothing before it, or no such scheme after it.
    """
    glob, separator, name = text.rpartition("=")
    schemes = {FLOAT: None, **{scheme.value: scheme for scheme in Scheme}}
    if not separator or not glob or name not in schemes:
        raise OptionError(f"quantize: override {text!r} is not GLOB=SCHEME with a scheme of {', '.join(schemes)}")
    return Override(glob, schemes[name])


def scheme_for(weight: FloatWeight, overrides: Sequence[Override], default: Scheme) -> Scheme | str:
    """Take the scheme of the first override that fits, else the default; a text says why the weight stays float."""
    found = next((override for override in overrides if override.fits(weight)), None)
    if found is None:
        return default
    return found.scheme or f"kept in float by override {str(found)!r}"


def unused(overrides: Sequence[str], weights: Sequence[FloatWeight]) -> list[str]:
    """Find overrides whose glob matches none of `weights`: misspellings, most likely."""
    return [text for text in overrides if not any(map(parse_override(text).fits, weights))]
