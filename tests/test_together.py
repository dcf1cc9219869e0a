"""Compressing models that belong together: what several hold is stored once, and each still answers as before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from compressor import Budget, OptionError, OutputError, Recipe, compress, compress_together
from compressor.evaluation import judge
from compressor.report import Outcome

WIDTH = 64

ENCODER = """
<ir_version: 8, opset_import: ["" : 17]>
g (int64[batch, length] ids) => (float[batch, length, 64] y)
{
    embedded = Gather(table, ids)
    y = MatMul(embedded, own_weight)
}
"""
DECODER = """
<ir_version: 8, opset_import: ["" : 17]>
g (int64[batch, length] ids, float[batch, length, 64] state) => (float[batch, length, 64] y)
{
    embedded = Gather(words, ids)
    sum = Add(embedded, state)
    y = MatMul(sum, projection)
}
"""


def write_pair(folder: Path, *, seed: int = 0) -> tuple[Path, Path]:
    """Two models with the same table of 200 rows under different names, and a weight of their own each."""
    generator = np.random.default_rng(seed)
    table = generator.standard_normal((200, WIDTH)).astype(np.float32)
    written = []
    for name, text, names in (
        ("encoder", ENCODER, ("table", "own_weight")),
        ("decoder", DECODER, ("words", "projection")),
    ):
        model = onnx.parser.parse_model(text)
        own = generator.standard_normal((WIDTH, WIDTH)).astype(np.float32)
        for label, array in zip(names, (table, own), strict=True):
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, label))
        path = folder / f"{name}.onnx"
        onnx.save(model, path)
        written.append(path)
    return written[0], written[1]


def answers(path: Path) -> np.ndarray:
    generator = np.random.default_rng(1)
    feeds = {
        "ids": generator.integers(0, 200, (2, 5)),
        "state": generator.standard_normal((2, 5, WIDTH)).astype(np.float32),
    }
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {port.name: feeds[port.name] for port in session.get_inputs()})
    return np.asarray(result)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    folder = tmp_path / "source"
    folder.mkdir()
    return write_pair(folder)


def test_float_weights_of_two_models_are_stored_once(pair: tuple[Path, Path], tmp_path: Path) -> None:
    found = compress_together(pair, tmp_path / "out", recipe=Recipe.from_names(["deduplicate"]))
    assert found.shared_bytes == 200 * WIDTH * 4
    assert found.total_bytes == sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    assert found.original_bytes == sum(path.stat().st_size for path in pair)
    assert found.total_bytes < found.original_bytes - found.shared_bytes + 3 * 4096, "weights are aligned to pages"
    for source in pair:
        np.testing.assert_array_equal(answers(tmp_path / "out" / source.name), answers(source))


def test_int8_weights_are_shared_too(pair: tuple[Path, Path], tmp_path: Path) -> None:
    found = compress_together(pair, tmp_path / "out")
    assert found.shared_bytes >= 200 * WIDTH, "the table in int8"
    for source in pair:
        alone = tmp_path / f"alone.{source.name}"
        compress(source, alone)
        np.testing.assert_array_equal(answers(tmp_path / "out" / source.name), answers(alone))


def test_each_report_is_that_of_a_run_alone(pair: tuple[Path, Path], tmp_path: Path) -> None:
    found = compress_together(pair, tmp_path / "out")
    for source, report in zip(pair, found.reports, strict=True):
        alone = compress(source)
        assert (report.source, report.output) == (source, tmp_path / "out" / source.name)
        assert (report.original, report.final) == (alone.original, alone.final)
        assert [step.counts for step in report.steps] == [step.counts for step in alone.steps]
        assert report.is_verified


def test_the_same_command_gives_the_same_bytes_and_names(pair: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    compress_together(pair, out)
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    compress_together(pair, out, force=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


def test_a_second_run_on_its_own_output_changes_nothing(pair: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    compress_together(pair, first)
    found = compress_together(sorted(first.glob("*.onnx")), second)
    assert all(step.outcome is Outcome.UNCHANGED for report in found.reports for step in report.steps)
    assert found.original_bytes == sum(path.stat().st_size for path in first.iterdir()), "the data file counts once"
    for source in pair:
        np.testing.assert_array_equal(answers(first / source.name), answers(second / source.name))


@pytest.mark.parametrize("force", [False, True])
def test_the_folder_of_the_sources_is_refused_before_any_work(
    pair: tuple[Path, Path], force: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "appoint_judge", lambda *arguments, **options: pytest.fail("work was done"))
    before = [path.read_bytes() for path in pair]
    with pytest.raises(OutputError, match="is the input"):
        compress_together(pair, pair[0].parent, force=force)
    assert [path.read_bytes() for path in pair] == before


def test_a_place_that_another_model_is_read_from_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Also where it is not the source of the model that would go there."""
    _, decoder = pair
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "encoder.onnx").hardlink_to(decoder)
    with pytest.raises(OutputError, match="is the input"):
        compress_together(pair, tmp_path / "out", force=True)


def test_names_must_differ(pair: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "ENCODER.onnx").write_bytes(pair[0].read_bytes())
    for paths in ((pair[0], pair[0]), (pair[0], other / "ENCODER.onnx")):
        with pytest.raises(OptionError, match="have the same name"):
            compress_together(paths, tmp_path / "out")
    with pytest.raises(OptionError, match="no model is given"):
        compress_together([], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_search_over_several_takes_a_limit_on_quality(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"needs a limit on quality \(--min-cosine, ...\); a size is of all"):
        compress_together(pair, tmp_path / "out", search=True, budget=Budget(max_size="50%"))
