"""Keep results in a folder: figures as JSON, tables as Markdown, a drawing of each model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matrices import as_short_tables
from pages import write_between
from plots import write_plot
from tables import as_page

FIGURES, UNFINISHED = "results.json", ".unfinished.json"
MARK = "benchmarks/run.py"


def begin(name: str, made_with: Mapping[str, Any], folder: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What there is to go on with of a model, and by digest what the judge found of earlier results.

    Rows are kept only if they were made of the same model with the same settings by the same versions on the same
    machine: a table never mixes two. What the judge found of a result holds for the same bytes, whoever makes them
    again.
    """
    stored = [*_models(folder, UNFINISHED), *_models(folder, FIGURES)]
    earlier = [model for model in stored if model["model"] == name and model["digest"] == made_with["digest"]]
    known = {findings["digest"]: findings for model in reversed(earlier) for findings in _findings(model)}
    for model in earlier:
        if all(model.get(key) == value for key, value in made_with.items()):
            return model, known
    return {"model": name, **made_with, "contenders": {}, "skipped": {}}, known


def keep(result: Mapping[str, Any], folder: Path) -> None:
    """Store a model that is not finished, beside the tables, which show what was finished before."""
    folder.mkdir(parents=True, exist_ok=True)
    _store([*_others(result, folder, UNFINISHED), result], folder / UNFINISHED)


def write(result: Mapping[str, Any], folder: Path) -> None:
    """Add one model to the results of a folder, in place of what is there of it."""
    folder.mkdir(parents=True, exist_ok=True)
    models: list[Mapping[str, Any]] = [*_models(folder, FIGURES)]
    places = {model["model"]: place for place, model in enumerate(models)}
    place = places.get(result["model"], len(models))
    models[place : place + 1] = [result]
    _store(models, folder / FIGURES)
    (folder / "results.md").write_text(as_page(models), encoding="utf-8")
    write_plot(result, folder)
    if left := _others(result, folder, UNFINISHED):
        _store(left, folder / UNFINISHED)
    else:
        (folder / UNFINISHED).unlink(missing_ok=True)


def write_into_page(folder: Path, page: Path) -> None:
    """Put the short tables of all models between the marks of a page."""
    write_between(page, MARK, as_short_tables(_models(folder, FIGURES)))


def _findings(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = [model, *model["contenders"].values()]
    found = [row[name] for row in rows for name in ("original", "findings") if name in row]
    return [findings for findings in found if "digest" in findings]


def _others(result: Mapping[str, Any], folder: Path, name: str) -> list[Mapping[str, Any]]:
    return [model for model in _models(folder, name) if model["model"] != result["model"]]


def _models(folder: Path | None, name: str) -> list[dict[str, Any]]:
    if folder is None or not (folder / name).exists():
        return []
    models: list[dict[str, Any]] = json.loads((folder / name).read_text(encoding="utf-8"))
    return models


def _store(models: Sequence[Mapping[str, Any]], path: Path) -> None:
    path.write_text(json.dumps(models, indent=1) + "\n", encoding="utf-8")
