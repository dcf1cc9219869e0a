"""Write a part of a page that a script makes, between marks that readers do not see."""

from __future__ import annotations

from pathlib import Path


def write_between(page: Path, script: str, text: str) -> None:
    """Exchange what stands between the marks of `script`; the rest of the page stays as it is."""
    before, start, after = parts(page, script)
    page.write_text(f"{before}{start}\n\n{text}\n{end(script)}{after}", encoding="utf-8")


def parts(page: Path, script: str) -> tuple[str, str, str]:
    """What stands before the first mark, the mark, and what stands after the last."""
    start, stop = f"<!-- made by {script}: do not edit -->", end(script)
    before, found, rest = page.read_text(encoding="utf-8").partition(start)
    _, last, after = rest.partition(stop)
    if not found or not last:
        raise SystemExit(f"{page}: has no lines '{start}' and '{stop}' to write between")
    return before, start, after


def end(script: str) -> str:
    """The mark behind what a script makes."""
    return f"<!-- end of {script} -->"
