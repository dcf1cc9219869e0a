"""What goes along with the models of a folder, and what never does."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

import pytest

from compressor.errors import OptionError
from compressor.folder import sidecars
from compressor.folder.sidecars import Sidecars, find_sidecars
from tests.model.saving import posix_only

HERE = PurePath()


def names(found: Sidecars) -> list[str]:
    return [sidecar.name.as_posix() for sidecar in found.found]


def fill(folder: Path, *files: str) -> Path:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def test_takes_configuration_tokenizer_and_licence(tmp_path: Path) -> None:
    along = [
        "1_Pooling/config.json",
        "LICENSE",
        "added_tokens.json",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "merges.txt",
        "modules.json",
        "notice.md",
        "preprocessor_config.json",
        "spiece.model",
        "tokenizer.json",
    ]
    fill(tmp_path, *along)
    assert names(find_sidecars(tmp_path, HERE)) == along


def test_leaves_weights_data_and_what_is_hidden_or_about_the_source(tmp_path: Path) -> None:
    fill(
        tmp_path,
        ".cache.json",
        ".git/config.json",
        "README.md",
        "logs/config.json",
        "model.onnx",
        "model.onnx.data",
        "model.safetensors",
        "model.safetensors.index.json",
        "modeling.py",
        "ort_config.json",
        "pytorch_model.bin",
        "quantize_config.json",
        "questions.csv",
    )
    (tmp_path / "folder.json").mkdir()
    assert find_sidecars(tmp_path, HERE) == Sidecars()


def test_looks_beside_the_models_too_where_they_are_in_a_folder_of_their_own(tmp_path: Path) -> None:
    fill(tmp_path, "config.json", "onnx/config.json", "onnx/model.onnx", "other/config.json")
    assert names(find_sidecars(tmp_path, PurePath("onnx"))) == ["config.json", "onnx/config.json"]


def test_reads_from_what_was_opened_whatever_becomes_of_the_path(tmp_path: Path) -> None:
    fill(tmp_path, "config.json")
    (sidecar,) = find_sidecars(tmp_path, HERE).found
    (tmp_path / "config.json").rename(tmp_path / "gone")
    assert sidecar.file.read(0, sidecar.file.size) == b"config.json"


@posix_only
def test_nothing_from_elsewhere_goes_along(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", "secret", "config.json")
    folder = fill(tmp_path / "export", "config.json")
    (folder / "vocab.txt").symlink_to(tmp_path / "elsewhere" / "secret")
    (folder / "merges.txt").symlink_to("../elsewhere/secret")
    (folder / "1_Pooling").symlink_to(tmp_path / "elsewhere")
    (folder / "tokenizer.json").hardlink_to(tmp_path / "elsewhere" / "secret")
    (folder / "gone.json").symlink_to("nowhere")
    (folder / "circle.json").symlink_to("circle.json")
    os.mkfifo(folder / "pipe.json")
    (folder / "null.json").symlink_to("/dev/null")
    found = find_sidecars(folder, HERE)
    assert names(found) == ["config.json"]
    assert {skip.candidate: skip.reason for skip in found.refused} == {
        "1_Pooling/config.json": "is a link that leads out of the folder",
        "circle.json": "is a link that leads nowhere",
        "gone.json": "is a link that leads nowhere",
        "merges.txt": "is a link that leads out of the folder",
        "null.json": "is a link that leads out of the folder",
        "pipe.json": "is not a regular file that can be read",
        "tokenizer.json": "has several hard links, so it may be a file from elsewhere",
        "vocab.txt": "is a link that leads out of the folder",
    }


@posix_only
@pytest.mark.parametrize("models", ["", "onnx"])
def test_the_links_of_the_hugging_face_cache_are_followed(tmp_path: Path, models: str) -> None:
    cache = fill(tmp_path / "models--org--name", "blobs/aa", "blobs/bb", "refs/main")
    folder = cache / "snapshots" / "0123"
    (folder / "onnx").mkdir(parents=True)
    (folder / "config.json").symlink_to("../../blobs/aa")
    (folder / "tokenizer.json").symlink_to("../../refs/main")
    (folder / "onnx" / "config.json").symlink_to("../../../blobs/bb")
    found = find_sidecars(folder, PurePath(models))
    assert names(found) == ["config.json", *(["onnx/config.json"] if models else [])]
    assert [skip.candidate for skip in found.refused] == ["tokenizer.json"]
    assert names(find_sidecars(folder / "onnx", HERE)) == ["config.json"], "where onnx itself is named"


def test_a_huge_file_is_named_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidecars, "LARGEST_BYTES", 8)
    fill(tmp_path, "a.json", "config.json")
    found = find_sidecars(tmp_path, HERE)
    assert names(found) == ["a.json"]
    assert [skip.reason for skip in found.refused] == ["has 11 bytes; files that go along have at most 8"]


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be listed"):
        find_sidecars(tmp_path / "missing", HERE)
