"""The README tells the truth: its paths exist, its snippets run, its commands are ones that there are."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest
import yaml

from kormo_plugins.documents import Document, Reject
from kormo_plugins.recipe.resolve import resolve
from kormo_plugins.registry import Registry

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.S)
COMMANDS = [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines() if line.strip()]


def test_every_path_exists() -> None:
    paths = set(re.findall(r"\b(?:recipes|datasets_recipes|kormo_plugins|tests)/[\w./*-]+\w", TEXT))
    assert len(paths) > 5
    for path in paths:
        assert list(ROOT.glob(path)) or (ROOT / path).exists(), path


def test_the_plugin_in_20_lines_is_one() -> None:
    code = next(block for kind, block in BLOCKS if kind == "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    module = types.ModuleType("readme_plugin")
    sys.modules["readme_plugin"] = module
    try:
        exec(compile(code, "README.md", "exec"), module.__dict__)
        step = Registry(["readme_plugin"]).load("corpus_step", "no_shouting")(None)
    finally:
        del sys.modules["readme_plugin"]
    assert step(Document("1", "STOP SHOUTING")) == Reject("shouting")
    calm = Document("2", "Not at all")
    assert step(calm) is calm


def test_the_example_recipe_resolves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KORMO_DATA", str(tmp_path))
    text = next(block for kind, block in BLOCKS if kind == "yaml" and "extends:" in block)
    values = yaml.safe_load(text)
    child = ROOT / "recipes" / "pretrain_local.yml"
    assert (child.parent / values["extends"]).is_file() and (child.parent / values["kormo"]["data"]).is_file()
    assert resolve(child).values["kormo"]["data"]["name"] == "local"


def test_every_command_names_a_recipe_that_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kormo_plugins.recipe.validate import validate

    monkeypatch.setenv("KORMO_DATA", str(tmp_path))
    monkeypatch.chdir(ROOT)
    recipes = {word for line in COMMANDS for word in line.split() if word.endswith(".yml")}
    assert all((ROOT / recipe).is_file() for recipe in recipes)
    assert {"recipes/pretrain.yml", "recipes/10b/pretrain.yml"} <= recipes
    for recipe in recipes:
        validate(recipe)


def test_every_command_starts_with_a_program_of_ours() -> None:
    programs = ("pip install", "axolotl ", "kormo ", "pytest", "KORMO_DATA=", "python tests/benchmarks/")
    for line in COMMANDS:
        assert line.startswith(programs), line
