"""Spell sizes, shares and names as plain text, never nicer than they are."""

from __future__ import annotations

import math

NOT_MEASURED = "not measured"
SIZE_UNITS = "1 MB = 1,000,000 bytes"


def printable(text: str) -> str:
    """Spell out control characters: a name in a hostile model must not be able to drive the reader's terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def size(count: int) -> str:
    """Spell a number of bytes: bytes below a thousand, kB below a tenth of a MB, else MB."""
    magnitude = abs(count)
    if magnitude < 1_000:
        return f"{count:,} B"
    if magnitude < 100_000:
        return f"{count / 1e3:,.1f} kB"
    return f"{count / 1e6:,.2f} MB"


def size_change(before: int, after: int) -> str:
    """Spell a difference with its sign; an exact zero has none."""
    difference = after - before
    return f"+{size(difference)}" if difference > 0 else size(difference)


def relative_change(before: int, after: int) -> str:
    """Spell a difference as a share of `before`, with its sign; one too small to see is called that."""
    if before == 0 or before == after:
        return "0.0 %"
    share = 100 * (after - before) / before
    return f"{share:+.1f} %" if abs(share) >= 0.05 else "< 0.1 %"


def times(ratio: float) -> str:
    """Spell a ratio with enough digits to tell it from 1."""
    if not math.isfinite(ratio):
        return str(ratio)
    return f"{ratio:,.1f}" if ratio >= 1.95 else f"{ratio:.2f}"


def agreement(share: float) -> str:
    """Spell a share between 0 and 1 in per cent, rounded down: 99.97 % must not read as all."""
    return f"{math.floor(share * 1e3) / 10:.1f} %"


def cosine(value: float) -> str:
    """Spell a cosine similarity, rounded down: 0.999999 must not read as 1."""
    if not math.isfinite(value):
        return str(value)
    return f"{math.floor(value * 1e5) / 1e5:.5f}"


def score(value: float, *, is_share: bool) -> str:
    """Spell a task's metric: a share in per cent, where 99.997 % must not read as all; else a plain number."""
    if not math.isfinite(value):
        return str(value)
    if not is_share:
        return f"{value:,.4f}"
    return f"{min(100 * value, 99.99) if value < 1 else 100 * value:.2f} %"


def chance(p_value: float) -> str:
    """Spell a probability with the digits that matter; none is ever 0."""
    return f"p = {p_value:.2f}" if p_value >= 0.0095 else f"p = {p_value:.0e}"


def difference(value: float) -> str:
    """Spell an error with two digits."""
    return "0" if value == 0 else f"{value:.1e}"


def milliseconds(value: float) -> str:
    """Spell the time of one run with about three digits."""
    if value < 0.1:
        return f"{value:.4f} ms"
    return f"{value:.2f} ms" if value < 100 else f"{value:,.0f} ms"


def seconds(value: float) -> str:
    """Spell a wall time; what is too short to see is called that."""
    if value < 0.01:
        return "< 0.01 s"
    return f"{value:.2f} s" if value < 10 else f"{value:,.1f} s"


def plural(count: int, noun: str) -> str:
    """Count a noun: ``1 sample``, ``24 samples``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def threads(count: int) -> str:
    """Spell a number of threads; 0 leaves it to the runtime."""
    return plural(count, "thread") if count else "default threads"
