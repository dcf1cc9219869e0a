"""Turn pictures into the input of a vision model, one batch at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compressor.errors import OptionError
from compressor.evaluation.contract import Array
from compressor.evaluation.data.preprocessing import Preprocessing
from compressor.evaluation.data.rows import draw
from compressor.evaluation.data.table import Table
from compressor.evaluation.signature import InputSpec
from compressor.evaluation.wording import shown

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may take a file for, whatever its name: it would run Ghostscript on what looks like PostScript."""

IMAGE_COLUMNS = ("image", "image_path", "file_name", "filename", "path")
"""Columns of a table that name picture files."""

MOST_PIXELS = 64 << 20
"""Of one picture; a few kilobytes of PNG can unpack to gigabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRows:
    """Pictures that are opened when their batch is made.

    Attributes:
        spec: the input they fill.
        paths: where they are.
        steps: from picture to numbers.
        notes: what a reader must know.
    """

    spec: InputSpec
    paths: Sequence[Path]
    steps: Preprocessing
    notes: Sequence[str] = ()
    lengths: Sequence[int] = ()

    @property
    def count(self) -> int:
        """Tell how many there are."""
        return len(self.paths)

    @property
    def inputs(self) -> Sequence[str]:
        """Name the input."""
        return (self.spec.name,)

    def batch(self, places: Sequence[int]) -> Mapping[str, Array]:
        """Open and prepare some pictures."""
        prepared = [prepare(self.paths[place], self.steps) for place in places]
        return {self.spec.name: np.stack(prepared).astype(self.spec.dtype.numpy())}


def list_images(folder: Path, samples: int | None, seed: int) -> Table:
    """List the pictures in a folder and the folders in it, whose names are their labels.

    Raises:
        OptionError: there are none.
    """
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    found += sorted(path for path in folder.glob("*/*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise OptionError(f"{folder}: holds neither .npy files nor images; give a folder with some, or a file")
    chosen = draw(len(found), samples, seed)
    rows = [{"image": str(found[number].relative_to(folder)), **_label(found[number], folder)} for number in chosen]
    return Table(path=folder, rows=rows, numbers=[number + 1 for number in chosen], total=len(found))


def folder_of(table: Table) -> Path:
    """Where the pictures of a table are: beside the file, or in the folder that was listed."""
    return table.path if table.path.is_dir() else table.path.parent


def find_images(table: Table, column: str) -> list[Path]:
    """Give the path of each picture that a table names.

    Raises:
        OptionError: one is missing, or lies outside the folder of the table.
    """
    folder = folder_of(table)
    found = []
    for row, name in enumerate(table.column(column)):
        path = folder / str(name)
        try:
            real = path.resolve(strict=True)
        except (OSError, ValueError, RuntimeError):  # nothing there, too long a name, a NUL in it, links in a circle
            raise OptionError(f"{table.place(row, column)}: there is no file {shown(str(path))}") from None
        if not real.is_relative_to(folder.resolve()):
            raise OptionError(f"{table.place(row, column)}: {str(name)!r} is outside {folder}; move it there")
        if not real.is_file():
            raise OptionError(f"{table.place(row, column)}: {shown(str(path))} is not a file")
        found.append(path)
    return found


def prepare(path: Path, steps: Preprocessing) -> Array:
    """Open a picture and turn it into numbers.

    Raises:
        OptionError: it is no picture, or too large a one, or the package Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise OptionError(
            "reading images needs the package pillow; install it with: pip install 'onnx-compressor[vision]'"
        ) from error
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise OptionError(f"{path}: has {image.width}x{image.height} pixels, at most {MOST_PIXELS:,} are read")
            picture = image.convert("L" if steps.channels == 1 else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise OptionError(f"{path}: is not an image that can be read: {error}") from error
    width, height = _new_size(picture, steps)
    if width * height > MOST_PIXELS:
        raise OptionError(f"{path}: resized to {width}x{height} it has more than {MOST_PIXELS:,} pixels; leave it out")
    if (width, height) != picture.size:
        picture = picture.resize((width, height), steps.resample)
    return _numbers(_crop(picture, steps), steps)


def _new_size(picture: Any, steps: Preprocessing) -> tuple[int, int]:
    """Width and height after resizing."""
    if steps.shortest_edge is not None:
        factor = steps.shortest_edge / min(picture.size)
        return max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    if steps.resize is not None:
        return steps.resize[1], steps.resize[0]
    return picture.size[0], picture.size[1]


def _crop(picture: Any, steps: Preprocessing) -> Any:
    """Cut out the middle; what is missing on a small picture is black."""
    if steps.crop is None:
        return picture
    height, width = steps.crop
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def _numbers(picture: Any, steps: Preprocessing) -> Array:
    pixels = np.asarray(picture, np.float64).reshape(picture.height, picture.width, steps.channels) * steps.scale
    if steps.mean:
        pixels = pixels - np.array(steps.mean)
    if steps.deviation:
        pixels = pixels / np.array(steps.deviation)
    return pixels if steps.is_channels_last else pixels.transpose(2, 0, 1)


def _label(path: Path, folder: Path) -> dict[str, str]:
    return {} if path.parent == folder else {"label": path.parent.name}
