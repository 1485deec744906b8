"""Keys of which exactly one is given: a child's replaces the inherited one, and two in one file are refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.registry import registry
from kormo_plugins.recipe.files.override import nested, parse
from kormo_plugins.recipe.files.resolve import COMMAND_LINE, resolve, resolve_data
from kormo_plugins.recipe.load import load_recipe

TRAIN = {"train": {"name": "kormo_bpe", "vocab_size": 300}}
PATH = {"path": "my-tokenizer"}
HUB = {"hub": "some/tokenizer", "revision": "0" * 40}


def _chain(folder: Path, *tokenizers: dict[str, Any]) -> Path:
    """Files that extend one another, each with a `kormo.tokenizer`; the last one."""
    path = folder / "none.yml"
    for number, values in enumerate(tokenizers):
        above = {"extends": path.name} if number else {}
        path = folder / f"{number}.yml"
        path.write_text(yaml.safe_dump({**above, "kormo": {"tokenizer": values}}), encoding="utf-8")
    return path


@pytest.mark.parametrize(("base", "own"), [*itertools.permutations([TRAIN, PATH, HUB], 2)])
def test_the_tokenizer_of_the_child_replaces_the_inherited_one(
    tmp_path: Path, base: dict[str, Any], own: dict[str, Any]
) -> None:
    resolved = resolve(_chain(tmp_path, base, {"engine": "tiktoken"}, own))
    assert resolved.values["kormo"]["tokenizer"] == {**own, "engine": "tiktoken"}
    overridden = resolve(_chain(tmp_path, base), {"kormo": {"tokenizer": own}})
    assert overridden.values["kormo"]["tokenizer"] == own
    assert overridden.origin(f"kormo.tokenizer.{next(iter(own))}") == COMMAND_LINE


def test_the_same_alternative_is_merged(tmp_path: Path) -> None:
    path = _chain(tmp_path, TRAIN, {"train": {"vocab_size": 400}}, {"path": None})
    assert resolve(path).values["kormo"]["tokenizer"] == {
        "train": {"name": "kormo_bpe", "vocab_size": 400},
        "path": None,
    }


def test_an_alternative_that_was_replaced_in_between_does_not_come_back(tmp_path: Path) -> None:
    path = _chain(tmp_path, TRAIN, PATH, {"train": {"name": "kormo_bpe"}})
    assert resolve(path).values["kormo"]["tokenizer"] == {"train": {"name": "kormo_bpe"}}


@pytest.mark.parametrize("written", ["in a child", "on the command line"])
def test_a_shipped_recipe_takes_a_tokenizer_by_its_folder(tmp_path: Path, written: str) -> None:
    child = tmp_path / "mine.yml"
    ours = {"extends": "kormo:pretrain.yml", "plugins": ["kormo_plugins.KormoPlugin"]}
    if written == "in a child":
        child.write_text(yaml.safe_dump({**ours, "kormo": {"tokenizer": PATH}}), encoding="utf-8")
        choice = load_recipe(child).block.tokenizer
    else:
        child.write_text(yaml.safe_dump(ours), encoding="utf-8")
        changes = parse(["kormo.tokenizer={path: my-tokenizer}"], child)
        choice = load_recipe(child, nested(changes, resolve(child).values)).block.tokenizer
    assert choice is not None and choice.path == Path("my-tokenizer") and choice.train is None


def test_two_in_one_file_are_refused(tmp_path: Path) -> None:
    child = tmp_path / "mine.yml"
    ours = {"extends": "kormo:pretrain.yml", "plugins": ["kormo_plugins.KormoPlugin"]}
    child.write_text(yaml.safe_dump({**ours, "kormo": {"tokenizer": PATH | HUB}}), encoding="utf-8")
    with pytest.raises(KormoError, match="exactly one of train, path and hub"):
        load_recipe(child)


def test_the_origin_of_a_source_and_the_interval_of_a_monitor(tmp_path: Path) -> None:
    source = {"reader": {"name": "jsonl", "path": "text"}, "license": "CC0-1.0"}
    base, child = tmp_path / "base.yml", tmp_path / "child.yml"
    base.write_text(yaml.safe_dump({"sources": {"ko": source, "en": source}}), encoding="utf-8")
    values = {"extends": "base.yml", "sources": {"ko": {"generator": {"name": "words"}}}}
    child.write_text(yaml.safe_dump(values), encoding="utf-8")
    expected = {"ko": {"license": "CC0-1.0", "generator": {"name": "words"}}, "en": source}
    assert resolve_data(child).values["sources"] == expected
    recipe = tmp_path / "recipe.yml"
    recipe.write_text(yaml.safe_dump({"kormo": {"data": "child.yml", "monitor": {"every_steps": 5}}}), encoding="utf-8")
    resolved = resolve(recipe, {"kormo": {"monitor": {"every_tokens": 1000}}})
    assert resolved.values["kormo"] == {"data": {"sources": expected}, "monitor": {"every_tokens": 1000}}


def test_parameters_that_exclude_each_other_say_how_an_inherited_one_is_taken_away() -> None:
    with pytest.raises(KormoError, match="exactly one of path and urls; null takes an inherited one away"):
        registry().params("reader", "warc", {"path": "crawl", "urls": "list.txt"}, "data.yml")
