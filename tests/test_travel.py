"""A recipe is read once, and goes down: no room is handed the whole of it to pass it on to one above."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import yaml
from axolotl.integrations.base import PluginManager
from axolotl.utils.dict import DictDefault

from kormo_plugins.bridge import plugin
from kormo_plugins.pipeline.build import build_all
from kormo_plugins.recipe.files.resolve import Resolved
from kormo_plugins.recipe.load import Recipe, load_recipe

from .integration.conftest import RECIPE, merged
from .travel import Journey

MOST = 4


def _written(folder: Path) -> Path:
    sources = {name: {"generator": {"megabytes": 0.05}} for name in RECIPE["kormo"]["data"]["sources"]}
    kormo = {
        "workspace": str(folder / "artifacts"),
        "data": {"sources": sources},
        "tokenizer": {"train": {"megabytes": 0.05}},
    }
    path = folder / "recipe.yml"
    path.write_text(yaml.safe_dump(merged(RECIPE, {"output_dir": str(folder / "out"), "kormo": kormo})))
    return path


def test_what_holds_a_value_is_found(tmp_path: Path) -> None:
    """Whoever hides the recipe in a plan, a closure, a partial or a method is found."""
    recipe = load_recipe(_written(tmp_path))
    journey = Journey(Recipe, Resolved)
    assert journey.holds(recipe) and journey.holds(partial(print, recipe)) and journey.holds(recipe.resolved.where)
    assert journey.holds(lambda: recipe) and journey.holds((1, (recipe,)))
    assert not journey.holds(recipe.job_plan()) and not journey.holds(recipe.stream_plan())


def test_a_recipe_that_is_built_or_registered_hardly_goes_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _written(tmp_path)
    recipe = load_recipe(path)
    with Journey(Recipe, Resolved) as built:
        build_all(recipe, log=lambda line: None)
    assert built.visits and len(built.ups) <= MOST, built.ups

    monkeypatch.setattr(PluginManager, "_instance", None)
    for name in ("check_with_axolotl", "occupy"):
        monkeypatch.setattr(plugin, name, lambda *_: None)
    for name in ("prepare", "use_all_cores"):
        monkeypatch.setattr(plugin.cpu_ranks, name, lambda *_, **__: None)
    cfg = DictDefault({**yaml.safe_load(path.read_text()), "axolotl_config_path": str(path)})
    with Journey(Recipe, Resolved, DictDefault) as registered:
        plugin.KormoPlugin().register(cfg)
    assert cfg["base_model"] and registered.visits, capsys.readouterr().err
    assert len(registered.ups) <= MOST, registered.ups
