"""Nodes end up in an order in which each comes after what it reads."""

from __future__ import annotations

import time

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from compressor.errors import ModelError
from compressor.model.order import sort_nodes


def graph_of(*wires: tuple[str, str]) -> onnx.GraphProto:
    """One node a wire: the names it reads, the names it makes, each name a letter."""
    return helper.make_graph([helper.make_node("Op", list(reads), list(makes)) for reads, makes in wires], "g", [], [])


def sorted_wires(graph: onnx.GraphProto) -> list[tuple[str, str]]:
    sort_nodes(graph)
    return [("".join(node.input), "".join(node.output)) for node in graph.node]


def test_leaves_an_order_that_works_alone() -> None:
    wires = [("x", "b"), ("x", "a"), ("ab", "c"), ("", "d")]
    assert sorted_wires(graph_of(*wires)) == wires


def test_moves_only_what_must_move() -> None:
    assert sorted_wires(graph_of(("x", "a"), ("c", "b"), ("x", "c"), ("a", "d"))) == [
        ("x", "a"), ("x", "c"), ("c", "b"), ("a", "d"),
    ]  # fmt: skip


@given(st.permutations(range(12)))
def test_finds_an_order_for_every_permutation(order: list[int]) -> None:
    wires = [("".join("abcdefghijkl"[max(0, index - 3) : index]), "abcdefghijkl"[index]) for index in range(12)]
    result = sorted_wires(graph_of(*(wires[index] for index in order)))
    assert sorted(result) == sorted(wires)
    made: set[str] = set()
    for reads, makes in result:
        assert set(reads) <= made
        made.update(makes)


@pytest.mark.parametrize(
    "wires", [[("a", "a")], [("b", "a"), ("a", "b")], [("x", "d"), ("c", "a"), ("a", "b"), ("b", "c")]]
)
def test_refuses_a_cycle(wires: list[tuple[str, str]]) -> None:
    with pytest.raises(ModelError, match="cycle"):
        sort_nodes(graph_of(*wires))


def test_names_a_cycle_at_the_end_of_a_long_graph_in_no_time() -> None:
    nodes = [helper.make_node("Relu", ["x"], [f"v{index}"]) for index in range(20_000)]
    nodes += [helper.make_node("Add", ["b", "x"], ["a"], name="first"), helper.make_node("Relu", ["a"], ["b"])]
    started = time.process_time()
    with pytest.raises(ModelError, match="node 'first' needs its own output"):
        sort_nodes(helper.make_graph(nodes, "g", [], []))
    assert time.process_time() - started < 3  # 0.1 s; 9 s when every node looked through all that were sorted


def test_waits_for_what_a_branch_reads_from_outside() -> None:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["late"], ["o"])], "b", [], [helper.make_empty_tensor_value_info("o")]
    )
    graph = helper.make_graph(
        [helper.make_node("If", ["flag"], ["y"], then_branch=branch), helper.make_node("Relu", ["x"], ["late"])],
        "g",
        [],
        [],
    )
    sort_nodes(graph)
    assert [node.op_type for node in graph.node] == ["Relu", "If"]


def test_does_not_wait_for_a_branchs_own_value_of_the_same_name() -> None:
    inner = [helper.make_node("Relu", ["x"], ["late"]), helper.make_node("Identity", ["late"], ["o"])]
    branch = helper.make_graph(inner, "b", [], [helper.make_empty_tensor_value_info("o")])
    nodes = [helper.make_node("If", ["flag"], ["y"], then_branch=branch), helper.make_node("Relu", ["y"], ["late"])]
    graph = helper.make_graph(nodes, "g", [], [])
    sort_nodes(graph)
    assert [node.op_type for node in graph.node] == ["If", "Relu"]


def test_sorts_inside_branches_too() -> None:
    inner = [helper.make_node("Abs", ["m"], ["o"]), helper.make_node("Relu", ["x"], ["m"])]
    branch = helper.make_graph(inner, "b", [], [helper.make_empty_tensor_value_info("o")])
    graph = helper.make_graph([helper.make_node("If", ["flag"], ["y"], then_branch=branch)], "g", [], [])
    sort_nodes(graph)
    assert [node.op_type for node in graph.node[0].attribute[0].g.node] == ["Relu", "Abs"]
