"""The front of a search: what no smaller attempt equals, drawn as what can be had at each size; round ticks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compressor.render.html.pareto import front_of, nines, search_section
from compressor.render.html.ticks import cosine_ticks, even_ticks, score_ticks
from tests.render.html.conftest import attempt, scored


def test_the_front_leaves_out_what_a_smaller_one_equals() -> None:
    tried = [attempt(30, 0.98), attempt(10, 0.9), attempt(20, 0.98), attempt(25, 0.97), attempt(40, 0.99)]
    assert [found.total_bytes for found in front_of(tried, nines)] == [10, 20, 40]


def test_what_does_not_run_is_not_on_the_front_but_in_the_table() -> None:
    broken = replace(attempt(5, 0.999, "it does not run"), fidelity=None)
    assert [found.total_bytes for found in front_of([broken, attempt(10, 0.9)], nines)] == [10]
    assert "does not run" in search_section([broken, attempt(10, 0.9)])
    assert "<svg" not in search_section([broken]).split('class="key"')[0]


def test_nines_tell_apart_what_is_near_to_1() -> None:
    heights = [nines(attempt(1, cosine)) for cosine in (0.9, 0.99, 0.999, 1.0)]
    assert heights == [pytest.approx(1), pytest.approx(2), pytest.approx(3), pytest.approx(7)]


def test_a_search_on_labels_is_drawn_by_score_and_by_cosine() -> None:
    tried = [replace(attempt(size, 0.9), score=scored(0.8 + size / 1000)) for size in (10, 20)]
    text = search_section(tried)
    assert "Size against accuracy" in text
    assert "Size against worst cosine" in text
    assert "Size against accuracy" not in search_section([attempt(10, 0.9), attempt(20, 0.95)])


def test_one_attempt_alone_can_be_drawn() -> None:
    assert 'class="point chosen"' in search_section([attempt(10, 0.9, is_chosen=True)])


def test_ticks_are_round_and_between_the_ends() -> None:
    assert even_ticks(0.3, 4.4) == [1.0, 2.0, 3.0, 4.0]
    assert even_ticks(12e6, 88e6) == [20e6, 40e6, 60e6, 80e6]
    assert [spelled for _, spelled in score_ticks(0.884, 0.911)] == ["0.89", "0.9", "0.91"]
    assert [spelled for _, spelled in cosine_ticks(0.99, 2.01)] == ["0.9", "0.95", "0.98", "0.99"]
