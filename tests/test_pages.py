"""Every console session in the documents is run, page by page from the top, and prints what the page shows.

COMPRESSOR_UPDATE_PAGES=1 rewrites what does not, and fails.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.console import BLOCK, ROOT, comparable, prepare, run, sessions

PAGES = [
    page
    for page in sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
    if BLOCK.search(page.read_text(encoding="utf-8"))
]


def test_there_are_sessions() -> None:
    assert len(PAGES) > 4


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sessions are typed into bash")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_sessions_print_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    environment = prepare(folder)
    text = page.read_text(encoding="utf-8")
    wrong = []
    for session in sessions(text):
        printed = run([command for command, _ in session], folder, environment)
        assert not any("Traceback (most recent call last)" in given for given in printed), printed
        if any(comparable(shown) != comparable(given) for (_, shown), given in zip(session, printed, strict=True)):
            wrong.append((session, printed))
    if wrong and os.environ.get("COMPRESSOR_UPDATE_PAGES"):
        for session, printed in wrong:
            before = "".join(f"$ {command}\n{shown}" for command, shown in session)
            after = "".join(
                f"$ {command}\n" + "".join(f"{line.rstrip()}\n" for line in given.rstrip().splitlines())
                for (command, _), given in zip(session, printed, strict=True)
            )
            text = text.replace(f"```console\n{before}```", f"```console\n{after}```")
        page.write_text(text, encoding="utf-8")
        pytest.fail(f"{page.name} was rewritten; read the difference before committing it")
    for session, printed in wrong:
        for (command, shown), given in zip(session, printed, strict=True):
            assert comparable(shown) == comparable(given), command


@pytest.mark.parametrize(
    ("shown", "printed", "is_same"),
    [
        ("9.06 MB  15.07 ms\n  (1.02x)", "9.06 MB 14.1 ms (0.98x)", True),
        ("9.06 MB", "9.05 MB", False),
        ("9.06 MB  ████▒=  15.07 ms", "9.06 MB  █████▒  4.1 ms", True),
        ("18 initializers merged", "17 initializers merged", False),
        ("max rel 1.1e-02, cosine 0.99986", "max rel 1.3e-02, cosine 0.9997", True),
        ("default threads, AMD EPYC; int8 path: avx2 (x y), end", "default threads, B; int8 path: vnni, end", True),
        ("one run on this host", "one run on that host", False),
    ],
)
def test_only_what_differs_from_run_to_run_is_passed_over(shown: str, printed: str, is_same: bool) -> None:
    assert (comparable(shown) == comparable(printed)) is is_same
