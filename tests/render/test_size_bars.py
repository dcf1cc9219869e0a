"""Bars of characters: as long as the size says, never misleading, and readable where blocks cannot be written."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from compressor.render.as_table import report_as_table
from compressor.render.composition import Kind, composition, seen_of
from compressor.render.size_bars import BarLegend, SizeBar, cells_by_kind
from compressor.report import Report, Size

HALF = Size(total_bytes=500, weight_bytes={"INT8": 300, "FLOAT": 150}, metadata_bytes=10)

SIZES = st.builds(
    lambda parts, rest: Size(total_bytes=sum(parts.values()) + rest, weight_bytes=parts),
    st.dictionaries(st.sampled_from(["FLOAT", "FLOAT16", "INT8", "INT64"]), st.integers(0, 10**10)),
    st.integers(0, 10**9),
)


def drawn(renderable: SizeBar | BarLegend, encoding: str = "utf-8", width: int = 20) -> str:
    """What a terminal that writes `encoding` is sent."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, color_system=None)
    console.print(renderable, end="")
    file.flush()
    file.seek(0)
    return file.read().rstrip("\n")


def test_every_byte_is_of_one_kind() -> None:
    assert composition(HALF) == {
        Kind.FLOAT: 150, Kind.HALF: 0, Kind.INT8: 300, Kind.INT4: 0, Kind.OTHER: 0, Kind.GRAPH: 40,
        Kind.METADATA: 10,
    }  # fmt: skip
    assert sum(composition(HALF).values()) == HALF.total_bytes


@pytest.mark.parametrize(
    ("type_name", "called"),
    [
        ("FLOAT", "float weights"),
        ("BFLOAT16", "16-bit float weights"),
        ("UINT8", "int8 weights"),
        ("UINT4", "int4 weights"),
        ("FLOAT8E4M3FN", "other weights"),
        ("INT64", "other weights"),
    ],
)
def test_a_legend_calls_weights_what_they_are(type_name: str, called: str) -> None:
    size = Size(total_bytes=1000, weight_bytes={type_name: 1000})
    assert drawn(BarLegend((size,)), width=80) == f"{drawn(SizeBar(size, 1000), width=1)} {called}"


def test_a_graph_that_seems_negative_because_weights_share_bytes_takes_none() -> None:
    assert composition(Size(total_bytes=10, weight_bytes={"FLOAT": 40}))[Kind.GRAPH] == 0


def test_a_bar_is_as_long_as_its_share_of_the_largest_size() -> None:
    assert drawn(SizeBar(HALF, 1000)) == "███▒▒▒▒▒▒="
    assert drawn(SizeBar(replace(HALF, total_bytes=1000), 1000)) == "███▒▒▒▒▒▒==========="


def test_what_is_left_of_a_model_shows_however_small_it_is() -> None:
    assert drawn(SizeBar(HALF, 10**9)) == "▒"
    assert drawn(SizeBar(Size(total_bytes=0, weight_bytes={}), 10)) == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_an_encoding_without_blocks_gets_characters_of_ascii(encoding: str) -> None:
    assert drawn(SizeBar(HALF, 1000), encoding) == "###oooooo="
    assert drawn(BarLegend((HALF,)), encoding, 80).split("  ") == [
        "# float weights", "o int8 weights", "= graph",
    ]  # fmt: skip


def test_a_whole_report_can_be_written_in_ascii(report: Report) -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Console(file=file, width=80).print(report_as_table(replace(report, original_score=None)))
    file.flush()
    assert isinstance(file.buffer, io.BytesIO)
    assert b"####" in file.buffer.getvalue()


@given(SIZES, SIZES, st.integers(8, 40))
def test_no_bar_is_off_by_more_than_half_a_cell_and_none_draws_what_the_legend_leaves_out(
    size: Size, other: Size, width: int
) -> None:
    whole = max(size.total_bytes, other.total_bytes)
    cells = cells_by_kind(size, whole, width)
    total = sum(count for _, count in cells)
    if size.total_bytes:
        assert total == max(1, round(width * size.total_bytes / whole)) <= width
    assert {kind for kind, _ in cells} <= seen_of(size, whole).keys()
    assert all(count > 0 for _, count in cells)
