"""Pictures become numbers as the model's configuration says."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from compressor import OptionError
from compressor.evaluation.contract import Array
from compressor.evaluation.data import images
from compressor.evaluation.data.preprocessing import Preprocessing
from tests.evaluation.data.drawn import read, write_model

Image = pytest.importorskip("PIL.Image")

FREE = """<ir_version: 8, opset_import: ["" : 17]>
g (float[batch, 3, height, width] pixel_values) => (float[batch, 3, height, width] y) { y = Neg(pixel_values) }"""
FIXED = FREE.replace("height, width", "4, 4")


def paint(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (4, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def configure(folder: Path, **settings: object) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def test_pixels_are_rescaled_and_normalized_channel_by_channel(tmp_path: Path) -> None:
    configure(tmp_path, size={"height": 4, "width": 6}, image_mean=[0.5, 0, 0.25], image_std=[0.5, 1, 0.25])
    paint(tmp_path / "set/red.png", (255, 0, 0))
    (batch,) = read(write_model(tmp_path, FREE), tmp_path / "set").samples.batches
    assert batch["pixel_values"].shape == (1, 3, 4, 6)
    assert batch["pixel_values"].dtype == np.float32
    assert batch["pixel_values"][0, :, 0, 0].tolist() == [1, 0, -1]


def test_folders_name_the_labels_and_files_are_in_order(tmp_path: Path) -> None:
    for name in ("cat/b.png", "cat/a.png", "dog/c.png"):
        paint(tmp_path / "set" / name, (0, 0, 0))
        (tmp_path / "set/notes.txt").write_text("no image")
    text = FIXED.replace("y = Neg(pixel_values)", "n = Neg(pixel_values) y = ReduceSum(n)").replace(
        "=> (float[batch, 3, 4, 4] y)", "=> (float[batch, 2] y)"
    )
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "dog", "1": "cat"}}))
    material = read(write_model(tmp_path, text), tmp_path / "set", labels="label", task="classification")
    assert material.task is not None
    assert material.task.labels.tolist() == [1, 1, 0]  # type: ignore[attr-defined]  # of this task
    assert material.samples.excerpts == ["cat/a.png", "cat/b.png", "dog/c.png"]


def test_the_shorter_side_is_resized_and_the_middle_cut_out(tmp_path: Path) -> None:
    configure(tmp_path, size={"shortest_edge": 4}, do_center_crop=True, crop_size={"height": 4, "width": 4}, resample=0)
    striped = Image.new("RGB", (16, 8))
    striped.paste((255, 255, 255), (4, 0, 12, 8))
    (tmp_path / "set").mkdir()
    striped.save(tmp_path / "set/a.png")
    (batch,) = read(write_model(tmp_path, FREE), tmp_path / "set").samples.batches
    assert batch["pixel_values"].shape == (1, 3, 4, 4)
    assert (batch["pixel_values"] == 1).all()


def test_a_size_that_the_graph_fixes_goes_before_that_of_the_configuration(tmp_path: Path) -> None:
    configure(tmp_path, size={"height": 9, "width": 9}, do_rescale=False)
    paint(tmp_path / "set/a.png", (7, 8, 9), (2, 2))
    (batch,) = read(write_model(tmp_path, FIXED), tmp_path / "set").samples.batches
    assert batch["pixel_values"].shape == (1, 3, 4, 4)
    assert batch["pixel_values"][0, :, 1, 1].tolist() == [7, 8, 9]


def test_without_a_configuration_the_report_says_what_was_done(tmp_path: Path) -> None:
    paint(tmp_path / "set/a.png", (255, 255, 255), (2, 2))
    samples = read(write_model(tmp_path, FIXED), tmp_path / "set").samples
    assert (samples.batches[0]["pixel_values"] == 1).all()
    assert "no preprocessor_config.json is beside the model" in samples.notes[0]
    with pytest.raises(OptionError, match=r"takes images of any size, and no preprocessor_config.json"):
        read(write_model(tmp_path, FREE), tmp_path / "set")


def test_channels_may_come_last(tmp_path: Path) -> None:
    text = FREE.replace("3, height, width", "4, 4, 3")
    paint(tmp_path / "set/a.png", (255, 0, 0))
    (batch,) = read(write_model(tmp_path, text), tmp_path / "set").samples.batches
    assert batch["pixel_values"].shape == (1, 4, 4, 3)
    assert batch["pixel_values"][0, 0, 0].tolist() == [1, 0, 0]


def test_a_table_names_pictures_inside_its_folder_only(tmp_path: Path) -> None:
    model = write_model(tmp_path, FIXED)
    paint(tmp_path / "set/a.png", (255, 0, 0))
    paint(tmp_path / "secret.png", (0, 0, 0))
    (tmp_path / "set/d.csv").write_text("file_name\na.png\n")
    assert read(model, tmp_path / "set/d.csv").samples.rows == 1
    (tmp_path / "set/loop.png").symlink_to("loop.png")
    (tmp_path / "set/folder.png").mkdir()
    for name, message in (
        ("../secret.png", "is outside"), ("b.png", "there is no file"), ("loop.png", "there is no file"),
        ("folder.png", "is not a file"), ("\0", "there is no file"), ("n" * 5000, "there is no file"),
    ):  # fmt: skip
        (tmp_path / "set/d.csv").write_text(f"file_name\na.png\n{name}\n")
        with pytest.raises(OptionError, match=f"row 2, column 'file_name': .*{message}"):
            read(model, tmp_path / "set/d.csv")


def test_names_of_pictures_are_no_texts(tmp_path: Path) -> None:
    text = FIXED.replace("pixel_values)", "pixel_values, int64[batch, length] input_ids)", 1)
    paint(tmp_path / "set/a.png", (255, 0, 0))
    samples = read(write_model(tmp_path, text), tmp_path / "set").samples
    assert samples.batches[0]["pixel_values"].shape == (1, 3, 4, 4)
    assert samples.notes[-1] == "not in the data: input_ids (made up)"


def test_a_picture_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"GIF89a")
    with pytest.raises(OptionError, match=r"a.png: is not an image that can be read"):
        list(read(write_model(tmp_path, FIXED), tmp_path).samples.batches)


def test_postscript_is_no_picture_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n%%EOF\n")
    with Image.open(tmp_path / "a.png") as opened:
        assert opened.format == "EPS", "Pillow would take it for one"
    with pytest.raises(OptionError, match=r"a.png: is not an image that can be read: cannot identify"):
        list(read(write_model(tmp_path, FIXED), tmp_path).samples.batches)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 4, "resample": 99}, "resample is 99; it takes 0 to 5"),
        ({"size": 4, "image_mean": 0, "image_std": [1, 0, 1]}, "image_std is 0"),
        ({"size": {"height": -1, "width": 4}}, "a side of -1 pixels; 1 to 8,192 are taken"),
        ({"size": 1_000_000}, "a side of 1000000 pixels"),
    ],
)
def test_settings_that_no_picture_can_be_made_by_are_refused(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    configure(tmp_path, **settings)
    paint(tmp_path / "set/a.png", (0, 0, 0))
    with pytest.raises(OptionError, match=message):
        read(write_model(tmp_path, FREE), tmp_path / "set")


def test_a_thin_picture_is_not_resized_to_gigabytes(tmp_path: Path) -> None:
    configure(tmp_path, size={"shortest_edge": 224}, do_center_crop=True, crop_size=224)
    paint(tmp_path / "set/a.png", (0, 0, 0), size=(20_000, 1))
    with pytest.raises(OptionError, match=r"a.png: resized to 4480000x224 it has more than 67,108,864 pixels"):
        read(write_model(tmp_path, FREE), tmp_path / "set").samples.batches[0]


@pytest.mark.parametrize("side", [9_000, 14_000, 100_000])
def test_a_picture_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path: Path, side: int) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    with pytest.raises(OptionError, match=r"a.png: "):
        list(read(write_model(tmp_path, FIXED), tmp_path).samples.batches)


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MOST_PIXELS", 15)
    paint(tmp_path / "set/a.png", (0, 0, 0))
    with pytest.raises(OptionError, match=r"a.png: has 4x4 pixels, at most 15 are read"):
        list(read(write_model(tmp_path, FIXED), tmp_path / "set").samples.batches)


def test_pictures_are_opened_when_their_batch_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        paint(tmp_path / f"set/{number}.png", (0, 0, 0))
    opened: list[Path] = []
    usual = images.prepare

    def prepare(path: Path, steps: Preprocessing) -> Array:
        opened.append(path)
        return usual(path, steps)

    monkeypatch.setattr(images, "prepare", prepare)
    samples = read(write_model(tmp_path, FIXED), tmp_path / "set", batch_size=2).samples
    assert opened == []
    assert samples.batches[1]["pixel_values"].shape[0] == 2
    assert [path.name for path in opened] == ["2.png", "3.png"]


def test_a_folder_without_anything_known_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(OptionError, match=r"holds neither .npy files nor images"):
        read(write_model(tmp_path, FIXED), tmp_path / "set")
