from __future__ import annotations

import math

import pytest

from compressor.render import figures


@pytest.mark.parametrize(
    ("count", "spelled"),
    [
        (0, "0 B"),
        (413, "413 B"),
        (-413, "-413 B"),
        (26_454, "26.5 kB"),
        (100_000, "0.10 MB"),
        (358_548_619, "358.55 MB"),
        (5_243_880_000, "5,243.88 MB"),
    ],
)
def test_spells_a_size_in_decimal_units(count: int, spelled: str) -> None:
    assert figures.size(count) == spelled


def test_gives_a_change_its_sign() -> None:
    assert figures.size_change(2_000_000, 500_000) == "-1.50 MB"
    assert figures.size_change(500, 900) == "+400 B"
    assert figures.size_change(500, 500) == "0 B"
    assert figures.relative_change(358_548_619, 47_200_000) == "-86.8 %"
    assert figures.relative_change(100, 103) == "+3.0 %"
    assert figures.relative_change(3_163_737, 3_163_717) == "< 0.1 %"


def test_an_empty_file_has_no_relative_change() -> None:
    assert figures.relative_change(0, 5) == "0.0 %"


def test_never_rounds_an_agreement_or_a_cosine_up() -> None:
    assert figures.agreement(0.99999) == "99.9 %"
    assert figures.agreement(1.0) == "100.0 %"
    assert figures.cosine(0.999999) == "0.99999"
    assert figures.cosine(1.0) == "1.00000"
    assert figures.cosine(-0.5) == "-0.50000"


def test_spells_figures_that_are_not_finite() -> None:
    assert figures.cosine(math.nan) == "nan"
    assert figures.times(math.inf) == "inf"


@pytest.mark.parametrize(("ratio", "spelled"), [(1.004, "1.00"), (1.35, "1.35"), (7.596, "7.6"), (1234.5, "1,234.5")])
def test_spells_a_ratio_with_enough_digits(ratio: float, spelled: str) -> None:
    assert figures.times(ratio) == spelled


def test_spells_times_at_readable_lengths() -> None:
    assert figures.milliseconds(0.01234) == "0.0123 ms"
    assert figures.milliseconds(61.234) == "61.23 ms"
    assert figures.milliseconds(1234.5) == "1,234 ms"
    assert figures.seconds(0.001) == "< 0.01 s"
    assert figures.seconds(2.2) == "2.20 s"
    assert figures.seconds(61.23) == "61.2 s"


def test_a_name_cannot_drive_the_terminal() -> None:
    assert figures.printable("a\x1b[2Jb\nc\u202ed") == "a\\x1b[2Jb\\nc\\u202ed"


def test_keeps_names_in_other_scripts() -> None:
    assert figures.printable("вес/权重 [v2]") == "вес/权重 [v2]"


def test_names_the_default_number_of_threads() -> None:
    assert figures.threads(0) == "default threads"
    assert figures.threads(1) == "1 thread"
    assert figures.threads(2) == "2 threads"
