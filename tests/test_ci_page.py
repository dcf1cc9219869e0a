"""The examples of docs/ci.md are YAML, and what they run works on a repository like the one they speak of."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml

from tests.conftest import FIXTURES
from tests.console import ROOT, prepare

PAGE = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
WORKFLOW, HOOKS = (
    yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
)
STEPS: list[dict[str, Any]] = WORKFLOW["jobs"]["compress"]["steps"]
(HOOK,) = HOOKS["repos"][0]["hooks"]
TRAINED = FIXTURES / "albert-banking77"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="steps are typed into bash")


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder `model` with a model, its configuration and labelled texts; and the environment of a job."""
    folder = tmp_path / "repository"
    folder.mkdir()
    environment = prepare(folder) | {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    shutil.copytree(TRAINED, folder / "model")
    with (TRAINED / "questions.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["category"]) for row in csv.DictReader(file)][::10]
    with (folder / "model/test.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return folder, environment


def shell(command: str, repository: tuple[Path, dict[str, str]]) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does."""
    folder, environment = repository
    bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command]
    return subprocess.run(bash, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_the_workflow_installs_the_package_with_extras_that_it_has() -> None:
    (command,) = [step["run"] for step in STEPS if step.get("run", "").startswith("pip install")]
    (extra,) = re.findall(r"\[(\w+)\]", command)
    assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_steps_of_the_workflow_run_and_leave_what_it_uploads(repository: tuple[Path, dict[str, str]]) -> None:
    folder, environment = repository
    assert set(WORKFLOW) == {"name", True, "jobs"}, "YAML takes `on` for true"
    commands = [step["run"] for step in STEPS if not step.get("run", "pip install").startswith("pip install")]
    assert [command.split()[0] for command in commands] == ["compressor", "cat"]
    for command in commands:
        done = shell(command, repository)
        assert done.returncode == 0, done.stderr
    assert "accuracy" in Path(environment["GITHUB_STEP_SUMMARY"]).read_text(encoding="utf-8").lower()
    (upload,) = [step["with"]["path"] for step in STEPS if "upload-artifact" in step.get("uses", "")]
    assert [(folder / name).is_file() for name in upload.splitlines()] == [True, True]


@pytest.mark.slow
def test_a_broken_limit_fails_the_step_and_still_leaves_the_reports(repository: tuple[Path, dict[str, str]]) -> None:
    (command,) = [step["run"] for step in STEPS if step.get("run", "").startswith("compressor")]
    strict = command.replace("--max-size 30%", "--max-size 1%")
    assert strict != command
    done = shell(strict, repository)
    assert done.returncode == 1, done.stderr
    assert {path.name for path in repository[0].iterdir()} == {"fixtures", "model", "report.json", "report.md"}


@pytest.mark.slow
def test_the_hook_lets_a_good_model_pass_and_stops_a_bad_one(repository: tuple[Path, dict[str, str]]) -> None:
    good, bad = repository[0] / "model/small.onnx", onnx.load(TRAINED / "model.onnx")
    assert re.search(HOOK["files"], "model/small.onnx")
    assert HOOK["language"] == "system"
    assert HOOK["pass_filenames"] is False
    made = shell("compressor compress model/model.onnx -o model/small.onnx -q --no-verify", repository)
    assert made.returncode == 0, made.stderr
    assert shell(HOOK["entry"], repository).returncode == 0
    (weight,) = [weight for weight in bad.graph.initializer if weight.name == "m.classifier.weight"]
    weight.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weight), weight.name))
    onnx.save(bad, good)
    assert shell(HOOK["entry"], repository).returncode == 1
