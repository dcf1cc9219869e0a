"""The runtime is asked about a file; its weights are not read for that."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compressor.errors import OutputError
from compressor.model import loadable
from compressor.model.load import examine, load
from compressor.model.loadable import runtime_refusal
from compressor.model.save import save
from tests.conftest import FIXTURES
from tests.hostile.hostile_models import ELEMENTS, PLACES, external, with_initializer, write

LARGE = 1024


def two_products(dtype: type = np.float32) -> onnx.ModelProto:
    """A sound model of two weights of 4 MB, the second of any type."""
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[n, 1024] x) => (float[n, 1024] y) '
        "{ m = MatMul(x, a)\n y = MatMul(m, b) }"
    )
    for name, kind in (("a", np.float32), ("b", dtype)):
        model.graph.initializer.append(numpy_helper.from_array(np.ones((LARGE, LARGE), kind), name))
    return model


def write_model(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def refusal_of(path: Path) -> str | None:
    return runtime_refusal(path, examine(path))


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.onnx")), ids=lambda path: path.stem)
def test_real_exports_load_by_their_graph_alone(path: Path) -> None:
    assert loadable._refusal_of_graph(path, examine(path)) is None


def test_types_that_do_not_fit_are_refused_in_the_words_of_the_runtime(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.onnx", two_products(np.float64))
    refusal = refusal_of(path)
    assert refusal is not None
    assert "double" in refusal
    assert "\n" not in refusal


@pytest.mark.parametrize("place", PLACES[:4])
@pytest.mark.parametrize("is_external", [False, True])
def test_weights_in_any_place_load(
    tmp_path: Path, place: Callable[[TensorProto], onnx.ModelProto], is_external: bool
) -> None:
    values = numpy_helper.from_array(np.arange(ELEMENTS, dtype=np.float32), "w")
    path = write(tmp_path, place(external([("location", "w.bin")]) if is_external else values))
    assert refusal_of(path) is None


def test_a_large_weight_of_a_constant_loads_although_the_graph_alone_may_not(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((LARGE, LARGE), np.float32))
    model = two_products()
    del model.graph.initializer[1]
    model.graph.node.insert(0, helper.make_node("Constant", [], ["b"], value=weight))
    assert refusal_of(write_model(tmp_path / "model.onnx", model)) is None


def test_no_weight_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_model(tmp_path / "model.onnx", two_products())
    given: list[int] = []
    opened = loadable._open

    def noting(model: str | bytes, config: dict[str, str]) -> str | None:
        given.append(len(model))
        return opened(model, config)

    monkeypatch.setattr(loadable, "_open", noting)
    assert refusal_of(path) is None
    assert given == [pytest.approx(500, abs=500)], "8 MB of weights were left where they are"


def test_a_result_that_the_runtime_refuses_is_not_kept(tmp_path: Path) -> None:
    path, out = write_model(tmp_path / "model.onnx", two_products()), tmp_path / "out.onnx"
    out.write_bytes(b"what was there before")
    model = load(path)
    broken = load(write_model(tmp_path / "broken.onnx", two_products(np.float64)))
    weight = broken.graph.initializers["b"].const_value
    model.graph.initializers["b"].const_value = weight
    model.graph.initializers["b"].type = broken.graph.initializers["b"].type
    with pytest.raises(OutputError, match="takes the source but not the result"):
        save(model, out, overwrite=True)
    assert out.read_bytes() == b"what was there before"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_result_is_not_held_to_what_the_source_does_not_do(tmp_path: Path) -> None:
    """Operators of a library that is not installed here."""
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17, "my" : 1]> g (float[n] x) => (float[n] y) { y = my.Own(x) }'
    )
    path = write_model(tmp_path / "model.onnx", model)
    assert refusal_of(path) is not None
    save(load(path), tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").exists()


def test_a_weight_of_a_small_file_beside_the_model_loads(tmp_path: Path) -> None:
    assert refusal_of(write(tmp_path, with_initializer(external([("location", "w.bin")])))) is None


def test_a_long_chain_of_values_of_open_size_loads_in_little_time(tmp_path: Path) -> None:
    names = ["x", *(f"v{index}" for index in range(19_999)), "y"]
    nodes = [helper.make_node("Relu", [before], [after]) for before, after in pairwise(names)]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = write_model(tmp_path / "model.onnx", model)
    started = time.process_time()
    assert refusal_of(path) is None
    assert time.process_time() - started < 20, "half a second; minutes where buffers are planned"
