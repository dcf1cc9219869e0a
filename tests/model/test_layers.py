"""Weights by layer: by their own name, or by that of what they are for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from compressor.model.layers import layers_of
from compressor.model.load import load
from compressor.recipe import Recipe
from compressor.report import Layer
from tests.conftest import FIXTURES


def flat(layer: Layer, path: str = "") -> dict[str, int]:
    """Bytes by path, of every layer."""
    found = {path: layer.all_weight_bytes}
    for part in layer.parts:
        found |= flat(part, f"{path}.{part.name}".lstrip("."))
    return found


def by_path(weight: str, node: str) -> dict[str, int]:
    """The layers of a model whose one weight and one node are called so."""
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }
    """)
    model.graph.initializer[0].name = model.graph.node[0].input[1] = weight
    model.graph.node[0].name = node
    return flat(layers_of(ir.from_proto(model)))


@pytest.mark.parametrize(
    ("weight", "node", "path"),
    [
        ("encoder.layer.0.weight", "/other/Add", "encoder.layer.0"),
        ("onnx::Add_12", "/encoder/layer.0/Add", "encoder.layer.0"),
        ("model/encoder/kernel/Read/ReadVariableOp:0", "", "model.encoder.kernel.Read"),
        ("..a..b//w", "", "a.b"),
        ("onnx::Add_12", "Add_3", ""),
        ("w", "", ""),
        ("./.", "/", ""),
    ],
)
def test_a_weight_is_where_its_name_says_or_else_that_of_its_consumer(weight: str, node: str, path: str) -> None:
    found = by_path(weight, node)
    assert all(count == 8 for count in found.values())
    assert max(found, key=len) == path


def test_weights_are_followed_through_what_only_hands_them_on() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[1,2] x) => (float[1,2] y) <float[2,2] w = {1, 2, 3, 4}> {
            t = Transpose <perm = [1, 0]> (w)
            y = MatMul(x, t)
        }
    """)
    model.graph.node[1].name = "/head/MatMul"
    assert flat(layers_of(ir.from_proto(model))) == {"": 16, "head": 16}


def test_nodes_that_a_pass_put_in_are_in_the_layer_of_what_they_replace() -> None:
    model = load(FIXTURES / "albert-banking77" / "model.onnx")
    before = flat(layers_of(model))
    for name in ("deduplicate", "fuse", "quantize"):
        (step,) = Recipe.from_names([name]).passes
        model = step.run(model).model
    after = flat(layers_of(model))
    assert {path for path, count in after.items() if count > 1000} < set(before)
    heavy = max(set(after) & {path for path in before if path.endswith(".ffn")}, key=lambda path: after[path])
    assert 0.2 * before[heavy] < after[heavy] < 0.3 * before[heavy]


def test_a_name_is_not_looked_for_far_behind_the_weight() -> None:
    middle = "".join(f"t{i + 1} = Neg(t{i})" for i in range(20))
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2] x) => (float[2] y) <float[2] w = {{1, 2}}> {{ t0 = Add(x, w) {middle} y = Neg(t20) }}
    """)
    model.graph.node[-1].name = "/far/away/Neg"
    assert flat(layers_of(ir.from_proto(model))) == {"": 8}


def test_the_users_of_a_value_are_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 300
    weights = ", ".join(f"float[1] w{i} = {{1}}" for i in range(count))
    added = " ".join(f"a{i} = Add(x, w{i})" for i in range(count))
    used = " ".join(f"b{i} = Neg(hub)" for i in range(count))
    parts = ", ".join(f"a{i}" for i in range(count))
    # Behind every weight is the one value that everything else uses.
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[1] x) => (float[1] b0) <{weights}> {{ {added} hub = Sum({parts}) {used} }}
    """)
    asked: Counter[str | None] = Counter()
    uses = ir.Value.uses
    monkeypatch.setattr(ir.Value, "uses", lambda value: (asked.update([value.name]), uses(value))[1])
    assert flat(layers_of(ir.from_proto(model))) == {"": 4 * count}
    assert asked["hub"] == 1
    assert asked.most_common(1)[0][1] == 1


def test_a_shared_weight_counts_once() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { a = Add(x, w) y = Add(a, w) }
    """)
    model.graph.node[0].name, model.graph.node[1].name = "/first/Add", "/second/Add"
    assert flat(layers_of(ir.from_proto(model))) == {"": 8, "first": 8}


def test_a_name_of_a_thousand_parts_makes_no_thousand_layers() -> None:
    found = by_path(".".join(f"p{i}" for i in range(5000)) + ".w", "")
    assert len(found) == 25
    assert max(found, key=len).endswith("p4998.p4999")


@pytest.mark.parametrize("name", ["albert-banking77/model.onnx", "gpt2-external.sdpa.dynamo.onnx"])
def test_every_byte_of_weights_is_accounted_for(name: str) -> None:
    from compressor.model.size import measure

    model = load(Path(FIXTURES) / name)
    root = layers_of(model)
    assert root.weight_bytes == measure(model).weight_bytes

    def check(layer: Layer) -> None:
        assert sum(part.all_weight_bytes for part in layer.parts) <= layer.all_weight_bytes
        for part in layer.parts:
            check(part)

    check(root)


def test_the_layers_of_an_export_are_found() -> None:
    found = flat(layers_of(load(FIXTURES / "vit.sdpa.torchscript17.onnx")))
    assert found["model.vit.layers.0.mlp.fc1"] == found["model.vit.layers.1.mlp.fc1"] > 24_576
