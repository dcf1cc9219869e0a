"""Values inside a graph, watched over several batches, against the same sums over all batches at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from compressor.evaluation import room
from compressor.evaluation.contract import Array, Refusal, Samples
from compressor.evaluation.observe import FeatureStatistics, Observer, add_features, observe
from compressor.model.session import open_session
from compressor.model.skeleton import to_skeleton

GRAPH = """<ir_version: 8, opset_import: ["" : 17]>
g (float[N, S, 4] x, bool flag) => (float[N, S, 4] y)
<float[4, 4] w = {1, 0, 2, 0, 0, -3, 0, 1, 1, 1, 1, 1, 0, 0, 0, -2}>
{
  inner = MatMul(x, w)
  positive = Relu(inner)
  y = If (flag) <
    then_branch = t () => (float[N, S, 4] doubled) { doubled = Add(positive, positive) },
    else_branch = e () => (float[N, S, 4] same) { same = Identity(positive) }
  >
}"""


def drawn() -> ir.Model:
    return ir.from_proto(onnx.parser.parse_model(GRAPH))


def samples() -> Samples:
    random = np.random.default_rng(0)
    batches = tuple(
        {"x": random.normal(size=(rows, length, 4)).astype(np.float32), "flag": np.array(True)}
        for rows, length in ((2, 3), (1, 7), (4, 1))
    )
    return Samples(batches=batches, generated=False, description="drawn")


def expected(name: str) -> Array:
    """All positions of a value, one a row."""
    x = np.concatenate([batch["x"].reshape(-1, 4) for batch in samples().batches])
    w = drawn().graph.initializers["w"].const_value
    assert w is not None
    inner: Array = x @ w.numpy()
    values: dict[str, Array] = {"x": x, "inner": inner, "positive": np.maximum(inner, 0)}
    return values[name]


def watched(*names: str) -> Mapping[str, FeatureStatistics]:
    seen = Observer(samples()).observe(drawn(), names)
    assert not isinstance(seen, str), seen
    return seen


@pytest.mark.parametrize("name", ["x", "inner", "positive"])
def test_statistics_of_batches_are_those_of_all_positions_together(name: str) -> None:
    seen, all_positions = watched(name)[name], expected(name)
    assert seen.positions == len(all_positions)
    np.testing.assert_allclose(seen.lowest, all_positions.min(axis=0), rtol=1e-6)
    np.testing.assert_allclose(seen.highest, all_positions.max(axis=0), rtol=1e-6)
    np.testing.assert_allclose(seen.peak, np.abs(all_positions).max(axis=0), rtol=1e-6)
    np.testing.assert_allclose(seen.mean_square, np.square(all_positions).mean(axis=0), rtol=1e-5)


def test_values_of_branches_and_unknown_names_are_left_out() -> None:
    assert watched("inner", "doubled", "nowhere").keys() == {"inner"}


def test_the_model_watched_stays_as_it_was() -> None:
    model = drawn()
    before = to_skeleton(model).proto
    assert not isinstance(observe(model, ["inner"], samples(), add_features), Refusal)
    assert to_skeleton(model).proto == before


def test_many_large_values_are_watched_in_several_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def counting(model: ir.Model, *, threads: int, config: object) -> object:
        opened.append([value.name for value in model.graph.outputs])
        return open_session(model, threads=threads)

    monkeypatch.setattr(room, "open_session", counting)
    together = observe(drawn(), ["inner", "positive", "y"], samples(), add_features)
    apart = observe(drawn(), ["inner", "positive", "y"], samples(), add_features, most_bytes=1)
    assert opened == [["inner", "positive", "y"], ["inner"], ["positive"], ["y"]]
    assert not isinstance(together, Refusal)
    assert not isinstance(apart, Refusal)
    for name in ("inner", "positive", "y"):
        assert np.array_equal(together[name].peak, apart[name].peak)


def runs_of(monkeypatch: pytest.MonkeyPatch, batch: Array, *, values: int, most_bytes: int) -> list[int]:
    """How many values of unknown shape each run watches, of a chain of so many."""
    runs = []

    def counting(model: ir.Model, *, threads: int, config: object) -> object:
        runs.append(len(model.graph.outputs))
        return open_session(model, threads=threads)

    monkeypatch.setattr(room, "open_session", counting)
    names = [f"v{number + 1}" for number in range(values)]
    steps = "".join(f"v{number + 1} = Neg(v{number})\n" for number in range(values))
    text = f'<ir_version: 8, opset_import: ["" : 17]> g (float[N, S] v0) => (float[N, S] y) {{ {steps} y = Neg(v1) }}'
    model = ir.from_proto(onnx.parser.parse_model(text))
    drawn_batch = Samples(batches=({"v0": batch},), generated=False, description="drawn")
    seen = observe(model, names, drawn_batch, add_features, most_bytes=most_bytes)
    assert not isinstance(seen, Refusal)
    assert set(seen) == set(names)
    return runs


def test_values_of_unknown_shape_are_watched_more_at_a_time_once_some_were_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At first each counts as an eighth of all that a run may hold, and a byte more; they turn out to be small."""
    runs = runs_of(monkeypatch, np.ones((8, 16), np.float32), values=100, most_bytes=1 << 21)
    assert runs == [7, 28, 65]


def test_values_of_unknown_shape_that_are_large_are_watched_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = runs_of(monkeypatch, np.ones((128, 128), np.float32), values=16, most_bytes=1 << 18)
    assert runs == [7, 4, 4, 1], "64 kB each, twice what they count as at first"


def test_statistics_of_features_come_from_the_first_rows_of_many() -> None:
    batches = tuple({"x": np.full((100, 1, 4), size, np.float32), "flag": np.array(True)} for size in (1, 2, 4, 8))
    seen = Observer(Samples(batches=batches, generated=False, description="many")).observe(drawn(), ["x"])
    assert not isinstance(seen, str)
    assert (seen["x"].positions, seen["x"].highest.max()) == (300, 4)


def test_any_fold_will_do() -> None:
    def add(known: int | None, array: Array) -> int:
        return (known or 0) + array.size

    assert observe(drawn(), ["inner"], samples(), add) == {"inner": expected("inner").size}


def test_a_batch_without_positions_adds_nothing() -> None:
    some = add_features(None, np.array([[1.0, -2.0]], np.float32))
    both = add_features(some, np.empty((0, 2), np.float32))
    assert (both.positions, both.peak.tolist()) == (1, [1.0, 2.0])
    assert add_features(add_features(None, np.empty((0, 3, 2))), np.array([[-4.0, 5.0]])).lowest.tolist() == [-4.0, 5.0]


def test_a_value_without_axes_has_one_feature() -> None:
    assert add_features(None, np.array(-3.0)).peak.tolist() == [3.0]


def test_a_model_that_does_not_run_is_refused_in_words() -> None:
    wrong = Samples(batches=({"x": np.zeros((1, 1, 3), np.float32), "flag": np.array(True)},), generated=True,
                    description="three features")  # fmt: skip
    seen = Observer(wrong).observe(drawn(), ["inner"])
    assert isinstance(seen, str)
    assert "does not run on x 1x1x3" in seen
