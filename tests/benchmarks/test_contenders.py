from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import contenders
import peers

from tests.benchmarks.conftest import BENCHMARKS


def test_every_peer_has_something_to_run_and_everything_to_run_has_a_contender() -> None:
    theirs = [contender.name for contender in contenders.CONTENDERS if contender.arguments is None]
    assert sorted(theirs) == sorted(peers.PEERS)
    assert len(set(theirs)) == len(theirs)


def test_the_readme_lists_the_contenders_in_the_words_of_the_code() -> None:
    readme = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    missing = [c.name for c in contenders.CONTENDERS if f"| {c.name} | {c.does} |" not in readme]
    assert missing == []


def test_versions_are_asked_for_of_every_package_that_peers_txt_pins_for_a_contender() -> None:
    text = (BENCHMARKS / "peers.txt").read_text(encoding="utf-8")
    pinned = set(re.findall(r"([\w-]+)==", text))
    needed = {contender.package for contender in contenders.CONTENDERS} - {""}
    assert needed <= pinned
    assert needed <= set(peers.PACKAGES)


def test_a_peer_runs_in_its_own_interpreter_and_the_project_in_this_one() -> None:
    by_name = {contender.name: contender for contender in contenders.CONTENDERS}
    model, out = Path("m.onnx"), Path("out.onnx")
    theirs = by_name["onnxslim"].command(model, out, "their/python")
    assert theirs[0] == "their/python"
    assert theirs[2:] == ["onnxslim", "m.onnx", "out.onnx"]
    ours = by_name["compressor default, unverified"].command(model, out, "their/python")
    assert ours[:4] == [sys.executable, "-m", "compressor", "compress"]
    assert ours[-1] == "--no-verify"


def test_says_why_a_contender_cannot_run() -> None:
    by_name = {contender.name: contender for contender in contenders.CONTENDERS}
    assert by_name["onnxslim"].missing(Path("m.onnx"), {}) == "onnxslim is not installed"
    told = by_name["ort optimize, heads given"]
    assert told.missing(Path("m.onnx"), {"onnxruntime": "1"}) == "heads and hidden size of this model are not in SHAPES"
    assert told.missing(Path("gpt2.eager.torchscript.onnx"), {"onnxruntime": "1"}) == ""


def test_the_list_of_contenders_imports_nothing_of_theirs() -> None:
    code = "import contenders, peers, sys; print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    assert not {"onnx", "onnxruntime", "onnx_ir", "onnxscript", "numpy"} & set(done.stdout.split())
