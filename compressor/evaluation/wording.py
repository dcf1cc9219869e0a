"""Show values of data in messages."""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST = 60
_MOST = 20


def shown(value: object) -> str:
    """Spell a value as Python does, cut to what a sentence can hold."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def listed(names: Sequence[str]) -> str:
    """List names with commas, as many as a sentence can hold: a table may have a hundred thousand columns."""
    shown_names = ", ".join(name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..." for name in names[:_MOST])
    return shown_names if len(names) <= _MOST else f"{shown_names} and {len(names) - _MOST:,} more"
