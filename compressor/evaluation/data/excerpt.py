"""Keep the beginning of every sample for a report that names it: a row number alone sends its reader to the file."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST = 60
"""Characters of one excerpt: a line of a terminal, less the row number and the cosine in front of it."""


def excerpt(texts: Sequence[str | Sequence[str]]) -> str:
    """Join the texts of one sample, each cut to its share of the line and on one line."""
    share = (LONGEST + 3) // len(texts) - 3
    return " | ".join(_cut(text if isinstance(text, str) else " ".join(text), share) for text in texts)


def _cut(text: str, longest: int) -> str:
    # Of a long text only as much is looked at as can be shown, blanks aside.
    shown = " ".join(text[: 4 * longest].split())
    is_whole = len(shown) <= longest and len(text) <= 4 * longest
    return shown if is_whole else f"{shown[: longest - 1].rstrip()}…"
