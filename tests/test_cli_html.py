"""The option --html: a page for every command that has a report, written like any other report."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from compressor.cli import ExitCode
from compressor.render.html.page import MARK
from tests.commands import TWICE, draw_twice, run
from tests.render.html.test_pages import Reader
from tests.test_together import write_pair


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return draw_twice(tmp_path)


def read(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    assert MARK in text[:200]
    Reader(text)
    return text


def test_a_run_is_written_as_a_page_beside_the_table(model: Path, tmp_path: Path) -> None:
    result = run("compress", model, "--html", tmp_path / "report.html")
    assert result.exit_code == ExitCode.DONE, result.stderr
    text = read(tmp_path / "report.html")
    assert "times smaller" in result.stdout
    for part in ("Pass by pass", "Where the bytes are", "Drift of the outputs", "What each pass did"):
        assert f"<h2>{part}</h2>" in text
    assert "What the search tried" not in text


def test_a_search_is_drawn(model: Path, tmp_path: Path) -> None:
    result = run("compress", model, "--search", "--min-cosine", "0.9", "--html", tmp_path / "report.html")
    assert result.exit_code == ExitCode.DONE, result.stderr
    text = read(tmp_path / "report.html")
    assert "<h2>What the search tried</h2>" in text
    assert 'class="point chosen"' in text


def test_a_comparison_is_written_as_a_page(model: Path, tmp_path: Path) -> None:
    run("compress", model, "-o", tmp_path / "small.onnx", "--no-verify")
    result = run("compare", model, tmp_path / "small.onnx", "--html", tmp_path / "report.html")
    assert result.exit_code == ExitCode.BROKEN, result.stderr
    text = read(tmp_path / "report.html")
    assert "NOT VALID" in text
    assert "<h2>Side by side</h2>" in text


@pytest.mark.parametrize("flags", [(), ("--separate",)], ids=["together", "separate"])
def test_several_models_are_on_one_page(tmp_path: Path, flags: tuple[str, ...]) -> None:
    pair = write_pair(tmp_path)
    page = tmp_path / "report.html"
    result = run("compress", *pair, "-o", tmp_path / "out", "--no-verify", "--html", page, *flags)
    assert result.exit_code == ExitCode.DONE, result.stderr
    text = read(page)
    assert text.count("<h2>Pass by pass</h2>") == 2
    for path in pair:
        assert f"<summary>{path.name}</summary>" in text


def test_a_model_that_is_refused_is_named_on_the_page(tmp_path: Path) -> None:
    pair = write_pair(tmp_path)
    pair[1].write_text("not a model")
    result = run("compress", *pair, "-o", tmp_path / "out", "--no-verify", "--separate", "--html", tmp_path / "r.html")
    assert result.exit_code == ExitCode.BROKEN
    assert f"{pair[1].name}: refused" in read(tmp_path / "r.html")


def test_a_page_on_stdout_is_alone_there(model: Path) -> None:
    for command in (("compress", model, "--no-verify"), ("compare", model, model)):
        result = run(*command, "--html", "-")
        assert result.exit_code == ExitCode.DONE, result.stderr
        assert result.stdout.startswith("<!doctype html>")
        assert result.stdout.endswith("</html>\n")


def test_an_earlier_page_is_replaced_and_nothing_else(model: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    for _ in range(2):
        assert run("compress", model, "--no-verify", "--force", "--html", page).exit_code == ExitCode.DONE
    page.write_text("<!doctype html><title>mine</title>")
    for command in (("compress", model, "--no-verify", "--force"), ("compare", model, model)):
        refused = run(*command, "--html", page)
        assert refused.exit_code == ExitCode.BAD_INPUT
        assert "is not an earlier report" in refused.stderr
    assert page.read_text() == "<!doctype html><title>mine</title>"


def test_two_reports_need_two_files(model: Path) -> None:
    for command in (("compress", model), ("compare", model, model)):
        refused = run(*command, "--html", "-", "--json", "-")
        assert refused.exit_code == ExitCode.BAD_INPUT
        assert "named twice" in refused.stderr


def test_hostile_names_in_a_file_do_not_become_markup(tmp_path: Path) -> None:
    drawn = onnx.parser.parse_model(TWICE)
    name = "<script>alert(1)</script>."
    for at, old in enumerate(("first", "second")):
        drawn.graph.initializer.append(onnx.helper.make_tensor(f"{name}{old}", 1, [64, 64], [0.5 + at] * 4096))
        drawn.graph.node[at].input[1] = f"{name}{old}"
        drawn.graph.node[at].name = f'"><img src=x onerror=alert({at})>'
    drawn.graph.output[0].name = drawn.graph.node[1].output[0] = "<b>y</b>"
    path = tmp_path / "<i>model.onnx"
    onnx.save(drawn, path)
    result = run("compress", path, "--html", tmp_path / "report.html")
    assert result.exit_code == ExitCode.DONE, result.stderr
    text = read(tmp_path / "report.html")
    assert text.count("<script") == 1
    assert "<img" not in text
    assert "<b>" not in text
    assert "&lt;b&gt;y&lt;/b&gt;" in text
