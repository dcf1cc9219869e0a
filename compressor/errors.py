"""Say what went wrong with the user's input: one tree, one sentence each.

CompressorError
├── ModelError     the model file, or the data it points to, is missing, malformed or unsafe
├── OptionError    a pass, recipe, option or sample file that does not exist or does not fit
├── OutputError    the result cannot be written where it was asked for
└── RuntimeRefusal ONNX Runtime cannot load or run the model, so nothing can be measured

Every message is lower case, without a full stop: subject, what is wrong, both values, the way out. Only the command
line catches them, and what works on several models, each for itself; each ends with exit code 2 and an untouched input.
"""

from __future__ import annotations


class CompressorError(Exception):
    """A mistake in what the user gave; its text is the whole message."""


class ModelError(CompressorError):
    """The model file, or the data it points to, is missing, malformed or unsafe."""


class OptionError(CompressorError):
    """A pass, recipe, option or sample file that does not exist or does not fit."""


class OutputError(CompressorError):
    """The result cannot be written where it was asked for."""


class RuntimeRefusal(CompressorError):
    """ONNX Runtime cannot load or run the model, so nothing can be measured."""
