"""The command imports what it uses: what a small model does not need is not loaded for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import FIXTURES
from tests.console import ROOT

ALBERT = FIXTURES / "albert.eager.torchscript11.onnx"
DYNAMO = FIXTURES / "albert.sdpa.dynamo.onnx"
"""One of its dimensions is `Min(64, sequence)`: text, until someone calculates with it."""

NEVER_LOADED = ("sympy.core", "onnxscript", "onnxruntime.transformers", "tokenizers", "PIL", "http.client")
NOT_FOR_INSPECT = (
    "compressor.chain",
    "compressor.pipeline",
    "compressor.search",
    "compressor.folder.copying",
    "compressor.evaluation.judge",
    "compressor.evaluation.tasks",
    "compressor.evaluation.data",
    "compressor.render.html",
)


def python(script: str) -> str:
    """What `script` prints in a process of its own."""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(*arguments: str | Path) -> set[str]:
    """The names of the modules in the command's process when it is done."""
    script = (
        "import sys, io, contextlib\n"
        "from compressor.cli import main\n"
        f"sys.argv = {['compressor', *map(str, arguments)]!r}\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    try: main()\n"
        "    except SystemExit as end: assert not end.code, end.code\n"
        "print(*sys.modules)\n"
    )
    return set(python(script).split())


@pytest.mark.parametrize("model", [ALBERT, DYNAMO], ids=lambda model: model.stem)
def test_inspect_loads_nothing_that_it_does_not_use(model: Path) -> None:
    loaded = loaded_by("inspect", model)
    assert "onnxruntime" in loaded, "the model was run"
    assert not loaded.intersection(NEVER_LOADED + NOT_FOR_INSPECT)


def test_inspect_without_a_run_does_not_load_the_runtime() -> None:
    assert "onnxruntime" not in loaded_by("inspect", ALBERT, "--no-run")


def test_compress_and_compare_load_no_more_libraries(tmp_path: Path) -> None:
    result = tmp_path / "result.onnx"
    assert not loaded_by("compress", ALBERT, "-o", result).intersection(NEVER_LOADED)
    assert not loaded_by("compare", ALBERT, result, "--min-cosine", "0.5").intersection(NEVER_LOADED)


def test_what_was_put_off_is_the_real_thing_when_it_is_used() -> None:
    script = (
        "from compressor.cli.deferral import defer_imports\n"
        "defer_imports(); defer_imports()\n"
        "import sys, onnx_ir\n"
        "assert sum(getattr(finder, '__name__', '') == '_DeferringFinder' for finder in sys.meta_path) == 1\n"
        "print('sympy.core' in sys.modules)\n"
        "doubled = onnx_ir.SymbolicDim('2*max(n, 3)') + onnx_ir.SymbolicDim('m')\n"
        "print(doubled.evaluate({'n': 5, 'm': 1}))\n"
        "import sympy\n"
        "from sympy.core import Symbol\n"
        "assert sympy.Symbol is Symbol\n"
        "print(onnx_ir.SymbolicDim(Symbol('k') + 1).value)\n"
    )
    assert python(script).split("\n") == ["False", "11", "k + 1", ""]


@pytest.mark.parametrize(
    "first", ["import sympy.core", "from sympy import Max", "import onnx_ir._symbolic_shapes as s"]
)
def test_what_was_put_off_can_be_imported_in_any_way(first: str) -> None:
    script = f"from compressor.cli.deferral import defer_imports; defer_imports(); {first}; import onnx_ir\n"
    assert python(script + "print((onnx_ir.SymbolicDim('n') * 3).evaluate({'n': 2}))") == "6\n"


def test_a_library_that_is_missing_is_missing_as_ever() -> None:
    script = (
        "import sys\n"
        "from compressor.cli.deferral import defer_imports\n"
        "defer_imports()\n"
        "sys.path[:] = []\n"
        "try: import sympy\n"
        "except ModuleNotFoundError as error: print(error)\n"
    )
    assert python(script) == "No module named 'sympy'\n"


def test_the_library_changes_nothing_about_imports() -> None:
    script = (
        "import sys; before = list(sys.meta_path)\n"
        "import compressor.pipeline, compressor.cli\n"
        "print(before == sys.meta_path)"
    )
    assert python(script) == "True\n"
