"""Weights that are elsewhere: read in blocks, of any type, from any offset, and computed ones."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from compressor.errors import ModelError
from compressor.model import equality, weights
from compressor.model.equality import equal_groups
from compressor.model.files import DataFile
from compressor.model.weights import ComputedWeight, DetachedWeight, ReadInOrder, StoredWeight, read_block, read_ranges

ELEMENTS = 24

ARRAYS: dict[str, tuple[ir.DataType, Any]] = {
    "float32": (ir.DataType.FLOAT, np.float32),
    "float64": (ir.DataType.DOUBLE, np.float64),
    "float16": (ir.DataType.FLOAT16, np.float16),
    "bfloat16": (ir.DataType.BFLOAT16, ml_dtypes.bfloat16),
    "float8": (ir.DataType.FLOAT8E4M3FN, ml_dtypes.float8_e4m3fn),
    "int8": (ir.DataType.INT8, np.int8),
    "uint16": (ir.DataType.UINT16, np.uint16),
    "int64": (ir.DataType.INT64, np.int64),
    "bool": (ir.DataType.BOOL, np.bool_),
    "complex64": (ir.DataType.COMPLEX64, np.complex64),
}


def values(dtype: Any) -> NDArray[Any]:
    return np.arange(ELEMENTS).astype(dtype)


def stored(
    tmp_path: Path, content: bytes, dtype: ir.DataType, *, offset: int = 0, elements: int = ELEMENTS
) -> StoredWeight:
    path = tmp_path / "w.bin"
    path.write_bytes(b"\xaa" * offset + content + b"\xbb" * 5)
    return StoredWeight(DataFile(path), offset, dtype, ir.Shape((elements,)), name="w")


@pytest.mark.parametrize("offset", [0, 1, 3, 4096])
@pytest.mark.parametrize(("dtype", "numpy_type"), ARRAYS.values(), ids=ARRAYS.keys())
def test_gives_the_values_from_any_offset(tmp_path: Path, dtype: ir.DataType, numpy_type: Any, offset: int) -> None:
    expected = values(numpy_type)
    weight = stored(tmp_path, expected.tobytes(), dtype, offset=offset)
    assert weight.numpy().dtype == expected.dtype
    assert weight.numpy().tobytes() == weight.tobytes() == weight.mapped().tobytes() == expected.tobytes()
    assert np.asarray(weight).tobytes() == expected.tobytes()
    assert read_block(weight, 5, 11).tobytes() == expected[5:11].tobytes()
    assert read_block(weight, 0, 0).size == 0


def test_unpacks_int4_to_one_element_each(tmp_path: Path) -> None:
    weight = stored(tmp_path, bytes([0x21, 0xF3, 0x08]), ir.DataType.INT4, elements=5)
    assert weight.nbytes == 3
    assert weight.numpy().astype(int).tolist() == [1, 2, 3, -1, -8]
    assert read_block(weight, 1, 4).astype(int).tolist() == [2, 3, -1]


def test_reads_no_more_than_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weight = stored(tmp_path, values(np.float32).tobytes(), ir.DataType.FLOAT)
    lengths: list[int] = []
    read = DataFile.read

    def counted(file: DataFile, offset: int, length: int) -> bytes:
        lengths.append(length)
        return read(file, offset, length)

    monkeypatch.setattr(DataFile, "read", counted)
    read_block(weight, 2, 4)
    assert lengths == [8]


def test_streams_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "CHUNK_BYTES", 10)
    content = values(np.float32).tobytes()
    weight = stored(tmp_path, content, ir.DataType.FLOAT, offset=3)
    chunks = [bytes(chunk) for chunk in weight.chunks()]
    assert [len(chunk) for chunk in chunks] == [10] * 9 + [6]
    target = io.BytesIO()
    weight.tofile(target)
    assert b"".join(chunks) == target.getvalue() == content


def test_a_large_weight_is_copied_whole_behind_what_is_there(tmp_path: Path) -> None:
    """By the kernel, where it can."""
    content = np.random.default_rng(0).bytes(100_000)
    weight = stored(tmp_path, content, ir.DataType.UINT8, offset=7, elements=100_000)
    with (tmp_path / "out").open("w+b") as file:
        file.write(b"before")
        weight.tofile(file)
        file.write(b"after")
    assert (tmp_path / "out").read_bytes() == b"before" + content + b"after"


def test_a_file_that_became_shorter_is_noticed(tmp_path: Path) -> None:
    weight = stored(tmp_path, bytes(100_000), ir.DataType.UINT8, elements=100_000)
    with (tmp_path / "w.bin").open("r+b") as file:
        file.truncate(50_000)
    with pytest.raises(ModelError, match="became shorter"):
        weight.tobytes()
    with (tmp_path / "out").open("w+b") as file, pytest.raises(ModelError, match="became shorter"):
        weight.tofile(file)


def test_a_file_that_was_replaced_is_read_as_it_was_opened(tmp_path: Path) -> None:
    content = values(np.float32).tobytes()
    weight = stored(tmp_path, content, ir.DataType.FLOAT)
    (tmp_path / "other").write_bytes(bytes(1000))
    (tmp_path / "other").replace(tmp_path / "w.bin")
    assert weight.tobytes() == content


def test_reads_the_same_without_pread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    content = values(np.int64).tobytes()
    weight = stored(tmp_path, content, ir.DataType.INT64, offset=3)
    monkeypatch.delattr("os.pread", raising=False)
    assert weight.tobytes() == content
    assert read_block(weight, 20, 24).tolist() == [20, 21, 22, 23]


def computed(*blocks: NDArray[Any]) -> ComputedWeight:
    elements = sum(block.size for block in blocks)
    return ComputedWeight(lambda: iter(blocks), ir.DataType.FLOAT, ir.Shape((elements,)), name="w")


def test_a_computed_weight_is_its_blocks_in_order_each_time() -> None:
    square = np.arange(6, dtype=np.float32).reshape(2, 3)
    weight = computed(square, square.T, np.float32(7).reshape(()))
    expected = [0, 1, 2, 3, 4, 5, 0, 3, 1, 4, 2, 5, 7]
    assert weight.numpy().tolist() == weight.numpy().tolist() == expected
    assert read_block(weight, 6, 9).tolist() == [0, 3, 1]


def test_ranges_of_a_computed_weight_are_made_in_one_go() -> None:
    made: list[int] = []

    def blocks() -> Iterator[NDArray[Any]]:
        for number in range(6):
            made.append(number)
            yield np.arange(10 * number, 10 * number + 10, dtype=np.float32)

    weight = ComputedWeight(blocks, ir.DataType.FLOAT, ir.Shape((60,)), name="w")
    found = [part.tolist() for part in read_ranges(weight, [(3, 5), (5, 25), (25, 25), (41, 42)])]
    assert found == [[3, 4], list(range(5, 25)), [], [41]]
    assert made == [0, 1, 2, 3, 4]


def test_going_back_in_a_computed_weight_starts_over() -> None:
    weight = computed(np.arange(4, dtype=np.float32), np.arange(4, 9, dtype=np.float32))
    assert [part.tolist() for part in read_ranges(weight, [(5, 9), (0, 6)])] == [[5, 6, 7, 8], [0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize("ranges", [[(0, 5)], [(1, 4)], [(0, 3), (3, 5)], [(1, 2), (2, 3), (3, 4)], [(2, 2)]], ids=str)
def test_ranges_may_begin_and_end_inside_a_byte(tmp_path: Path, ranges: list[tuple[int, int]]) -> None:
    packed, values = np.array([0x21, 0xF3, 0x08], np.uint8), [1, 2, 3, -1, -8]
    in_a_file = stored(tmp_path, packed.tobytes(), ir.DataType.INT4, elements=5)
    made = ComputedWeight(lambda: iter([packed[:1], packed[1:]]), ir.DataType.INT4, ir.Shape((5,)), name="w")
    for weight in (in_a_file, made):
        found = [part.astype(int).tolist() for part in read_ranges(weight, ranges)]
        assert found == [values[start:stop] for start, stop in ranges]


def test_of_a_packed_type_no_more_bytes_are_read_than_hold_the_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = stored(tmp_path, bytes(50), ir.DataType.UINT4, elements=100)
    monkeypatch.setattr(StoredWeight, "read", lambda weight, start, stop: bytes(stop - start) if stop < 9 else None)
    assert read_block(weight, 7, 16).size == 9


def test_a_tensor_in_memory_is_read_in_order_like_any_other() -> None:
    reader = ReadInOrder(ir.tensor(np.arange(9, dtype=np.uint8)))
    assert (reader.read(1, 3), reader.read(3, 8), reader.read(0, 2)) == (b"\1\2", b"\3\4\5\6\7", b"\0\1")


def test_no_two_weights_have_one_location(tmp_path: Path) -> None:
    made = [stored(tmp_path, bytes(96), ir.DataType.FLOAT) for _ in range(100)]
    assert len({str(weight.location) for weight in made}) == 100


def groups(*tensors: ir.TensorProtocol) -> list[list[int]]:
    found = equal_groups(list(enumerate(tensors)), lambda item: item[1])
    return [[index for index, _ in group] for group in found]


def test_equality_is_of_type_shape_and_every_byte(tmp_path: Path) -> None:
    base = np.zeros(3000, np.float32)
    late = base.copy()
    late[-1] = -0.0
    nan = np.full(3000, np.nan, np.float32)
    arrays = [base, late, base.copy(), base.view(np.int32), base.reshape(3, 1000), nan, nan.copy()]
    assert groups(*(ir.tensor(array) for array in arrays)) == [[0, 2], [5, 6]]


def test_equality_holds_between_stored_computed_and_inline(tmp_path: Path) -> None:
    base = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    one = stored(tmp_path, base.tobytes(), ir.DataType.FLOAT, offset=1, elements=5000)
    assert groups(one, computed(base[:1], base[1:]), ir.tensor(base), computed(base[1:], base[:1])) == [[0, 1, 2]]


@pytest.mark.parametrize("members", [2, 40])
def test_many_weights_that_differ_late_are_told_apart_in_little_memory(
    members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(equality, "_HELD_BYTES", 1 << 18)
    base = np.zeros((members, 300_000), np.uint8)
    base[:, -1] = np.arange(members) // 2
    sizes: list[int] = []
    read = ReadInOrder.read

    def counted(reader: ReadInOrder, start: int, stop: int) -> bytes:
        sizes.append(stop - start)
        return read(reader, start, stop)

    monkeypatch.setattr(ReadInOrder, "read", counted)
    assert groups(*map(ir.tensor, base)) == [[at, at + 1] for at in range(0, members, 2)]
    assert max(sizes) * members <= 1 << 18


def test_one_range_of_a_file_is_equal_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = stored(tmp_path, bytes(96), ir.DataType.FLOAT)
    two = StoredWeight(one.file, 0, ir.DataType.FLOAT, ir.Shape((ELEMENTS,)), name="other")

    def unread(weight: DetachedWeight, *bounds: int) -> Iterator[memoryview]:
        raise AssertionError("was read")

    monkeypatch.setattr(StoredWeight, "read", unread)
    assert groups(one, two) == [[0, 1]]


def test_strings_are_compared_string_by_string() -> None:
    def strings(*items: bytes) -> ir.StringTensor:
        return ir.StringTensor(list(items), shape=ir.Shape((len(items),)))

    assert groups(strings(b"ab", b"c"), strings(b"a", b"bc"), strings(b"ab", b"c"), strings(b"ab\0", b"c")) == [[0, 2]]
