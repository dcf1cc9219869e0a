"""The table and the drawing of time and memory against size."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import scale_models
import scale_page
import scale_plots
from scale_models import Storage, write_model

from compressor.model.load import load
from compressor.model.session import open_session
from compressor.passes.deduplicate import DeduplicateInitializers
from compressor.passes.quantize import QuantizeDynamic

NAMESPACE = "{http://www.w3.org/2000/svg}"


def row(job: str, gigabytes: float, seconds: float, *, storage: str = "one file") -> scale_page.Row:
    return scale_page.Row(
        storage=storage, gigabytes=gigabytes, job=job, source_bytes=int(gigabytes * 1e9), written_bytes=10**9,
        wall_seconds=seconds, cpu_seconds=seconds / 2, peak_rss_bytes=15e7,
        peak_anonymous_bytes=0 if job == "copy" else 1e8,
    )  # fmt: skip


ROWS = [
    row("copy", 1, 2), row("deduplicate", 1, 4), row("copy", 2, 4), row("deduplicate", 2, 8),
    row("deduplicate", 1, 5, storage="<shards>"),
]  # fmt: skip


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_speed_is_held_against_the_copy_of_the_same_model() -> None:
    head, _, *lines = map(cells, scale_page.table(ROWS).splitlines())
    found = [dict(zip(head, line, strict=True)) for line in lines]
    assert [line["of copy's speed"] for line in found] == ["100%", "50%", "100%", "50%", "-"]
    assert found[1]["MB/s"] == "250"
    assert [line["anonymous MB"] for line in found[:2]] == ["-", "100"]


def test_the_page_says_what_the_figures_depend_on() -> None:
    host = {"cpu": "a processor", "cores": 2, "memory": 24.3, "load": 0.5, "rounds": "one round", "commit": "abc1234"}
    page = scale_page.as_page(host, ROWS)
    for words in ("a processor, 2 cores, 24.3 GB", "load average 0.5", "abc1234", "one round", "(scale.svg)"):
        assert words in page.replace("\n", " ")


@pytest.fixture
def drawing() -> ElementTree.Element:
    return ElementTree.fromstring(scale_plots.as_svg(ROWS))


def lines_of(drawing: ElementTree.Element, panel: int) -> list[list[tuple[float, float]]]:
    lines = [line.get("points", "") for line in drawing.iter(f"{NAMESPACE}polyline")]
    count = len(lines) // len(scale_plots.PANELS)
    return [
        [(float(x), float(y)) for x, y in (point.split(",") for point in line.split())]
        for line in lines[panel * count : (panel + 1) * count]
    ]


def test_a_line_leads_from_size_to_size_and_ends_where_the_axes_do(drawing: ElementTree.Element) -> None:
    copy, ours, shards = lines_of(drawing, 0)
    assert (len(copy), len(ours), len(shards)) == (2, 2, 1)
    left, bottom = scale_plots.GAP, scale_plots.TOP + scale_plots.HEIGHT
    assert ours == [
        (left + scale_plots.WIDTH / 2, bottom - scale_plots.HEIGHT / 2),
        (left + scale_plots.WIDTH, bottom - scale_plots.HEIGHT),
    ]
    assert all(later[0] > earlier[0] for earlier, later in pairwise(copy))


def test_a_job_without_a_figure_has_no_point_for_it(drawing: ElementTree.Element) -> None:
    copy, ours, _ = lines_of(drawing, 3)
    assert (len(copy), len(ours)) == (0, 2)


def test_every_line_is_named(drawing: ElementTree.Element) -> None:
    words = {text.text for text in drawing.iter(f"{NAMESPACE}text")}
    assert {"copy, one file", "deduplicate, one file", "deduplicate, <shards>"} <= words
    assert {panel.title for panel in scale_plots.PANELS} <= words


@pytest.mark.parametrize(("figure", "end"), [(0.9, 1), (1, 1), (1.1, 2), (3, 4), (5, 8), (8.5, 10), (107, 200)])
def test_axes_end_at_a_number_that_four_ticks_divide(figure: float, end: float) -> None:
    assert scale_plots._round_up(figure) == pytest.approx(end)


@pytest.mark.parametrize("storage", list(Storage))
def test_the_models_measured_hold_what_is_said_of_them_and_their_outputs_depend_on_it(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale_models, "WIDTH", 128)
    monkeypatch.setattr(scale_models, "_SHARD_BYTES", 1_000_000)
    model = load(write_model(tmp_path, 3_000_000, storage))
    files = {Storage.EMBEDDED: 1, Storage.SHARDS: 3}.get(storage, 2)
    assert len(list(tmp_path.iterdir())) >= files
    feeds = {"ids": np.arange(6, dtype=np.int64).reshape(2, 3)}
    (before,) = open_session(model).run(None, feeds)
    assert np.ptp(before) > 0.1
    merged = DeduplicateInitializers().run(model)
    assert merged.counts["weights_tied"] == 1
    assert merged.counts["initializers_merged"] >= 2
    quantized = QuantizeDynamic().run(merged.model)
    (after,) = open_session(quantized.model).run(None, feeds)
    assert 0 < np.abs(after - before).max() < np.ptp(before)
