"""A file of a workspace that is flipped, cut, removed or another's is noticed, named, and nothing is built from it.

Every kind of file at every stage. `SMALL` is set to zero, so that not the look at an artifact but whoever reads the
file has to notice; the look itself is tested in `tests/store/test_artifact.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.build import build_all
from kormo_plugins.recipe.load import Recipe, load_recipe
from kormo_plugins.runs import folder as run
from kormo_plugins.store import artifact

from ..damages import cut, flip, remove, swap
from ..integration.conftest import RECIPE, merged

BUILT_FROM = {"corpus": ("tokenizer", "shards", "rows", "init"), "tokenizer": ("shards", "rows", "init"),
              "shards": ("rows",), "rows": (), "init": ()}  # fmt: skip
"""Kind of artifact -> what is built from it, and is removed so that it has to be built again."""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recipe]:
    folder = tmp_path_factory.mktemp("damage")
    base = {"output_dir": str(folder / "out"), "kormo": {"workspace": str(folder / "artifacts")}}
    (folder / "recipe.yml").write_text(yaml.safe_dump(merged(RECIPE, base)))
    recipe = load_recipe(folder / "recipe.yml")
    build_all(recipe, log=lambda line: None)
    shutil.copytree(folder / "artifacts", folder / "kept")
    yield recipe


def kept(recipe: Recipe) -> Path:
    return recipe.block.workspace.parent / "kept"


def read_by_training(recipe: Recipe) -> list[Path]:
    """Files, relative to the workspace, that decide what is trained: not the rejects and the held-out documents."""
    files = [path.relative_to(kept(recipe)) for path in kept(recipe).rglob("*") if path.is_file()]
    return sorted(path for path in files if len(path.parts) == 2 and not path.parts[0].startswith("."))


def kind_of(path: Path) -> tuple[str, str]:
    """Kind of artifact and of file: one of each is enough for the slower kinds of damage."""
    return path.parts[0].split("-")[0], path.name.split("-")[0].split("_")[0] + "".join(path.suffixes)


def restore(recipe: Recipe, without: tuple[str, ...] = ()) -> Path:
    workspace = recipe.block.workspace
    shutil.rmtree(workspace, ignore_errors=True)
    workspace.mkdir()
    shutil.rmtree(recipe.output_dir, ignore_errors=True)
    for folder in kept(recipe).iterdir():
        if not folder.name.startswith((*(f"{kind}-" for kind in without), ".")):
            shutil.copytree(folder, workspace / folder.name)
    return workspace


def attempt(recipe: Recipe) -> None:
    built = build_all(recipe, log=lambda line: None)
    run.prepare(recipe.run_plan(), built, main=True)


def test_the_workspace_is_whole_and_found_again(room: Recipe) -> None:
    restore(room)
    attempt(room)
    kinds = {kind_of(path)[0] for path in read_by_training(room)}
    assert kinds == set(BUILT_FROM)


@pytest.mark.parametrize("damage", [flip, cut, remove, swap])
def test_damage_is_noticed_and_named_and_nothing_is_built_from_it(
    room: Recipe, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "SMALL", 0)
    done: set[tuple[str, str]] = set()
    for name in read_by_training(room):
        kind, file = kind_of(name)
        if (kind, file) in done:
            continue
        done.add((kind, file))
        workspace = restore(room, BUILT_FROM[kind])
        if not (workspace / name).stat().st_size:
            continue
        before = {folder.name for folder in workspace.iterdir()}
        damage(workspace / name)
        with pytest.raises(KormoError) as error:
            attempt(room)
        told = f"{error.value.where} {error.value.found}"
        assert str(workspace / name) in told, (name, error.value.render())
        new = {folder.name.split("-")[0] for folder in workspace.iterdir() if folder.name not in before}
        unread = kind == "shards" and name.name.endswith((".ids.bin", ".json"))  # by a row plan
        first = BUILT_FROM[kind][:1] if kind in ("corpus", "shards") and not unread else ()
        assert not new & set(first), f"{new} were built from a damaged {name}"
        assert not (room.output_dir / "run.json").exists()
    assert len(done) > 10


def test_what_is_built_of_other_content_is_another_artifact(room: Recipe) -> None:
    """The identity of shards and rows counts the bytes that they were built from."""
    workspace = restore(room)
    names = {folder.name for folder in workspace.iterdir()}
    found = next(folder for folder in workspace.iterdir() if folder.name.startswith("corpus-"))
    manifest = artifact.read_manifest(found)
    part = next(name for name in manifest["files"] if name.startswith("part-"))
    one = artifact.Artifact(found, manifest)
    manifest["files"][part]["xxh3_128"] = "0" * 32
    other = artifact.Artifact(found, {**manifest, "files": dict(manifest["files"])})
    assert one.hash == other.hash and names
    assert artifact.Artifact(found, artifact.read_manifest(found)).digest != other.digest
