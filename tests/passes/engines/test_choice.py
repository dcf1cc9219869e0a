"""Engines are asked only for what the rules leave, work on copies without weights, and are refused what costs more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from compressor.model.load import load
from compressor.passes.engines import choice, workshop
from compressor.passes.engines.choice import fuse_more
from compressor.passes.engines.workshop import EngineRefusal, optimize_apart
from compressor.passes.fuse import FuseTransformer
from tests.passes.fusions.fusing import draw, normal

FIXTURES = Path(__file__).parents[3] / "fixtures"
COPY = 'import onnx; onnx.save(onnx.load("model.onnx", load_external_data=False), "result.onnx")'


def bert() -> ir.Model:
    return load(FIXTURES / "bert.sdpa.torchscript17.onnx")


def unfused() -> ir.Model:
    """Attention whose scores go through Tanh, which no rule covers."""
    return draw(
        "g (float[B, S, 8] x) => (float[B, S, 8] y) { k = Transpose <perm=[0, 2, 1]> (x) s = MatMul(x, k) t = Tanh(s) "
        "p = Softmax <axis=-1> (t) c = MatMul(p, x) y = MatMul(c, w) }",
        {"w": normal(8, 8)},
    )


def test_nobody_is_asked_where_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(model: ir.Model, heads: int, width: int) -> ir.Model:
        raise AssertionError

    monkeypatch.setattr(choice, "ENGINES", {"onnxscript": asked})
    first = next(FuseTransformer(engines=("onnxscript",)).alternatives(bert()))
    assert first.counts["attention_fused"] == 2


def test_everybody_is_asked_where_attention_is_left_and_every_no_is_told() -> None:
    results = list(FuseTransformer(engines=("onnxscript", "onnxruntime", "onnxruntime_tools")).alternatives(unfused()))
    said = {skip.candidate: skip.reason for skip in results[0].skipped}
    assert said["engine onnxscript"] == "fuses no attention beyond the rules' own"
    assert said["engine onnxruntime"] == "fuses no attention beyond the rules' own"
    assert said["engine onnxruntime_tools"] == "reads opset 11 and 12 only, the model has 17"


def answer(monkeypatch: pytest.MonkeyPatch, result: ir.Model, model: ir.Model) -> tuple[bool, list[str]]:
    monkeypatch.setattr(choice, "ENGINES", {"stub": lambda model, heads, width: result})
    rules = FuseTransformer()
    best, refusals = fuse_more(model, rules.run(model.clone()), rules, ["stub"])
    return best is not None, [skip.reason for skip in refusals]


FUSED = (
    "g (float[B, S, 8] x) => (float[B, S, 8] y) "
    "{ c = com.microsoft.MultiHeadAttention <num_heads=1> (x, x, x) y = MatMul(c, w) }"
)


def test_takes_an_answer_that_fuses_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer(monkeypatch, draw(FUSED, {"w": normal(8, 8)}), unfused()) == (True, [])


@pytest.mark.parametrize(
    ("text", "size", "reason"),
    [
        (FUSED, 256, "makes the weights larger"),
        (FUSED.replace("(float[B, S, 8] y)", "(float[B, S, 8] z)").replace("y =", "z ="), 8, "changes the model's"),
        (FUSED.replace("y = MatMul(c, w)", "v = MatMul(c, x) y = Add(v, w)"), 8, "packs weights"),
        (FUSED.replace("y = MatMul(c, w)", "v = MatMul(c, w) y = com.microsoft.Rfft(v)"), 8, "uses operators"),
    ],
    ids=["larger", "interface", "packed", "unknown operator"],
)
def test_refuses_an_answer_that_costs_more(text: str, size: int, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, refusals = answer(monkeypatch, draw(text, {"w": normal(size, size)}), unfused())
    assert not taken
    assert refusals[0].startswith(reason)


def test_refuses_an_answer_that_loses_an_output(monkeypatch: pytest.MonkeyPatch) -> None:
    result = draw(FUSED, {"w": normal(8, 8)})
    last = result.graph[-1]
    result.graph.remove(last)
    taken, refusals = answer(monkeypatch, result, unfused())
    assert not taken
    assert refusals == ["loses 'y', which is still read"]


def test_a_copy_comes_back_with_every_weight_by_reference() -> None:
    model = bert()
    result = optimize_apart(model, COPY)
    before, after = model.graph.initializers, result.graph.initializers
    assert before.keys() == after.keys()
    kinds = {name: (type(before[name].const_value), type(after[name].const_value)) for name in before}
    assert all(a is b or not issubclass(a, ir.ExternalTensor) for a, b in kinds.values())
    for name in before:
        first, second = before[name].const_value, after[name].const_value
        assert first is not None
        assert second is not None
        assert np.array_equal(first.numpy(), second.numpy())


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("raise SystemExit(3)", "failed: exit code 3"),
        ("raise ValueError('no')", "failed: ValueError: no"),
        ("", "wrote no model"),
        ("open('result.onnx', 'w').write('<html>')", "wrote no model"),
        (
            "import onnx, numpy as np\n"
            "m = onnx.load('model.onnx', load_external_data=False)\n"
            "m.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((200, 200), 'f'), 'packed'))\n"
            "onnx.save(m, 'result.onnx')",
            "makes a new weight 'packed'",
        ),
        (
            "import onnx, numpy as np\n"
            "m = onnx.load('model.onnx', load_external_data=False)\n"
            "t = next(t for t in m.graph.initializer if t.data_location == 1)\n"
            "t.CopyFrom(onnx.numpy_helper.from_array(np.ones(list(t.dims), 'f'), t.name))\n"
            "onnx.save(m, 'result.onnx')",
            "changes the weight",
        ),
    ],
    ids=["exit", "exception", "nothing", "not a model", "new weight", "changed weight"],
)
def test_what_goes_wrong_in_the_other_process_is_a_refusal(script: str, reason: str) -> None:
    with pytest.raises(EngineRefusal, match=reason):
        optimize_apart(bert(), script)


def test_an_endless_optimizer_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workshop, "TIME_LIMIT", 0.2)
    with pytest.raises(EngineRefusal, match="took more than"):
        optimize_apart(bert(), "while True: pass")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnxscript", "onnxruntime", "onnxruntime_tools"])
def test_the_engines_read_real_exports(engine: str) -> None:
    model = load(FIXTURES / "bert.eager.torchscript11.onnx")
    result = FuseTransformer().run(choice.ENGINES[engine](model, 4, 64))
    assert result.model.graph.num_nodes() < model.graph.num_nodes()
