"""What each artifact is hashed over: a change rebuilds what depends on it, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from kormo_plugins.console import worker_pool
from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.build import build_data
from kormo_plugins.pipeline.built import lookup_only
from kormo_plugins.recipe.files.override import changed
from kormo_plugins.recipe.load import load_recipe
from kormo_plugins.shards import tokenize
from kormo_plugins.store.artifact import Artifact, Make, Spec, build

from ..integration.conftest import RECIPE, merged

CORPORA = {"corpus korean", "corpus english"}
SHARDS = {"shards korean", "shards english"}
ROWS = {"rows korean", "rows english"}
TOKENIZER = {"tokenizer kormo_bpe"}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("built")


def _hashes(room: Path, change: Mapping[str, Any]) -> dict[str, str]:
    """`kind name` -> hash of every artifact of the small recipe with a change."""
    base = {"output_dir": str(room / "out"), "kormo": {"workspace": str(room / "artifacts")}}
    path = room / "recipe.yml"
    path.write_text(yaml.safe_dump(merged(merged(RECIPE, base), change)))
    found: dict[str, str] = {}

    def get(workspace: Path, spec: Spec, make: Make) -> Artifact:
        found[f"{spec.kind} {spec.name}"] = spec.hash
        return build(workspace, spec, make)

    build_data(load_recipe(path), get)
    return found


@pytest.mark.parametrize(
    ("change", "anew"),
    [
        ({"learning_rate": 0.5, "seed": 9, "max_steps": 3}, set()),
        ({"kormo": {"data": {"mixture": {"weights": {"korean": 1, "english": 1}}}}}, set()),
        ({"sequence_len": 64}, ROWS),
        ({"kormo": {"data": {"packing": {"name": "best_fit", "longer": "drop"}}}}, ROWS),
        ({"kormo": {"data": {"packing": {"name": "concat"}}}}, ROWS),
        ({"kormo": {"tokenizer": {"train": {"vocab_size": 480}}}}, TOKENIZER | SHARDS | ROWS),
        ({"kormo": {"data": {"sources": {"korean": {"control_tokens": ["<think>"]}}}}},
         {"shards korean", "rows korean"}),
        ({"kormo": {"data": {"sources": {"korean": {"generator": {"seed": 2}}}}}},
         TOKENIZER | SHARDS | ROWS | {"corpus korean"}),
    ],
)  # fmt: skip
def test_a_change_rebuilds_what_depends_on_it(room: Path, change: dict[str, Any], anew: set[str]) -> None:
    before, after = _hashes(room, {}), _hashes(room, change)
    assert before.keys() == after.keys() == CORPORA | TOKENIZER | SHARDS | ROWS
    assert {name for name in before if before[name] != after[name]} == anew


def test_workers_clean_and_tokenize_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[int, str]] = []
    real = worker_pool.workers

    def noted(number: int, where: str, **more: Any) -> Any:
        started.append((number, where))
        return real(number, where, **more)

    monkeypatch.setattr(worker_pool, "workers", noted)
    found = []
    for workers in (1, 2):
        room = tmp_path / str(workers)
        room.mkdir()
        hashes = _hashes(room, {"kormo": {"data": {"workers": workers}}})
        files = {path.relative_to(room): path for path in sorted(room.rglob("*")) if path.suffix in (".zst", ".bin")}
        found.append((hashes, {name: path.read_bytes() for name, path in files.items()}))
        assert len(files) > 4
    assert found[0] == found[1]
    names = ("english", "korean")
    cleaned, tokenized = ([(2, form.format(name)) for name in names] for form in ("sources.{}", "{}: tokenizing"))
    assert sorted(set(started)) == sorted(cleaned + tokenized)


def test_a_given_tokenizer_is_opened_while_others_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once: by one process before it needs it, and by one of several as soon as the others have something to do."""
    (own := tmp_path / "own").mkdir()
    _hashes(own, {})
    (tokenizer,) = (own / "artifacts").glob("tokenizer-*")
    real = tokenize.Encoder
    for workers, cleaned_before in ((1, 2), (2, 0)):
        place = tmp_path / str(workers)
        place.mkdir()
        opened: list[int] = []

        def noted(*arguments: Any, opened: list[int] = opened, place: Path = place, **more: Any) -> Any:
            opened.append(len([*(place / "artifacts").glob("corpus-*")]))
            return real(*arguments, **more)

        monkeypatch.setattr(tokenize, "Encoder", noted)
        monkeypatch.setattr(tokenize, "_encoders", {})
        given = {"tokenizer": {"train": None, "path": str(tokenizer)}, "data": {"workers": workers}}
        _hashes(place, {"kormo": given})
        assert opened == [cleaned_before]


def test_what_only_looks_builds_nothing(room: Path, tmp_path: Path) -> None:
    _hashes(room, {})
    recipe = load_recipe(room / "recipe.yml")
    assert build_data(recipe, lookup_only(recipe.path)).rows.keys() == {"korean", "english"}
    values = yaml.safe_load(recipe.path.read_text())
    values["kormo"]["workspace"] = str(tmp_path / "none")
    (tmp_path / "recipe.yml").write_text(yaml.safe_dump(values))
    with pytest.raises(KormoError, match="kormo data build"):
        build_data(load_recipe(tmp_path / "recipe.yml"), lookup_only(tmp_path / "recipe.yml"))
    assert not (tmp_path / "none").exists()


BASES = Path(__file__).parents[2] / "recipes/ablations/bases"


@pytest.mark.soak
@pytest.mark.parametrize("base", sorted(path.name for path in BASES.glob("*.yml")))
def test_what_the_shipped_ablations_read_can_be_built(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a folder of Korean text where one is asked for, and nothing else."""
    (tmp_path / "mine").mkdir()
    with (tmp_path / "mine" / "text.jsonl").open("w", encoding="utf-8") as file:
        for n in range(2000):
            text = (
                f"{n}년 전에 이 마을에는 {n % 97}명이 살았고, 그들은 {n % 31}개의 배를 가지고 바다에서 고기를 잡았다. "
                * 5
            )
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    monkeypatch.setenv("KORMO_DATA", str(tmp_path / "mine"))
    recipe = changed(BASES / base, {"kormo.workspace": str(tmp_path / "artifacts")})
    built = build_data(recipe, partial(build, log=lambda line: None))
    assert built.rows and all(artifact.stats["rows"] for artifact in built.rows.values())
