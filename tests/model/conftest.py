"""Places to save from and to."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from compressor.model import layout
from tests.model.saving import NAMES, write_model


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return write_model(folder / "model.onnx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "result"
    made.mkdir()
    return made


@pytest.fixture(params=["embedded", "beside"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both forms a result can have; the second as if protobuf's limit were 1 kB."""
    if request.param == "beside":
        monkeypatch.setattr(layout, "PROTOBUF_LIMIT", 1024)
    return str(request.param)


@pytest.fixture
def no_file_stays_open() -> Iterator[None]:
    """A descriptor per run would end long batches."""
    listing = Path("/proc/self/fd")
    if not listing.is_dir():
        yield
        return
    yield
    gc.collect()  # a caught exception may still hold the reader that verified a result
    assert not [link for link in listing.iterdir() if "compressor-tmp" in os.path.realpath(link)]


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Path, ...]:
    """Three models: one weight the same in all, the other in two of them."""
    folder = tmp_path / "source"
    folder.mkdir()
    values = zip(NAMES, (1.0, 2.0, 1.0), strict=True)
    return tuple(write_model(folder / name, value) for name, value in values)
