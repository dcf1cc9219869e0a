"""Number columns of a table go straight to inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compressor import OptionError
from tests.evaluation.data.drawn import read, write_model, write_tokenizer

TABULAR = """<ir_version: 8, opset_import: ["" : 17]>
g (float[batch, 3] features) => (float[batch, 3] y) { y = Neg(features) }"""
NAMED = """<ir_version: 8, opset_import: ["" : 17]>
g (float[batch, 1] age, float[batch, 2] place) => (float[batch, 3] y) { y = Concat<axis = 1>(age, place) }"""


def write(folder: Path, name: str, content: str) -> Path:
    (folder / name).write_text(content)
    return folder / name


def test_columns_named_as_inputs_fill_them(tmp_path: Path) -> None:
    data = write(
        tmp_path, "d.jsonl", '{"age": 3, "place": [1, 2], "note": "x"}\n{"age": 4, "place": [5, 6], "note": ""}\n'
    )
    (batch,) = read(write_model(tmp_path, NAMED), data).samples.batches
    assert batch["age"].tolist() == [[3], [4]]
    assert batch["place"].tolist() == [[1, 2], [5, 6]]


def test_as_many_columns_as_the_only_input_is_wide_fill_it_in_their_order(tmp_path: Path) -> None:
    data = write(tmp_path, "d.csv", "a,b,c,label\n1,2,3.5,0\n4,5,-6e1,1\n")
    material = read(write_model(tmp_path, TABULAR), data, labels="label", task="classification")
    (batch,) = material.samples.batches
    assert batch["features"].tolist() == [[1, 2, 3.5], [4, 5, -60]]
    assert material.samples.notes == ("input 'features' is made of the columns a, b, c, in this order",)


def test_a_value_that_is_no_number_is_named_with_its_place(tmp_path: Path) -> None:
    data = write(tmp_path, "d.csv", "a,b,c\n1,2,3\n1,two,3\n")
    with pytest.raises(OptionError, match="row 2, column 'b': holds 'two', a number is wanted"):
        read(write_model(tmp_path, TABULAR), data)


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl"])
@pytest.mark.parametrize("value", ["1e400", "-1e400", "1e39", "[1, 1e39]"])
def test_a_number_too_large_for_the_input_is_named_with_its_row(tmp_path: Path, value: str, name: str) -> None:
    """Read as infinity, it would make every figure of the run one of a row that nobody gave."""
    csv, jsonl = (
        f'age,place\n1,"[1, 2]"\n1,"{value}"\n',
        f'{{"age": 1, "place": [1, 2]}}\n{{"age": 1, "place": {value}}}',
    )
    data = write(tmp_path, name, csv if name == "d.csv" else jsonl)
    with pytest.raises(OptionError, match=r"row 2.*(holds|too large)"):
        read(write_model(tmp_path, NAMED), data)


def test_a_value_that_an_input_of_whole_numbers_cannot_hold_is_named_with_its_row(tmp_path: Path) -> None:
    model = write_model(tmp_path, TABULAR.replace("float[", "int64["))
    for value in ("1.5", "1e40", "NaN"):
        data = write(tmp_path, "d.csv", f"a,b,c\n1,2,3\n1,{value},3\n")
        with pytest.raises(OptionError, match=f"row 2, column 'b': holds '{value}', which int64, the type of"):
            read(model, data)


def test_missing_numbers_and_infinity_are_values_where_they_are_spelled_out(tmp_path: Path) -> None:
    """Tree models take NaN for what is missing."""
    data = write(tmp_path, "d.csv", "a,b,c\nNaN,Infinity,-Infinity\n")
    (batch,) = read(write_model(tmp_path, TABULAR), data).samples.batches
    np.testing.assert_array_equal(batch["features"], [[np.nan, np.inf, -np.inf]])


def test_rows_of_different_shapes_are_refused(tmp_path: Path) -> None:
    data = write(tmp_path, "d.jsonl", '{"age": 3, "place": [1, 2]}\n{"age": 3, "place": [1]}\n')
    with pytest.raises(OptionError, match=r"row 2, column 'place': has shape \(1,\), row 1 has \(2,\)"):
        read(write_model(tmp_path, NAMED), data)


def test_another_number_of_columns_is_told_with_inputs_and_columns(tmp_path: Path) -> None:
    data = write(tmp_path, "d.csv", "a,b\n1,2\n")
    with pytest.raises(OptionError, match=r"none of its columns \(a, b\) is an input of the model \(features\)"):
        read(write_model(tmp_path, TABULAR), data)


def test_tokens_as_lists_of_numbers_need_no_tokenizer(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    data = write(tmp_path, "d.jsonl", '{"input_ids": [2, 4, 3]}\n{"input_ids": [2, 5, 3]}\n')
    samples = read(model, data).samples
    (batch,) = samples.batches
    assert batch["input_ids"].tolist() == [[2, 4, 3], [2, 5, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1]] * 2
    assert samples.notes == ("not in the data: attention_mask (shows everything), token_type_ids (0 everywhere)",)


def test_numbers_stand_beside_texts(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (int64[batch, sequence] input_ids, float[batch, 1] age) => (float[batch, sequence, 2] y, float[batch, 1] z) {
        y = Gather(table, input_ids)
        z = Neg(age)
    }"""
    data = write(tmp_path, "d.csv", "text,age\ngood film it,7\nbad,9\n")
    samples = read(write_model(tmp_path, text), data).samples
    (batch,) = samples.batches
    assert samples.places == ((1, 0),)
    assert batch["age"].tolist() == [[9], [7]]
