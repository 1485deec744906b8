"""`kormo tokenizer`: the commands say what the functions found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result

from .conftest import Made

Kormo = Callable[..., Result]
FLAT = {"name": "kormo_bpe", "vocab_size": 400, "megabytes": 0.1}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A tokenizer recipe that inherits its size."""
    (tmp_path / "base.yml").write_text(yaml.safe_dump(FLAT))
    (tmp_path / "tokenizer.yml").write_text("extends: base.yml\nvocab_size: 420\n")
    return tmp_path / "tokenizer.yml"


def test_train_from_files(made: Made, kormo: Kormo, recipe: Path, tmp_path: Path) -> None:
    korean, english = made.path("corpus", "korean"), made.path("corpus", "english")
    result = kormo("tokenizer", "train", recipe, "--text", korean, english, "--out", tmp_path / "a", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["vocab_size"], found["size"]) == (420, 461)
    assert json.loads((tmp_path / "a" / "kormo_tokenizer.json").read_text()) == found
    repeated = ("--text", korean, "--text", english, "--out", tmp_path / "b")
    result = kormo("tokenizer", "train", recipe, *repeated)
    assert f"461 ids, hash {found['hash'][:12]}" in result.stdout
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_files_of_a_folder_that_are_not_read_are_named(
    made: Made, kormo: Kormo, recipe: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, corpora = tmp_path / "text", [made.path("corpus", name) for name in ("korean", "english")]
    folder.mkdir()
    for name in ("a.txt", "b.parquet", ".hidden"):
        (folder / name).write_text("the quick brown fox", encoding="utf-8")
    result = kormo("tokenizer", "train", recipe, "--text", folder, *corpora, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    said = [record.message for record in caplog.records if "not read" in record.message]
    assert len(said) == 1 and f"not read: {folder / 'b.parquet'}; of a folder only .jsonl" in said[0]


def test_a_recipe_that_trains_gives_the_same_tokenizer(made: Made, kormo: Kormo, tmp_path: Path) -> None:
    corpora = [made.path("corpus", name) for name in ("korean", "english", "more")]
    result = kormo("tokenizer", "train", "recipe.yml", "--text", *corpora, "--out", tmp_path / "out", "--json")
    built = json.loads((made.path("tokenizer") / "kormo_tokenizer.json").read_text())
    assert json.loads(result.stdout)["hash"] == built["hash"]


def test_report_prints_a_table_or_json_and_writes_a_page(made: Made, kormo: Kormo, tmp_path: Path) -> None:
    ours = str(made.path("tokenizer"))
    texts = [str(made.path("corpus", name)) for name in ("korean", "english")]
    (tmp_path / "terms.txt").write_text("서울\n\nthe\n", encoding="utf-8")
    words = ("tokenizer", "report", ours, "tekken", "--text", *texts, "--terms", tmp_path / "terms.txt")
    result = kormo(*words, "--page", tmp_path / "page.html", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert list(found["tokenizers"]) == [ours, "tekken"]
    one = found["tokenizers"][ours]
    assert set(one["languages"]) == {"ko", "en"} and set(one["terms"]) == {"서울", "the"}
    assert one["all"]["bytes_per_token"] == pytest.approx(found["bytes"] / one["all"]["tokens"])
    assert "<h1>Tokenizers" in (tmp_path / "page.html").read_text(encoding="utf-8")
    shown = kormo(*words).stdout
    assert f"{one['all']['bytes_per_token']:.3f}" in shown and "the: in" in shown


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"vocab_size": None, "vocab_sise": 400}, "Did you mean 'vocab_size'?"),
        ({"vocab_size": 100}, "vocab_size"),
        ({"name": None}, "`name` selects the tokenizer to train"),
        ({"name": "kormo_bp"}, "Did you mean 'kormo_bpe'?"),
    ],
    ids=["misspelt", "too small", "no name", "unknown"],
)
def test_a_bad_recipe_is_told(
    made: Made, refused: Callable[..., str], tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    values = {key: value for key, value in {**FLAT, **change}.items() if value is not None}
    path = tmp_path / "bad.yml"
    path.write_text(yaml.safe_dump(values))
    message = refused("tokenizer", "train", path, "--text", made.path("corpus", "korean"), "--out", tmp_path / "out")
    assert told in message and "bad.yml" in message
    assert not (tmp_path / "out").exists()


def test_bad_files_and_folders_are_told(made: Made, refused: Callable[..., str], recipe: Path, tmp_path: Path) -> None:
    text = made.path("corpus", "korean")
    train = ("tokenizer", "train", recipe, "--text")
    assert "not empty" in refused(*train, text, "--out", tmp_path)
    assert "no such file" in refused(*train, tmp_path / "nothing.jsonl", "--out", tmp_path / "out")
    report = ("tokenizer", "report", made.path("tokenizer"), "--text")
    assert "no such file" in refused(*report, text, tmp_path / "nothing.jsonl")
    assert "--terms" in refused(*report, text, "--terms", tmp_path / "nothing.txt")
    assert "there is no folder" in refused(*report, text, "--page", tmp_path / "no" / "page.html")
    assert "tokenizer.json" in refused("tokenizer", "report", tmp_path, "--text", text)


def test_a_vocabulary_that_the_text_does_not_yield_names_file_and_key(
    made: Made, refused: Callable[..., str], recipe: Path, tmp_path: Path
) -> None:
    recipe.write_text("extends: base.yml\nvocab_size: 90000\n")
    train = ("tokenizer", "train", recipe, "--text", made.path("corpus", "korean"), made.path("corpus", "english"))
    message = refused(*train, "--out", tmp_path / "out")
    assert f"{recipe}: vocab_size" in message and "set vocab_size to at most" in message
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]
    whole = tmp_path / "whole.yml"
    whole.write_text(f"extends: {made.folder / 'recipe.yml'}\nkormo: {{tokenizer: {{train: {{vocab_size: 90000}}}}}}\n")
    assert f"{whole}: kormo.tokenizer.train.vocab_size" in refused("data", "build", whole)
    named = tmp_path / "named.yml"
    named.write_text(yaml.safe_dump({**FLAT, "vocab_size": 90_000}))
    whole.write_text(f"extends: {made.folder / 'recipe.yml'}\nkormo: {{tokenizer: {{train: {named}}}}}\n")
    assert f"{named}: kormo.tokenizer.train.vocab_size" in refused("data", "build", whole), "the file that says it"
