"""Saving several models together: all old or all new, whatever fails; nobody else's file is ever touched."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressor.errors import OutputError
from compressor.model import layout
from compressor.model.load import load
from compressor.model.pool import Pool
from compressor.model.save import save
from compressor.model.together import Storage, save_together
from compressor.model.weights import ComputedWeight
from tests.model.saving import NAMES, OLD, assert_all_whole, contents, is_whole, posix_only, targeted, write_model

WEIGHT_BYTES = 40_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "result"


def test_each_content_is_stored_once_and_each_model_loads_alone(sources: tuple[Path, ...], folder: Path) -> None:
    written = save_together(targeted(sources, folder))
    *models, data = written.files
    assert [path.name for path in models] == list(NAMES)
    assert re.fullmatch(r"weights-[0-9a-f]{16}\.data", data.name)
    assert sorted(folder.iterdir()) == sorted(written.files)
    assert written.total_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert written.shared_bytes == 3 * WEIGHT_BYTES, "one weight of three models, another of two"
    assert 3 * WEIGHT_BYTES <= data.stat().st_size < 3 * WEIGHT_BYTES + 3 * 4096
    assert_all_whole(folder)


def test_all_weights_of_a_model_can_be_moved_with_its_data_file_alone(
    sources: tuple[Path, ...], folder: Path, tmp_path: Path
) -> None:
    *_, data = save_together(targeted(sources, folder)).files
    (tmp_path / "moved").mkdir()
    for path in (folder / "b.onnx", data):
        path.rename(tmp_path / "moved" / path.name)
    assert is_whole(tmp_path / "moved" / "b.onnx", 2.0)


def test_computed_weights_of_equal_values_are_shared(sources: tuple[Path, ...], folder: Path) -> None:
    models = targeted(sources, folder)
    for model in models.values():
        ones = ComputedWeight(lambda: [np.ones(10_000, np.float32)], ir.DataType.FLOAT, ir.Shape((10_000,)), name="one")
        model.graph.initializers["one"].const_value = ones
    assert save_together(models).shared_bytes == 4 * WEIGHT_BYTES
    assert is_whole(folder / "b.onnx", 1.0)


def computed(array: np.ndarray) -> ComputedWeight:
    return ComputedWeight(lambda: [array], ir.DataType.from_numpy(array.dtype), ir.Shape(array.shape), name="w")


def test_equal_bytes_are_shared_whatever_their_type_and_kept_apart_where_they_differ(tmp_path: Path) -> None:
    """A place in a file has no type; a last byte that differs makes another weight."""
    arrays: list[np.ndarray] = [np.zeros(1000, np.float32), np.zeros(1000, np.int32), np.zeros(2000, np.float16)]
    arrays.append(arrays[0].copy())
    arrays[3][-1] = 1e-45
    with (tmp_path / "data").open("w+b") as file:
        pool = Pool(file)
        placed = [pool.place(computed(array)) for array in arrays]
        file.flush()
    assert placed == [0, 0, 0, 4032]
    assert pool.end == (tmp_path / "data").stat().st_size == 4032 + 4000


def test_models_without_a_large_weight_need_no_data_file(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "a.onnx"
    onnx.save(
        onnx.parser.parse_model(
            '<ir_version: 8, opset_import: ["" : 17]> g (float[n] x) => (float[n] y) { y = Relu(x) }'
        ),
        source,
    )
    written = save_together({folder / "a.onnx": load(source)})
    assert written.files == (folder / "a.onnx",)
    assert list(folder.iterdir()) == [folder / "a.onnx"]
    onnx.checker.check_model(onnx.load(folder / "a.onnx"))


def test_writing_twice_gives_the_same_bytes_and_names(sources: tuple[Path, ...], folder: Path) -> None:
    save_together(targeted(sources, folder))
    first = contents(folder)
    save_together(targeted(sources, folder), overwrite=True)
    assert contents(folder) == first


def test_what_was_written_together_can_be_written_apart_and_together_again(
    sources: tuple[Path, ...], folder: Path, tmp_path: Path
) -> None:
    save_together(targeted(sources, folder))
    save(load(folder / "b.onnx"), tmp_path / "alone.onnx")
    assert is_whole(tmp_path / "alone.onnx", 2.0)
    again = targeted(tuple(folder / name for name in NAMES), tmp_path / "again")
    assert save_together(again).shared_bytes == 3 * WEIGHT_BYTES
    assert_all_whole(tmp_path / "again")


def test_the_data_of_an_earlier_set_goes_when_nobody_reads_it(sources: tuple[Path, ...], folder: Path) -> None:
    *_, first = save_together(targeted(sources, folder)).files
    for name in ("notes.txt", "weights.data", "weights-0123.data", "weights-0123456789abcdef.data"):
        (folder / name).write_bytes(OLD)
    write_model(sources[1], 3.0)
    *_, second = save_together(targeted(sources, folder), overwrite=True).files
    assert not first.exists()
    others = {"notes.txt", "weights.data", "weights-0123.data", "weights-0123456789abcdef.data"}
    assert {path.name for path in folder.iterdir()} == {*NAMES, second.name, *others}
    assert {(folder / name).read_bytes() for name in others} == {OLD}


@pytest.mark.parametrize("other", ["other.onnx", "other.ONNX"])
def test_the_data_of_an_earlier_set_stays_for_a_model_that_reads_it(
    sources: tuple[Path, ...], folder: Path, other: str
) -> None:
    *_, first = save_together(targeted(sources, folder)).files
    (folder / "b.onnx").rename(folder / other)
    write_model(sources[0], 3.0)
    save_together(targeted(sources, folder), overwrite=True)
    assert first.exists()
    assert is_whole(folder / other, 2.0)


def test_the_data_of_an_earlier_set_stays_where_a_model_cannot_be_read(sources: tuple[Path, ...], folder: Path) -> None:
    *_, first = save_together(targeted(sources, folder)).files
    (folder / "strange.onnx").write_bytes(b"who knows what this needs")
    write_model(sources[0], 3.0)
    save_together(targeted(sources, folder), overwrite=True)
    assert first.exists()


def test_a_part_of_a_set_can_be_written_anew(sources: tuple[Path, ...], folder: Path) -> None:
    *_, first = save_together(targeted(sources, folder)).files
    write_model(sources[0], 3.0)
    save_together(targeted(sources[:1], folder), overwrite=True)
    assert first.exists(), "two models still read it"
    assert is_whole(folder / "a.onnx", 3.0)
    assert is_whole(folder / "b.onnx", 2.0)


REFUSED: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "the sources' folder": (lambda source, folder: source.parent, "is the input"),
    "a file": (lambda source, folder: source, "is not a folder"),
    "below a file": (lambda source, folder: source / "out", "does not exist"),
    "in no folder": (lambda source, folder: folder / "none" / "out", "does not exist"),
    "a name too long": (lambda source, folder: folder.parent / ("o" * 300), "too long"),
}


@pytest.mark.parametrize(("place", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_an_impossible_folder_is_refused(
    sources: tuple[Path, ...], folder: Path, place: Callable[[Path, Path], Path], words: str
) -> None:
    before = contents(sources[0].parent)
    with pytest.raises(OutputError, match=words):
        save_together(targeted(sources, place(sources[0], folder)), overwrite=True)
    assert contents(sources[0].parent) == before
    assert list(folder.parent.iterdir()) == [sources[0].parent]


def test_outputs_in_two_folders_are_refused(sources: tuple[Path, ...], tmp_path: Path) -> None:
    models = {tmp_path / "a.onnx": load(sources[0]), tmp_path / "source" / "new.onnx": load(sources[1])}
    with pytest.raises(OutputError, match="must be in one folder"):
        save_together(models)
    assert not (tmp_path / "a.onnx").exists()


def test_one_existing_model_stops_all_unless_overwriting_is_allowed(sources: tuple[Path, ...], folder: Path) -> None:
    folder.mkdir()
    (folder / "c.onnx").write_bytes(OLD)
    with pytest.raises(OutputError, match=r"c\.onnx: exists"):
        save_together(targeted(sources, folder))
    assert contents(folder) == {"c.onnx": OLD}
    save_together(targeted(sources, folder), overwrite=True)
    assert_all_whole(folder)


@posix_only
def test_modes_are_the_users_and_data_is_no_more_open_than_any_model(sources: tuple[Path, ...], folder: Path) -> None:
    old_mask = os.umask(0o022)
    try:
        written = save_together(targeted(sources, folder)).files
        assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o644}
        (folder / "b.onnx").chmod(0o600)
        write_model(sources[0], 3.0)
        a, b, c, data = save_together(targeted(sources, folder), overwrite=True).files
    finally:
        os.umask(old_mask)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (a, b, c, data)] == [0o644, 0o600, 0o644, 0o600]


def test_small_weights_stay_in_their_models(folder: Path, tmp_path: Path) -> None:
    values = [numpy_helper.from_array(np.arange(count, dtype=np.float32), f"w{count}") for count in (10, 5000)]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [5000]) for name in ("x", "y")]
    nodes = [helper.make_node("Sum", ["x", "w5000"], ["s"]), helper.make_node("ReduceMax", ["w10"], ["m"])]
    graph = helper.make_graph([*nodes, helper.make_node("Add", ["s", "m"], ["y"])], "g", infos[:1], infos[1:], values)
    source = tmp_path / "a.onnx"
    opset = [helper.make_opsetid("", 17)]
    source.write_bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())
    *_, data = save_together({folder / name: load(source) for name in ("a.onnx", "b.onnx")}).files
    assert data.stat().st_size == 20_000


def test_weights_inside_need_no_data_file(sources: tuple[Path, ...], folder: Path) -> None:
    written = save_together(targeted(sources, folder), storage=Storage.INSIDE)
    assert set(contents(folder)) == set(NAMES)
    assert written.files == tuple(folder / name for name in NAMES)
    assert written.shared_bytes == 0
    assert written.total_bytes == sum(path.stat().st_size for path in folder.iterdir()) > 3 * WEIGHT_BYTES
    assert_all_whole(folder)


def test_a_model_that_is_alone_keeps_its_weights_inside(sources: tuple[Path, ...], folder: Path) -> None:
    save_together({folder / "a.onnx": load(sources[0])})
    assert set(contents(folder)) == {"a.onnx"}


def test_a_model_too_large_for_one_file_is_refused_or_alone_gets_a_data_file(
    sources: tuple[Path, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "PROTOBUF_LIMIT", WEIGHT_BYTES)
    with pytest.raises(OutputError, match=r"a\.onnx: the weights do not fit into the \.onnx file"):
        save_together(targeted(sources, folder), storage=Storage.INSIDE)
    assert not folder.exists()
    save_together({folder / "a.onnx": load(sources[0])})
    assert len(contents(folder)) == 2
    assert is_whole(folder / "a.onnx", 1.0)
