"""The dataset recipes that come with the project: each is valid, and the offline ones build."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from kormo_plugins.corpus.build import build_source, plan
from kormo_plugins.corpus.steps.selection.balanced_sample import BalancedSample, BalancedSampleParams
from kormo_plugins.documents.document import Document
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.recipe.files.environment import expand
from kormo_plugins.recipe.files.resolve import resolve_data
from kormo_plugins.recipe.schema.dataset import parse_data
from kormo_plugins.store.corpus_files import read_corpus

FOLDER = Path(__file__).parents[2] / "datasets_recipes"
RECIPES = sorted(path for path in FOLDER.rglob("*.yml") if not path.name.startswith("tokenizer"))
ENVIRONMENT = {
    "KORMO_DATA": str(FOLDER),
    "KORMO_EVAL_DATA": str(FOLDER),
    "KORMO_ENDPOINT": "http://127.0.0.1:9/v1",
}


def load(path: Path) -> Any:
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    return resolve_data(path).values if "extends" in values else expand(values, str(path), ENVIRONMENT)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_every_recipe_is_valid(path: Path, components: Registry, tmp_path: Path) -> None:
    recipe = parse_data(load(path), components, path.name).corpus
    for name, source in recipe.sources.items():
        if source.reader is None or source.reader.name != "folder":  # that is a folder of the user's
            plan(name, source, recipe, components, tmp_path)


def test_the_full_shapes_and_the_nano_shapes_are_the_same() -> None:
    for path in (FOLDER / "nano").glob("*.yml"):
        if not (FOLDER / "kormo" / path.name).is_file():
            continue  # an ablation's, which has no full size
        full = load(FOLDER / "kormo" / path.name)
        assert set(load(path)["sources"]) <= set(full["sources"]), path.name


@pytest.mark.parametrize("name", ["nano/sft.yml", "nano/reasoning.yml"])
def test_nano_recipes_build_offline(name: str, components: Registry, tmp_path: Path) -> None:
    recipe = parse_data(load(FOLDER / name), components, name).corpus
    for source_name, source in recipe.sources.items():
        folder = tmp_path / source_name
        folder.mkdir()
        stats = build_source(source_name, source, recipe, components, folder)
        assert stats["documents"] > 20 and stats["held_out"]["documents"] >= 1
        for document in read_corpus(folder):
            assert document.synthetic and document.generator.startswith("embedded") and document.license == "Apache-2.0"


def test_a_balanced_sample_is_balanced_and_full() -> None:
    documents = [Document(f"d{i}", "글", language="ko" if i % 10 else "en", meta={"level": i % 3}) for i in range(900)]
    step = BalancedSample(BalancedSampleParams(documents=300, column="level"))
    table = np.asarray([step.sign(document) for document in documents])
    fate, _ = step.decide(table)
    cells = Counter((d.language, d.meta["level"]) for d, verdict in zip(documents, fate, strict=True) if verdict == -1)
    assert sum(cells.values()) == 300
    assert all(cells["en", level] == 30 and cells["ko", level] == 70 for level in range(3))  # en has 30 each
    assert (step.decide(table[::-1])[0][::-1] == fate).all()
