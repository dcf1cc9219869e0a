"""Arrays from ``.npz`` files and folders of ``.npy`` files that nobody vouches for."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy_format

from compressor import OptionError
from compressor.evaluation.data import npz
from compressor.evaluation.data.npz import map_array, read_archive
from tests.evaluation.data.drawn import read, write_model

TWO_INPUTS = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[batch, 3] x, int32[batch] kind, float scale) => (float[batch, 3] y) {
    y = Mul(x, scale)
}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path, TWO_INPUTS)


def archive(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "data.npz", **arrays)  # type: ignore[arg-type]  # numpy's stub takes names for its own options
    return folder / "data.npz"


def test_arrays_go_to_the_inputs_of_their_names_in_the_order_given(model: Path) -> None:
    x = np.arange(15, dtype=np.float32).reshape(5, 3)
    data = archive(model.parent, x=x, kind=np.arange(5), scale=np.float64(2))
    samples = read(model, data, batch_size=2).samples
    assert [batch["x"].tolist() for batch in samples.batches] == [x[:2].tolist(), x[2:4].tolist(), x[4:].tolist()]
    assert [batch["kind"].dtype for batch in samples.batches] == [np.dtype(np.int32)] * 3
    assert [batch["scale"].shape for batch in samples.batches] == [()] * 3
    assert samples.places == ((0, 1), (2, 3), (4,))


def test_a_folder_of_arrays_is_mapped_and_read_alike(model: Path) -> None:
    folder = model.parent / "arrays"
    folder.mkdir()
    x = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(4, 3))
    np.save(folder / "x.npy", x)
    np.save(folder / "kind.npy", np.zeros(4, np.int32))
    np.save(folder / "scale.npy", np.float32(1))
    samples = read(model, folder, samples=2, seed=1).samples
    (batch,) = samples.batches
    assert batch["x"].tolist() == x[[number - 1 for number in samples.row_numbers]].tolist()
    assert isinstance(map_array(folder / "x.npy"), np.memmap)


def test_what_is_missing_is_made_up_to_fit_and_named(model: Path) -> None:
    samples = read(model, archive(model.parent, x=np.zeros((4, 3), np.float32)), batch_size=3).samples
    assert [batch["kind"].shape for batch in samples.batches] == [(3,), (1,)]
    assert samples.notes == ("not in the data: kind (made up), scale (made up)",)
    again = read(model, archive(model.parent, x=np.zeros((4, 3), np.float32)), batch_size=3).samples
    assert all((a["kind"] == b["kind"]).all() for a, b in zip(samples.batches, again.batches, strict=True))


def test_the_only_array_goes_to_the_only_input(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[n, 2] x) => (float[n, 2] y) { y = Neg(x) }"""
    np.savez(tmp_path / "d.npz", np.ones((2, 2), np.float32))
    (batch,) = read(write_model(tmp_path, text), tmp_path / "d.npz").samples.batches
    assert batch["x"].tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"z": np.zeros((2, 3), np.float32)},
            "array 'z' is no input of the model (x, kind, scale); leave it out, or name it with --labels",
        ),
        (
            {"x": np.zeros((2, 4), np.float32)},
            "array 'x' has shape 2x4, the input takes batchx3; the first axis is rows",
        ),
        ({"x": np.zeros(3, np.float32)}, "array 'x' has shape 3, the input takes batchx3"),
        ({"x": np.zeros((0, 3), np.float32)}, "holds no rows"),
        ({"scale": np.float32(1)}, "holds no array with an entry for each row"),
        ({"x": np.zeros((2, 3)), "kind": np.zeros(3)}, "array 'kind' has 3 rows, array 'x' has 2"),
        ({"x": np.array([["a"] * 3])}, "array 'x' has type <U1, the input takes float32"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(model: Path, arrays: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError) as refused:
        list(read(model, archive(model.parent, **arrays)).samples.batches)  # type: ignore[arg-type]  # as above
    assert message in str(refused.value)


def test_numbers_that_the_input_cannot_hold_are_refused(model: Path) -> None:
    for value in (2**40, 0.5, np.nan):
        data = archive(model.parent, x=np.zeros((1, 3)), kind=np.array([value]))
        with pytest.raises(
            OptionError, match=r"'kind' has type .* and values that int32, which the input takes, cannot"
        ):
            list(read(model, data).samples.batches)


def member(content: bytes, *, name: str = "x.npy", declared: int | None = None) -> bytes:
    """An archive with one member, which may declare another size than it has."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr(name, content)
    return target.getvalue()


def header(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    target = io.BytesIO()
    npy_format.write_array_header_1_0(target, {"descr": kind, "fortran_order": False, "shape": shape})
    return target.getvalue()


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('unpickled')",)


def pickled() -> bytes:
    target = io.BytesIO()
    npy_format.write_array_header_1_0(target, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    return target.getvalue() + pickle.dumps(Trap())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an .npz file"),
        (b"PK\x03\x04 nothing", "is not an .npz file"),
        (member(b"x", name="other.txt"), "holds no arrays"),
        (member(b"not an array"), "array 'x' is not a NumPy array"),
        (member(header((2**40, 2**10))), "declares shape (1099511627776, 1024), which is 4,503,599,627,370,496 bytes"),
        (member(header((4,)) + bytes(15)), "declares shape (4,), which is 16 bytes, and holds 15"),
        (member(header((-1,))), "declares shape (-1,); sizes are at least 0"),
        (member(header((1,) * 70) + bytes(4)), "declares 70 axes; at most 32 are read"),
        (member(pickled()), "holds Python objects, which are not loaded"),
        (member(header((1,))[:40]), "is not a NumPy array"),
        (member(header((2,)) + bytes(8))[:-60], "is not an .npz file"),
    ],
)
def test_hostile_archives_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(OptionError) as refused:
        read_archive(tmp_path / "d.npz")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "content", [b"", header((2**40,)), header((1,) * 70) + bytes(4), pickled(), b"\x93NUMPY\x09\x00"]
)
def test_hostile_arrays_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(OptionError, match=r"not a NumPy array|declares shape|declares 70 axes|Python objects"):
        map_array(tmp_path / "x.npy")


def test_an_archive_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "MOST_BYTES", 1 << 20)
    (tmp_path / "d.npz").write_bytes(member(header((2 << 18,)) + bytes(2 << 20)))
    assert (tmp_path / "d.npz").stat().st_size < 10_000
    with pytest.raises(OptionError, match="unpacks to 2,097,280 bytes, at most 1,048,576 are read"):
        read_archive(tmp_path / "d.npz")


def test_a_file_of_another_kind_is_refused_with_those_that_are_known(model: Path) -> None:
    (model.parent / "d.parquet").write_bytes(b"PAR1")
    with pytest.raises(OptionError, match=r"d.parquet: is no data that can be read; give .npz, .csv, .tsv, .jsonl, or"):
        read(model, model.parent / "d.parquet")
    with pytest.raises(OptionError, match="there is no such file or folder of data"):
        read(model, model.parent / "missing.csv")
