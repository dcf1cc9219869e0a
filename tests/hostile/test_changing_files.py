"""Files that change while they are read: what was checked is what is read, or nothing is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from compressor.errors import ModelError, OutputError
from compressor.model.load import load
from compressor.model.save import save
from compressor.model.session import open_session
from compressor.model.together import save_together
from tests.hostile.hostile_models import CANARY, ELEMENTS, WEIGHT, external, with_initializer, write

LARGE = np.arange(ELEMENTS * 64, dtype=np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model whose weight of 8 kB is in a data file."""
    tensor = external([("location", "w.bin")], dims=[64, ELEMENTS])
    return write(tmp_path, with_initializer(tensor), LARGE.tobytes())


def shrink(data: Path) -> None:
    os.truncate(data, 100)


def write_in_place(data: Path) -> None:
    with data.open("r+b") as file:
        file.write(CANARY)
    os.utime(data, ns=(0, 0))  # the clock of a file system may be too coarse to tell


@pytest.mark.parametrize("change", [shrink, write_in_place])
@pytest.mark.parametrize("which", ["w.bin", "model.onnx"])
def test_a_file_that_is_written_to_after_it_was_opened_gives_no_result(
    model: Path, change: Callable[[Path], None], which: str
) -> None:
    loaded, out = load(model), model.with_name("out.onnx")
    change(model.with_name(which))
    out.write_bytes(b"old")
    with pytest.raises((OutputError, ModelError), match=r"was written to while|became shorter"):
        save(loaded, out, overwrite=True)
    assert out.read_bytes() == b"old"
    assert sorted(path.name for path in model.parent.iterdir()) == ["model.onnx", "out.onnx", "w.bin"]


@pytest.mark.parametrize("which", ["w.bin", "embedded"])
def test_a_file_cut_short_between_two_runs_ends_in_a_sentence(model: Path, which: str) -> None:
    """To touch pages that are gone ends a process by SIGBUS; both runs map the same file."""
    if which == "embedded":
        save(load(model), model.with_name("embedded"))
        model = model.with_name("embedded")
    loaded = load(model)
    open_session(loaded)
    shrink(model.with_name(which))
    with pytest.raises(ModelError, match="became shorter"):
        open_session(loaded.clone())


def test_a_set_is_not_written_either(model: Path) -> None:
    out = model.parents[1] / "out"
    loaded = load(model)
    write_in_place(model.with_name("w.bin"))
    with pytest.raises(OutputError, match="was written to while"):
        save_together({out / "model.onnx": loaded})
    assert not out.exists()


@pytest.mark.skipif(os.name != "posix", reason="an open file can be renamed over")
def test_a_name_that_leads_elsewhere_later_is_not_followed_again(model: Path, tmp_path: Path) -> None:
    """Checked and opened once: exchanging the file for a link that leaves the folder comes too late."""
    loaded, data = load(model), model.with_name("w.bin")
    data.unlink()
    data.symlink_to(tmp_path / "outside" / "secret.bin")
    save(loaded, tmp_path / "out.onnx")
    (tensor,) = onnx.load(tmp_path / "out.onnx").graph.initializer
    assert tensor.data_type == TensorProto.FLOAT
    assert tensor.raw_data == LARGE.tobytes()
    assert WEIGHT.tobytes() in tensor.raw_data
