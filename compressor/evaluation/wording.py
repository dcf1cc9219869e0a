"""Show values of data in messages."""

from __future__ import annotations

_LONGEST = 60


def shown(value: object) -> str:
    """Spell a value as Python does, cut to what a sentence can hold."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
