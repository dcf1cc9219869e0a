"""The order in which weights give up bytes for noise."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

from compressor.search.frontier import Form, find_frontier

FLOAT, INT8, INT4 = Form("float", 400, 0.0), Form("int8", 100, 1.0), Form("int4", 50, 9.0)


def test_it_begins_with_the_cleanest_and_ends_with_the_smallest_form_of_every_weight() -> None:
    frontier = find_frontier({"a": [INT4, FLOAT, INT8], "b": [FLOAT, INT8]})
    assert {name: form.label for name, form in frontier.at(0).items()} == {"a": "float", "b": "float"}
    last = frontier.at(len(frontier.steps))
    assert {name: form.label for name, form in last.items()} == {"a": "int4", "b": "int8"}
    assert (frontier.size(0), frontier.size(len(frontier.steps))) == (800, 150)


def test_the_cheapest_step_comes_first() -> None:
    sensitive = [FLOAT, Form("int8", 100, 50.0)]
    frontier = find_frontier({"sensitive": sensitive, "robust": [FLOAT, INT8]})
    assert [step.weight for step in frontier.steps] == ["robust", "sensitive"]


def test_a_form_that_another_beats_in_both_is_never_chosen() -> None:
    frontier = find_frontier({"a": [FLOAT, INT8, Form("bad", 120, 2.0)]})
    assert [step.form.label for step in frontier.steps] == ["int8"]


def test_a_form_above_the_line_between_its_neighbours_is_never_chosen() -> None:
    frontier = find_frontier({"a": [FLOAT, Form("half", 200, 5.0), Form("int4", 50, 6.0)]})
    assert [step.form.label for step in frontier.steps] == ["int4"]


def test_a_weight_with_one_form_keeps_it() -> None:
    frontier = find_frontier({"a": [FLOAT]})
    assert frontier.steps == ()
    assert frontier.at(0) == {"a": FLOAT}


@pytest.mark.parametrize("seed", range(8))
def test_every_position_has_the_least_noise_of_all_assignments_of_its_size_or_less(seed: int) -> None:
    random = np.random.default_rng(seed)
    forms = {
        name: [Form(str(i), int(random.integers(10, 500)), float(random.random())) for i in range(3)] for name in "abcd"
    }
    frontier = find_frontier(forms)
    everything = [
        (sum(form.size for form in chosen), sum(form.noise for form in chosen)) for chosen in product(*forms.values())
    ]
    for position in range(len(frontier.steps) + 1):
        chosen = frontier.at(position).values()
        size, noise = sum(form.size for form in chosen), sum(form.noise for form in chosen)
        assert size == frontier.size(position)
        assert noise <= min(other for bytes_, other in everything if bytes_ <= size) + 1e-9
    sizes = [frontier.size(position) for position in range(len(frontier.steps) + 1)]
    assert all(larger > smaller for larger, smaller in pairwise(sizes))
