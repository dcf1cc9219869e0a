"""The package offers the names it lists, documented and typed, and says which version it is."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

import compressor

ROOT = Path(__file__).parent.parent
NAMES = [
    "Budget", "CompressorError", "EachReport", "Evaluation", "ModelError", "Naming", "OptionError", "OutputError",
    "Recipe", "Report", "SetReport", "Storage", "__version__", "compress", "compress_each", "compress_together",
]  # fmt: skip


def test_the_public_names_are_these() -> None:
    assert sorted(compressor.__all__) == NAMES
    assert [getattr(compressor, name) for name in NAMES]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "__version__"])
def test_every_public_name_is_documented(name: str) -> None:
    thing = getattr(compressor, name)
    assert thing.__name__ == name
    assert inspect.getdoc(thing)


@pytest.mark.parametrize("name", ["compress", "compress_each", "compress_together"])
def test_every_parameter_is_typed_and_documented(name: str) -> None:
    function = getattr(compressor, name)
    hints, words = get_type_hints(function), inspect.getdoc(function) or ""
    for parameter in inspect.signature(function).parameters:
        assert parameter in hints
        assert re.search(rf"\b{parameter}\b[^:\n]*: ", words), parameter


def test_another_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'compressor' has no attribute 'shrink'"):
        compressor.shrink  # noqa: B018  # the look-up is the test


def test_the_version_is_that_of_the_project_file() -> None:
    assert f'\nversion = "{compressor.__version__}"\n' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, compressor; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"numpy", "onnx", "onnx_ir", "onnxruntime", "typer", "rich"} & set(done.stdout.split())


def test_a_type_checker_is_told_of_the_types() -> None:
    assert Path(compressor.__file__).with_name("py.typed").exists()
