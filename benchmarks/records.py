"""Keep results in a folder: figures as JSON, tables as Markdown, a drawing of each model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matrices import as_short_tables
from pages import write_between
from plots import write_plot
from tables import as_page

FIGURES = "results.json"
MARK = "benchmarks/run.py"


def begin(name: str, made_with: Mapping[str, Any], folder: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What there is to go on with of a model, and by digest what the judge found of earlier results.

    Rows are kept only if they were made of the same model with the same settings by the same versions on the same
    machine: a table never mixes two. What the judge found of a result holds for the same bytes, whoever makes them
    again.
    """
    earlier = next((model for model in _models(folder) if model["model"] == name), {})
    if earlier.get("digest") != made_with["digest"]:
        earlier = {}
    looked_at = [earlier["original"]] if "original" in earlier else []
    looked_at += [row["findings"] for row in earlier.get("contenders", {}).values() if "findings" in row]
    known = {findings["digest"]: findings for findings in looked_at if "digest" in findings}
    if all(earlier.get(key) == value for key, value in made_with.items()):
        return earlier, known
    return {"model": name, **made_with, "contenders": {}, "skipped": {}}, known


def write(result: Mapping[str, Any], folder: Path) -> None:
    """Add one model to the results of a folder, in place of what is there of it."""
    folder.mkdir(parents=True, exist_ok=True)
    models = _models(folder)
    places = {model["model"]: place for place, model in enumerate(models)}
    place = places.get(result["model"], len(models))
    models[place : place + 1] = [dict(result)]
    (folder / FIGURES).write_text(json.dumps(models, indent=1) + "\n", encoding="utf-8")
    (folder / "results.md").write_text(as_page(models), encoding="utf-8")
    write_plot(result, folder)


def write_into_page(folder: Path, page: Path) -> None:
    """Put the short tables of all models between the marks of a page."""
    write_between(page, MARK, as_short_tables(_models(folder)))


def _models(folder: Path | None) -> list[dict[str, Any]]:
    if folder is None or not (folder / FIGURES).exists():
        return []
    models: list[dict[str, Any]] = json.loads((folder / FIGURES).read_text(encoding="utf-8"))
    return models
