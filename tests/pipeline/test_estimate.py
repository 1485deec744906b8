"""How long a build will take, before anything is read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline import refusals
from kormo_plugins.pipeline.build import build_all
from kormo_plugins.pipeline.estimate import BYTES_PER_SECOND, build_seconds
from kormo_plugins.recipe.load import Recipe, load_recipe
from kormo_plugins.store.artifact import Spec, build

from ..integration.conftest import RECIPE, merged


def _recipe(folder: Path, **sources: Any) -> Recipe:
    change = {"output_dir": str(folder / "out"), "kormo": {"workspace": str(folder / "artifacts")}}
    values = merged(RECIPE, change)
    if sources:
        mixture = {"name": "weighted", "weights": dict.fromkeys(sources, 1)}
        values["kormo"]["data"] = {"name": "d", "sources": sources, "mixture": mixture}
    path = folder / "recipe.yml"
    path.write_text(yaml.safe_dump(values))
    return load_recipe(path)


def test_files_and_generators_have_a_size_and_the_hub_has_none(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    (texts / "deep").mkdir(parents=True)
    for name in ("a.jsonl", "deep/b.jsonl"):
        (texts / name).write_text("{}" * 1000)
    made = {"generator": {"name": "embedded", "language": "ko", "megabytes": 3, "seed": 1}}
    for read, size in (
        ({"name": "jsonl", "path": str(texts)}, 4000),
        ({"name": "jsonl", "path": str(texts / "a.jsonl")}, 2000),
        ({"name": "hub", "dataset": "a/b"}, math.inf),
    ):
        seconds = build_seconds(_recipe(tmp_path, one=made, two={"reader": read}).build_plan())
        assert seconds == pytest.approx((3e6 + size) / BYTES_PER_SECOND)


def test_a_long_build_is_left_to_preprocess_on_one_rank_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = _recipe(tmp_path)
    refusals.refuse_long_build(recipe.build_plan(), 1)
    monkeypatch.setattr(refusals, "MAX_SECONDS", 0.01)
    with pytest.raises(KormoError, match="axolotl preprocess"):
        refusals.refuse_long_build(recipe.build_plan(), 1)
    build_all(recipe, log=lambda line: None)
    assert build_seconds(recipe.build_plan()) is None
    refusals.refuse_long_build(recipe.build_plan(), 1)


@pytest.mark.parametrize("name", ["ko-web", "x" * 60, "가나다 [라]*", "a.b_c"])
def test_a_source_of_any_name_is_found_where_it_was_built(tmp_path: Path, name: str) -> None:
    """Folder names are asked for, not rebuilt: a source whose name the folder does not spell out counted as unbuilt."""
    made = {"generator": {"name": "embedded", "language": "ko", "megabytes": 0.01, "seed": 1}}
    recipe = _recipe(tmp_path, **{name: made})
    workspace = recipe.block.workspace
    assert build_seconds(recipe.build_plan()) is not None
    build(workspace, Spec("rows", name, {"any": 1}), lambda out: {})
    assert build_seconds(recipe.build_plan()) is None
    refusals.refuse_long_build(recipe.build_plan(), refusals.MAX_WORLD + 1)
