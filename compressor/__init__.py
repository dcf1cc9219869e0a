"""Shrink an exported .onnx file and say honestly what that cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compressor.version import __version__

if TYPE_CHECKING:
    from compressor.budget import Budget
    from compressor.errors import CompressorError, ModelError, OptionError, OutputError
    from compressor.evaluation.settings import Evaluation
    from compressor.folder.naming import Naming
    from compressor.model.together import Storage
    from compressor.pipeline import compress, compress_together
    from compressor.recipe import Recipe
    from compressor.report import EachReport, Report, SetReport
    from compressor.separate import compress_each

_HOMES = {
    "Budget": "compressor.budget",
    "CompressorError": "compressor.errors",
    "EachReport": "compressor.report",
    "Evaluation": "compressor.evaluation.settings",
    "ModelError": "compressor.errors",
    "Naming": "compressor.folder.naming",
    "OptionError": "compressor.errors",
    "OutputError": "compressor.errors",
    "Recipe": "compressor.recipe",
    "Report": "compressor.report",
    "SetReport": "compressor.report",
    "Storage": "compressor.model.together",
    "compress": "compressor.pipeline",
    "compress_each": "compressor.separate",
    "compress_together": "compressor.pipeline",
}

__all__ = [
    "Budget",
    "CompressorError",
    "EachReport",
    "Evaluation",
    "ModelError",
    "Naming",
    "OptionError",
    "OutputError",
    "Recipe",
    "Report",
    "SetReport",
    "Storage",
    "__version__",
    "compress",
    "compress_each",
    "compress_together",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the command line's ``--help`` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
