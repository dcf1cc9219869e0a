"""Shells complete commands, options and their values."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.console import ROOT

PROGRAM = "import sys; sys.argv = ['compressor']; from compressor.cli import main; main()"


def completed(instruction: str, words: str = "") -> list[str]:
    """What the program gives a shell that asks for the rest of the last of `words`."""
    environment = {
        **os.environ,
        "_COMPRESSOR_COMPLETE": instruction,
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("compressor comp", ["compress", "compare"]),
        ("compressor compress --sch", ["--scheme"]),
        ("compressor compress --scheme block", ["blockwise-8", "blockwise-4"]),
        ("compressor compress m.onnx --naming q", ["quantized", "q4"]),
    ],
)
def test_bash_is_offered(words: str, offered: list[str]) -> None:
    assert completed("complete_bash", words) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_be_set_up(shell: str) -> None:
    assert "complete" in " ".join(completed(f"source_{shell}"))
