"""Files that are no sound ONNX model are refused in one sentence, and odd but sound ones are not."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressor.errors import ModelError
from compressor.model.load import load
from compressor.model.save import save
from compressor.pipeline import compress
from tests.hostile.hostile_models import floats, model_of, with_initializer

LARGE = 512
"""Elements of a float weight that stays in its file."""


def refusal(tmp_path: Path, content: bytes | onnx.ModelProto) -> str:
    """The one-line message with which `content` is refused."""
    path = tmp_path / "model.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    with pytest.raises(ModelError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 1000
    return message


def text(body: str) -> onnx.ModelProto:
    """A model drawn in ONNX text."""
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {body}')


def of_bytes() -> bytes:
    """A model in which a node's input is no UTF-8."""
    whole: bytes = text("g (float[n] x) => (float[n] y) { y = Relu(x)\n z = Relu(NAME) }").SerializeToString()
    return whole.replace(b"NAME", b"NA\xffE")


OTHER_FORMATS = {
    "nothing": (b"", "is empty"),
    "web page": (b"<!DOCTYPE html><html>404</html>", "web page"),
    "web page after blank lines": (b"\n\n  <html>", "web page"),
    "large file pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
    "zip": (b"PK\x03\x04" + bytes(60), "zip archive"),
    "gzip": (b"\x1f\x8b\x08" + bytes(60), "gzip"),
    "JSON": (b'{"error": "not found"}', "JSON"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(60), "HDF5"),
    "ONNX Runtime's format": (b"\x18\0\0\0ORTM" + bytes(60), ".ort"),
    "text": (b"hello, this is no model\n" * 50, "not"),
    "zeros": (bytes(4096), "not"),
    "random": (np.random.default_rng(0).bytes(4096), "not"),
    "name that is no text": (of_bytes(), "is not UTF-8"),
    "all ones": (b"\xff" * 4096, "not"),
    "an empty message in a message": (b"\x3a\x00", ""),
}


@pytest.mark.parametrize(("content", "words"), OTHER_FORMATS.values(), ids=OTHER_FORMATS.keys())
def test_a_file_that_is_no_model_is_named_for_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refusal(tmp_path, content)


def tensor(data_type: int, dims: list[int], **fields: object) -> onnx.ModelProto:
    return with_initializer(TensorProto(name="w", data_type=data_type, dims=dims, **fields))  # type: ignore[arg-type]  # protobuf's stubs want each field typed


TENSORS: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "product of dims wraps to a small number": (lambda: tensor(1, [2**62, 8], raw_data=bytes(32)), "need"),
    "the same, large": (lambda: tensor(1, [2**62, 8], raw_data=bytes(4096)), "need"),
    "huge dims": (lambda: tensor(1, [10**9, 10], raw_data=bytes(16)), "need 40000000000"),
    "many dims": (lambda: tensor(1, [2**62] * 64, raw_data=bytes(16)), "need"),
    "a hundred thousand dims": (lambda: tensor(1, [2**62] * 10**5, raw_data=bytes(16)), "need"),
    "negative dim": (lambda: tensor(1, [-32], raw_data=bytes(128)), "cannot be negative"),
    "negative dims whose product fits": (lambda: tensor(1, [-4, -8], raw_data=bytes(128)), "cannot be negative"),
    "too many bytes": (lambda: tensor(1, [8], raw_data=bytes(64)), "holds 64 bytes, dims [8] need 32"),
    "too many bytes, large": (lambda: tensor(1, [LARGE], raw_data=bytes(4 * LARGE + 4)), "need 2048"),
    "too few bytes": (lambda: tensor(1, [8], raw_data=bytes(28)), "holds 28 bytes, dims [8] need 32"),
    "too few bytes, large": (lambda: tensor(1, [LARGE], raw_data=bytes(4 * LARGE - 4)), "need 2048"),
    "bytes in an empty tensor": (lambda: tensor(1, [0], raw_data=bytes(4)), "need 0"),
    "no bytes": (lambda: tensor(1, [8]), "holds 0 values"),
    "no type": (lambda: tensor(0, [8], raw_data=bytes(32)), "does not define"),
    "unknown type": (lambda: tensor(999, [8], raw_data=bytes(32)), "does not define"),
    "negative type": (lambda: tensor(-1, [8], raw_data=bytes(32)), "does not define"),
    "field of another type": (lambda: tensor(1, [2], int64_data=[1, 2]), "must hold float_data"),
    "two fields": (lambda: tensor(1, [2], float_data=[1, 2], int32_data=[1, 2]), "must hold float_data"),
    "field and raw": (lambda: tensor(1, [2], float_data=[1, 2], raw_data=bytes(8)), "raw_data beside"),
    "too few values": (lambda: tensor(1, [3], float_data=[1, 2]), "holds 2 values, dims [3] need 3"),
    "strings in raw": (lambda: tensor(8, [1], raw_data=b"abcd"), "raw_data beside"),
    "strings in raw, large": (lambda: tensor(8, [0], raw_data=bytes(2048)), "need 0"),
    "too few nibbles": (lambda: tensor(TensorProto.INT4, [5], raw_data=bytes(2)), "need 3"),
}


@pytest.mark.parametrize(("draw", "words"), TENSORS.values(), ids=TENSORS.keys())
def test_a_weight_that_does_not_fit_its_dims_is_refused(
    tmp_path: Path, draw: Callable[[], onnx.ModelProto], words: str
) -> None:
    assert words in refusal(tmp_path, draw())


def test_one_sick_tensor_is_found_in_every_place(tmp_path: Path) -> None:
    from tests.hostile.hostile_models import PLACES

    sick = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[32], raw_data=bytes(64))
    for place in PLACES:
        assert "need 128" in refusal(tmp_path, place(sick))


def with_names_twice() -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.zeros(32, np.float32), "w")
    model = with_initializer(weight)
    model.graph.initializer.append(weight)
    return model


def without_opset() -> onnx.ModelProto:
    model = text("g (float[n] x) => (float[n] y) { y = Relu(x) }")
    del model.opset_import[:]
    return model


def of_the_future() -> onnx.ModelProto:
    model = text("g (float[n] x) => (float[n] y) { y = Relu(x) }")
    model.ir_version, model.opset_import[0].version = 999, 9999
    return model


def with_two_opsets(domain: str) -> onnx.ModelProto:
    model = text("g (float[n] x) => (float[n] y) { y = Softmax(x) }")
    model.opset_import.add(domain=domain, version=9)
    return model


def with_a_reference() -> onnx.ModelProto:
    """To us the attribute is the function's; the runtime ignores that and takes the 0."""
    model = text("g (float[n] x) => (float[n] y) { y = Softmax <axis = 0> (x) }")
    model.graph.node[0].attribute[0].ref_attr_name = "axis"
    return model


def with_unknown_value_type() -> onnx.ModelProto:
    model = text("g (float[n] x) => (float[n] y) { m = Relu(x)\n y = Abs(m) }")
    model.graph.value_info.add(name="m").type.tensor_type.elem_type = 72
    return model


GRAPHS: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "no graph": (lambda: onnx.ModelProto(ir_version=8, producer_name="nobody"), "holds no graph"),
    "no opset": (without_opset, "imports no opset"),
    "attribute of no function": (with_a_reference, "stands for one of a function, and is in none"),
    "two opsets": (lambda: with_two_opsets(""), "imports 'ai.onnx' at versions 17 and 9"),
    "two opsets by two spellings": (lambda: with_two_opsets("ai.onnx"), "imports 'ai.onnx' at versions 17 and 9"),
    "versions of the future": (of_the_future, "valid"),
    "cycle of two": (lambda: text("g (float[n] x) => (float[n] y) { y = Add(x, z)\n z = Relu(y) }"), "cycle"),
    "node that reads itself": (lambda: text("g (float[n] x) => (float[n] y) { y = Add(x, y) }"), "cycle"),
    "name nobody defines": (lambda: text("g (float[n] x) => (float[n] y) { y = Add(x, nobody) }"), "nobody"),
    "output nobody makes": (lambda: text("g (float[n] x) => (float[n] y) { z = Relu(x) }"), "y"),
    "name made twice": (lambda: text("g (float[n] x) => (float[n] y) { y = Relu(x)\n y = Abs(x) }"), "y"),
    "operator that does not exist": (lambda: text("g (float[n] x) => (float[n] y) { y = NoSuchOp(x) }"), "NoSuchOp"),
    "value of an unknown type": (with_unknown_value_type, "72"),
    "initializer twice": (with_names_twice, "w"),
    "too many inputs": (lambda: text("g (float[n] x) => (float[n] y) { y = Relu(x, x, x) }"), "Relu"),
    "attribute of another type": (
        lambda: text('g (float[n] x) => (float[n] y) { y = Softmax <axis = "one"> (x) }'), "axis",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("draw", "words"), GRAPHS.values(), ids=GRAPHS.keys())
def test_a_graph_that_breaks_the_rules_is_refused(
    tmp_path: Path, draw: Callable[[], onnx.ModelProto], words: str
) -> None:
    assert words in refusal(tmp_path, draw())


def test_a_download_cut_anywhere_is_refused_or_still_a_model(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.arange(LARGE, dtype=np.float32), "w")
    small = numpy_helper.from_array(np.zeros(LARGE, np.float32), "x0")
    model = model_of(
        [helper.make_node("Sum", ["x", "w", "x0"], ["y"], name="add")], [weight, small], inputs=[floats("x", None)]
    )
    whole = model.SerializeToString()
    path = tmp_path / "model.onnx"
    loaded = 0
    for end in (*range(0, 200), *range(200, len(whole), 61), *range(len(whole) - 200, len(whole))):
        path.write_bytes(whole[:end])
        try:
            load(path)
            loaded += 1
        except ModelError:
            pass
    assert loaded == 0, "the opset, without which nothing is a model, comes last"


def test_unknown_fields_behind_a_model_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = text("g (float[n] x) => (float[n] y) { y = Relu(x) }")
    path.write_bytes(model.SerializeToString() + b"\xa2\x06\x04abcd" + b"\xad\x06" + struct.pack("<I", 7))
    save(load(path), tmp_path / "out.onnx")
    (node,) = onnx.load(tmp_path / "out.onnx").graph.node
    assert node.op_type == "Relu"


NAMES = [
    "../../evil",
    "/etc/x",
    "C:\\x",
    "имя",
    "名 前",
    "a:b",
    "%s{0}",
    "[red]x[/red]",
    "weight:0000",
    "n" * 5000,
    "\u202e",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_are_only_names(tmp_path: Path, name: str) -> None:
    """Paths, other alphabets, markup, and the marks this package uses itself."""
    weights = [numpy_helper.from_array(np.arange(LARGE, dtype=np.float32), label) for label in (name, f"{name}2")]
    nodes = [helper.make_node("Sum", [f"{name}x", name, f"{name}2"], [f"{name}y"], name=name)]
    graph = helper.make_graph(
        nodes, name, [floats(f"{name}x", LARGE)], [floats(f"{name}y", LARGE)], weights, doc_string=name
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder = tmp_path / "sub" / "sub"
    folder.mkdir(parents=True)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    out = folder / "out.onnx"
    compress(path, out, verify=False)
    assert sorted(tmp_path.rglob("*.onnx*")) == sorted([path, out])
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {f"{name}x": np.zeros(LARGE, np.float32)})
    assert result.tolist() == (2 * np.arange(LARGE)).tolist()


def test_an_empty_graph_name_is_kept_empty(tmp_path: Path) -> None:
    """The checker of the onnx package refuses it, ONNX Runtime does not."""
    model = text("g (float[n] x) => (float[n] y) { y = Relu(x) }")
    model.graph.name = ""
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    save(load(path), tmp_path / "out.onnx")
    assert onnx.load(tmp_path / "out.onnx").graph.name == ""


def test_operators_of_other_domains_pass_through(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17, "my.domain" : 3]>'
        "g (float[n] x) => (float[n] y) { y = my.domain.MyOp <k = 3> (x) }"
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    save(load(path), tmp_path / "out.onnx")
    assert onnx.load(tmp_path / "out.onnx").graph.node == model.graph.node
