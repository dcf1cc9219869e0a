"""What the README and the pages in docs say is held to the code: commands, options, reasons, links, recipes."""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import typer.core
import typer.main

from compressor.cli import app
from compressor.recipe import PASSES, Recipe

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "fixtures/README.md", ROOT / "benchmarks/README.md"]
)
PASSES_PAGE = ROOT / "docs/passes.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```|((?:^(?: {4}[^\n]*)?\n)+)", re.MULTILINE | re.DOTALL)


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language and content of each code block, fenced or indented."""
    for found in BLOCK.finditer(text):
        yield found[1] or "", found[2] or re.sub(r"^ {4}", "", found[3] or "", flags=re.MULTILINE)


def commands(text: str) -> Iterator[list[str]]:
    """Arguments of every ``compressor`` command in a code block."""
    for _, block in blocks(text):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r" && | \| |; ", line.removeprefix("$ ")):
                words = shlex.split(part.split("  #")[0], comments=True) if re.search(r"compressor\b", part) else []
                while words and (words[0] in ("taskset", "-c", "0", "python", "-m") or "=" in words[0]):
                    words = words[1:]
                if words and Path(words[0]).name == "compressor" and ">" not in words:
                    yield words[1:]


SHOWN = sorted({(ids(page), tuple(command)) for page in PAGES for command in commands(read(page))})


def test_commands_are_found() -> None:
    assert len({command[0] for _, command in SHOWN if command} & {"compress", "inspect", "compare"}) == 3


@pytest.mark.parametrize(("page", "command"), SHOWN, ids=[" ".join(command) for _, command in SHOWN])
def test_every_command_shown_parses(page: str, command: tuple[str, ...]) -> None:
    program = typer.main.get_command(app)
    assert isinstance(program, typer.core.TyperGroup)
    if not command or command[0].startswith("-"):
        return
    name, *arguments = command
    assert name in program.commands, page
    try:
        program.commands[name].make_context(name, arguments)
    except typer.Exit:
        assert {"-h", "--help"} & set(arguments)


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_between_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        if "://" in target:
            continue
        name, _, heading = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        headings = [anchor(line) for line in read(path).splitlines() if line.startswith("#")] if heading else []
        assert not heading or heading in headings, target


def anchor(heading: str) -> str:
    """The name GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lstrip("#").strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_recipes_shown_load(page: Path, tmp_path: Path) -> None:
    for language, block in blocks(read(page)):
        if language == "toml":
            (tmp_path / "recipe.toml").write_text(block, encoding="utf-8")
            Recipe.from_toml(tmp_path / "recipe.toml")


def test_the_readme_shows_a_recipe_and_python_that_compiles() -> None:
    shown = dict.fromkeys(language for language, _ in blocks(read(ROOT / "README.md")))
    assert {"toml", "python"} <= set(shown)
    for language, block in blocks(read(ROOT / "README.md")):
        if language == "python":
            compile(block, "README.md", "exec")
            for name in re.findall(r"^from (compressor\S*) import (.+)$", block, re.MULTILINE):
                exec(f"from {name[0]} import {name[1]}", {})


def section(name: str) -> str:
    return re.split(r"^## ", read(PASSES_PAGE), flags=re.MULTILINE)[list(PASSES).index(name) + 1]


@pytest.mark.parametrize("name", PASSES)
def test_every_option_of_a_pass_is_documented_with_its_default_and_no_other(name: str) -> None:
    table = section(name).split("### Options")[1].split("###")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| `(.+?)` \|", table, re.MULTILINE))
    written = Recipe((PASSES[name](),)).to_toml()
    defaults = dict(re.findall(r"^(\w+) = (.+)$", written, re.MULTILINE))
    assert set(documented) == {field.name for field in dataclasses.fields(PASSES[name])}
    assert documented == {option: value for option, value in defaults.items() if option != "name"}


def template(node: ast.expr | None) -> str:
    """A text of the program, with an ellipsis for each value put in; empty for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""


def reasons_in(tree: ast.AST) -> Iterator[str]:
    """Texts that are raised, noted or returned as the reason why something was left alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name in ("NotFusable", "EngineRefusal"):
                yield from map(template, node.args[:1])
            if name == "skip":
                yield from map(template, node.args[1:2])
            if name == "Skip":
                yield from (template(keyword.value) for keyword in node.keywords if keyword.arg == "reason")
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "reason":
            chosen = node.value
            yield from map(template, (chosen.body, chosen.orelse) if isinstance(chosen, ast.IfExp) else (chosen,))
        if (
            isinstance(node, ast.FunctionDef)
            and node.returns
            and "str" in re.findall(r"\w+", ast.unparse(node.returns))
        ):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return):
                    choice = inner.value
                    both = (choice.body, choice.orelse) if isinstance(choice, ast.IfExp) else (choice,)
                    yield from map(template, both)


TREES = [ast.parse(read(path)) for path in sorted((ROOT / "compressor/passes").rglob("*.py"))]
SAID = {reason for tree in TREES for reason in reasons_in(tree) if len(re.findall("[a-z]{2,}", reason)) > 2}
TEXTS = {template(node) for tree in TREES for node in ast.walk(tree) if isinstance(node, ast.expr)}


def test_every_reason_a_pass_gives_is_documented() -> None:
    assert len(SAID) > 40
    page = read(PASSES_PAGE)
    assert sorted(reason for reason in SAID if f"`{reason}`" not in page) == []


def test_every_reason_documented_is_one_a_pass_gives() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| [^|]*\|$", read(PASSES_PAGE), re.MULTILINE)
    assert len(rows) > 40
    assert sorted(reason for reason in rows if reason not in TEXTS) == []
