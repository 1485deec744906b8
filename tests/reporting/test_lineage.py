"""What a recipe changes of its parent is known of every run, also of one whose recipe has nothing left to inherit."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

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


@pytest.mark.parametrize("by", ["a file", "the command line", "a cell"])
def test_a_reference_that_was_replaced_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """The parent's sources name KORMO_DATA, and the child has sources of its own."""
    monkeypatch.chdir(HOUSE)
    monkeypatch.delenv("KORMO_DATA", raising=False)
    (tmp_path / "text").mkdir()
    rows = "".join(f'{{"id": "{number}", "text": "글 {number}"}}\n' for number in range(9))
    (tmp_path / "text/a.jsonl").write_text(rows, encoding="utf-8")
    source = {"language": "ko", "license": "x", "reader": {"name": "jsonl", "path": str(tmp_path / "text/a.jsonl")}}
    mine = {
        "sources": {"mine": source},
        "packing": {"name": "best_fit"}, "mixture": {"name": "weighted", "weights": {"mine": 1}},
    }  # fmt: skip
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(mine), encoding="utf-8")
    data = {"kormo": {"data": str(tmp_path / "mine.yml"), "tokenizer": {"train": {"shares": {}}}}}
    base = HOUSE / "recipes/pretrain_local.yml"
    child = {"extends": str(base), "plugins": ["kormo_plugins.KormoPlugin"], **data}
    (tmp_path / "child.yml").write_text(yaml.safe_dump(child), encoding="utf-8")
    if by == "the command line":
        changes = {"kormo.data": str(tmp_path / "mine.yml"), "kormo.tokenizer.train.shares": {}}
        made = lineage(load_recipe(with_changes(base, changes, tmp_path / "changed.yml")))
    elif by == "a cell":
        made = lineage(load_recipe(with_changes(tmp_path / "child.yml", {"learning_rate": 0.5}, tmp_path / "cell.yml")))
    else:
        made = lineage(load_recipe(tmp_path / "child.yml"))
    assert made is not None and any(key.startswith("kormo.data.sources.mine") for key in made["changed"])
