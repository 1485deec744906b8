"""What a recipe changes of its parent is known of every run, also of one whose recipe has nothing left to inherit."""

from __future__ import annotations

from pathlib import Path

import pytest

from kormo_plugins.recipe.files.override import with_changes
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.runs.provenance import lineage

HOUSE = Path(__file__).parents[2]


def test_a_recipe_that_was_written_for_a_chain_or_a_cell_has_its_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(HOUSE)
    plain = lineage(load_recipe(Path("recipes/ablations/bases/nano.yml")))
    assert plain is not None and plain["parents"] == ["recipes/pretrain.yml"] and plain["changed"]
    same = lineage(load_recipe(with_changes(Path("recipes/ablations/bases/nano.yml"), {}, tmp_path / "same.yml")))
    assert same == plain
    warm = with_changes(Path("recipes/ablations/bases/nano.yml"), {"learning_rate": 0.5}, tmp_path / "warm.yml")
    made = lineage(load_recipe(warm))
    assert made is not None
    assert (
        made["changed"] == {**plain["changed"], "learning_rate": [0.003, 0.5]} and made["parents"] == plain["parents"]
    )


def test_a_recipe_that_extends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HOUSE)
    root = tmp_path / "root.yml"
    first = load_recipe(with_changes(Path("recipes/pretrain.yml"), {}, root))
    root.write_text(root.read_text(encoding="utf-8").split("\n", 2)[2], encoding="utf-8")  # a file of the user's
    assert lineage(load_recipe(root)) is None
    made = lineage(load_recipe(with_changes(root, {"learning_rate": 0.5}, tmp_path / "warm.yml")))
    assert made is not None and made["parents"] == [str(root)]
    assert made["changed"] == {"learning_rate": [first.get("learning_rate"), 0.5]}
