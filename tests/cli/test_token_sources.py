"""A source whose tokens exist already is trained on as if its documents had been tokenized here, and is not copied."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result

from kormo_plugins.shards.format import IDS
from kormo_plugins.shards.reader import Shards

from .conftest import DATA, RECIPE, Made

Kormo = Callable[..., Result]
PAGE = Path(__file__).parents[2] / "docs" / "file-formats.md"
BLOCKS = [yaml.safe_load(one) for one in re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)]
TOKENS = [source["tokens"] for block in BLOCKS for source in block["sources"].values() if "tokens" in source]
KEYS = {one["format"]: {key: one[key] for key in one if key not in ("format", "path")} for one in TOKENS}
"""Format -> the keys that the documentation gives it."""


def with_tokens(made: Made, folder: Path, form: str, **keys: object) -> Path:
    """A recipe like `made`'s, but that the source `korean` is the token files in `folder / theirs`."""
    data = {**DATA, "sources": {**DATA["sources"], "korean": {"language": "ko", "tokens": {
        "format": form, "path": str(folder / "theirs"), **KEYS[form], **keys}}}}  # fmt: skip
    shutil.copytree(made.path("tokenizer"), folder / "tokenizer", dirs_exist_ok=True)
    kormo = {**RECIPE["kormo"], "tokenizer": {"path": str(folder / "tokenizer")}}
    (folder / "data.yml").write_text(yaml.safe_dump(data), encoding="utf-8")
    (folder / "recipe.yml").write_text(yaml.safe_dump({**RECIPE, "kormo": kormo}), encoding="utf-8")
    return folder / "recipe.yml"


@pytest.mark.parametrize("form", KEYS)
def test_the_batches_are_those_of_the_documents(
    made: Made, kormo: Kormo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    ours = made.path("shards", "korean")
    assert kormo("data", "convert", ours, tmp_path / "theirs", "--to", form).exit_code == 0
    expected = kormo("data", "batch", "recipe.yml", "--step", 5, "--text", "--json")
    stats = json.loads(kormo("data", "stats", "recipe.yml", "--json").stdout)
    recipe = with_tokens(made, tmp_path, form)
    monkeypatch.chdir(tmp_path)
    built = kormo("data", "build", recipe)
    assert built.exit_code == 0, built.output
    got = kormo("data", "batch", recipe, "--step", 5, "--text", "--json")
    again = json.loads(kormo("data", "stats", recipe, "--json").stdout)
    assert _texts(got) == _texts(expected) and len(_texts(got)) == 8
    assert again["sources"]["korean"]["tokens"] == stats["sources"]["korean"]["tokens"]
    [folder] = (tmp_path / "artifacts").glob("shards-korean-*")
    assert all((folder / f"{name}{IDS}").is_symlink() for name in Shards(folder).names)
    assert kormo("data", "verify", recipe).exit_code == 0
    assert kormo("data", "report", recipe).exit_code == 0
    assert "already built" in kormo("data", "build", recipe).output


def _texts(result: Result) -> list[Any]:
    assert result.exit_code == 0, result.output
    samples = json.loads(result.stdout)["samples"]
    return [(s["source"], d["start"], d["end"], d["text"]) for s in samples for d in s["documents"]]


def test_what_does_not_fit_is_one_message(
    made: Made, kormo: Kormo, refused: Callable[..., str], tmp_path: Path
) -> None:
    ours = made.path("shards", "korean")
    assert kormo("data", "convert", ours, tmp_path / "theirs", "--to", "megatron").exit_code == 0
    recipe = with_tokens(made, tmp_path, "megatron", tokenizer="0" * 12)
    assert "the recipe's tokenizer has the hash" in refused("data", "build", recipe)
    recipe = with_tokens(made, tmp_path, "datatrove")
    assert "no file that ends with .ds" in refused("data", "build", recipe)
    data = yaml.safe_load((tmp_path / "data.yml").read_text(encoding="utf-8"))
    data["sources"]["korean"]["steps"] = [{"name": "length"}]
    (tmp_path / "data.yml").write_text(yaml.safe_dump(data), encoding="utf-8")
    assert "a source of tokens, which has no documents" in refused("data", "build", recipe)
