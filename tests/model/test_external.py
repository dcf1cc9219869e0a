"""The data files of a model: each opened once, and read from what was opened."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto

from compressor.errors import ModelError
from compressor.model.external import DataFolder
from compressor.model.files import DataFile


def at(location: str, **entries: str) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.UINT8, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    (tmp_path / "model.onnx").write_bytes(b"the model")
    (tmp_path / "sub").mkdir()
    (tmp_path / "w.bin").write_bytes(b"0123456789")
    return DataFolder(DataFile(tmp_path / "model.onnx"))


def test_gives_the_file_and_the_first_byte(folder: DataFolder) -> None:
    file, offset = folder.locate(at("w.bin", offset="4", length="3"), 3)
    assert file.read(offset, 3) == b"456"
    assert folder.locate(at("w.bin"), 10) == (file, 0)


def test_one_file_by_several_names_is_opened_once(folder: DataFolder) -> None:
    files = {id(folder.locate(at(location), 10)[0]) for location in ("w.bin", "./w.bin", ".//w.bin", "w.bin")}
    assert len(files) == 1
    assert [file.path.name for file in folder.files] == ["w.bin"]


def test_a_file_exchanged_between_two_weights_is_read_as_it_was_opened(folder: DataFolder, tmp_path: Path) -> None:
    folder.locate(at("w.bin", length="1"), 1)
    (tmp_path / "other").write_bytes(b"abcdefghij")
    (tmp_path / "other").replace(tmp_path / "w.bin")
    file, offset = folder.locate(at("w.bin", offset="2", length="2"), 2)
    assert file.read(offset, 2) == b"23"


def test_the_model_file_itself_is_no_further_file(folder: DataFolder) -> None:
    file, offset = folder.locate(at("model.onnx", offset="4"), 5)
    assert file.read(offset, 5) == b"model"
    assert folder.files == ()


@pytest.mark.parametrize(
    ("entries", "needed", "message"),
    [
        ({"offset": "8"}, 3, "needs bytes 8 to 11, w.bin has 10; copy the whole data file"),
        ({"length": "4"}, 3, "needs 3 bytes, its external data entry says 4"),
        ({"offset": "-1"}, 3, "offset '-1' is not a number of bytes"),
        ({"offset": "9223372036854775808"}, 3, "is not a number of bytes"),
        ({"offset": "\u0663"}, 3, "is not a number of bytes"),
    ],
)
def test_every_weight_is_held_to_the_file_though_its_location_is_known(
    folder: DataFolder, entries: dict[str, str], needed: int, message: str
) -> None:
    folder.locate(at("w.bin"), 10)
    with pytest.raises(ModelError, match=message):
        folder.locate(at("w.bin", **entries), needed)


def test_a_location_that_was_refused_is_refused_again(folder: DataFolder) -> None:
    for _ in range(2):
        with pytest.raises(ModelError, match="leads outside"):
            folder.locate(at("../w.bin"), 1)
