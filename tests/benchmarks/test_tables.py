from __future__ import annotations

import matrices
import tables

from tests.benchmarks import results


def cells(text: str, start: str) -> list[str]:
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in text.splitlines() if line.startswith("|")]
    return next(row for row in rows if row[0] == start)


def table(text: str, title: str) -> str:
    return text.partition(f"**{title}")[2].partition("\n\n**")[0]


def test_a_row_holds_every_figure_of_a_contender() -> None:
    row = dict(zip(tables.COLUMNS, cells(tables.as_markdown(results.model()), "compressor default"), strict=True))
    assert row == {
        "contender": "compressor default",
        "wall s": "3.00",
        "CPU s": "3.00",
        "peak RSS MB": "100.0",
        "anonymous MB": "90.0",
        "output MB": "1.0",
        "copies MB": "0.0",
        "transposed MB": "0.0",
        "max rel": "2.0e-02",
        "max rel, any padding": "2.0e-02",
        "cosine min": "0.98000",
        "top-1": "100.0%",
        "speed": "2.00",
        "right answers": "-",
    }


def test_who_left_no_result_keeps_a_row_without_figures_and_a_note_with_the_error() -> None:
    text = tables.as_markdown(results.model())
    assert set(cells(text, "onnxslim")[1:]) == {"-"}
    assert "- onnxslim: 1 of 1 runs ended with exit code 1, 0 left a result: MemoryError" in text


def test_who_took_too_long_is_said_to_have_taken_too_long() -> None:
    model = results.model()
    model["contenders"]["onnxslim"] = results.failed("", exit_code=-9, timed_out=True)
    assert "- onnxslim: 1 of 1 runs took too long, 0 left a result: no words" in tables.as_markdown(model)
    model["contenders"]["onnxslim"] = results.failed("", exit_code=-11)
    assert "- onnxslim: 1 of 1 runs were ended by signal 11" in tables.as_markdown(model)


def test_a_result_that_cannot_be_judged_and_who_was_skipped_are_named() -> None:
    text = tables.as_markdown(results.model())
    assert "- onnxsim: the result could not be judged: Fail: no such operator" in text
    assert "- onnxoptimizer: skipped, onnxoptimizer is not installed" in text


def test_the_page_says_what_figures_depend_on_and_shows_the_drawing() -> None:
    page = tables.as_page([results.model("one.onnx"), results.model("two.onnx")])
    assert page.count("Rounds: 2; at most 60 s and 4.0 GB a run. Timed, load average 0.5 to 0.5 before a run.") == 2
    assert "onnxslim 0.1.98" in page
    assert "(one.svg)" in page
    assert "(two.svg)" in page


def test_contenders_are_set_against_models() -> None:
    models = [results.model("one.onnx"), results.model("two.onnx")]
    models[1]["contenders"]["copy"] = results.done(results.findings(20))
    size = table(matrices.as_short_tables(models), "Result, MB")
    assert cells(size, "") == ["", "one", "two"]
    assert cells(size, "(original)") == ["(original)", "10.0 (6.0)", "10.0 (6.0)"]
    assert cells(size, "copy") == ["copy", "10.0 (6.0)", "20.0"]
    assert cells(size, "onnxslim") == ["onnxslim", "✗", "✗"]


def test_a_wrong_result_has_a_size_and_no_drift() -> None:
    text = matrices.as_short_tables([results.model()])
    assert cells(table(text, "Result, MB"), "onnxsim")[1] == "4.0"
    assert cells(table(text, "Drift"), "onnxsim")[1] == "✗"
    assert cells(table(text, "Drift"), "onnx_ir deduplicate")[1] == "0"
    assert "- onnxsim, model: the result could not be judged: Fail: no such operator" in text


def test_times_stand_only_of_models_that_were_timed() -> None:
    untimed = results.model("busy.onnx", settings={**results.SETTINGS, "timed": False})
    text = matrices.as_short_tables([results.model("quiet.onnx"), untimed])
    assert cells(table(text, "Peak memory"), "")[1:] == ["quiet", "busy"]
    assert cells(table(text, "Wall time"), "")[1:] == ["quiet"]
    assert cells(table(text, "Wall time"), "copy")[1:] == ["0.10"]
    assert cells(table(text, "Speed"), "compressor default")[1:] == ["2.00"]
    assert "**Wall time" not in matrices.as_short_tables([untimed])


def test_right_answers_stand_only_where_questions_were_asked() -> None:
    model = results.model()
    assert "**Right answers" not in matrices.as_short_tables([model])
    model["original"]["task"] = {"right": 278, "of": 308}
    model["contenders"]["compressor default"]["findings"]["task"] = {"right": 277, "of": 308}
    answers = table(matrices.as_short_tables([model]), "Right answers")
    assert cells(answers, "(original)")[1:] == ["278 of 308"]
    assert cells(answers, "compressor default")[1:] == ["277 of 308"]


def test_a_contender_that_one_model_was_not_given_to_has_an_empty_cell_there() -> None:
    few = results.model("large.onnx")
    few["contenders"] = {"copy": few["contenders"]["copy"]}
    size = table(matrices.as_short_tables([few, results.model("small.onnx")]), "Result, MB")
    assert cells(size, "compressor default") == ["compressor default", "", "1.0"]
