"""Folders that are written, and what a machine lacks: refused before anything is built."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from click.testing import CliRunner

from kormo_plugins.cli.main import cli
from kormo_plugins.errors import KormoError, each
from kormo_plugins.recipe.checks.devices.machine import PACKAGES, not_ready, unwritable
from kormo_plugins.recipe.checks.places import not_a_folder
from kormo_plugins.recipe.checks.validate import validate
from kormo_plugins.recipe.load import Recipe, load_recipe
from kormo_plugins.recipe.schema.axolotl import axolotl_keys

ROOT = Path(__file__).parents[2]
Usage = namedtuple("Usage", "total used free")
DATA = """\
sources: {web: {license: made, language: ko, reader: {name: text, path: texts}}}
mixture: {name: weighted, weights: {web: 1}}
"""


def recipe(folder: Path, text: str = "") -> Path:
    """A child of the quick start on a folder of texts."""
    (folder / "texts").mkdir(exist_ok=True)
    (folder / "texts/a.txt").write_text("나무가 자란다.\n", encoding="utf-8")
    (folder / "data.yml").write_text(DATA, encoding="utf-8")
    path = folder / "mine.yml"
    start = f"extends: {ROOT}/recipes/pretrain.yml\nplugins: [kormo_plugins.KormoPlugin]\n"
    path.write_text(
        f"{start}kormo: {{data: data.yml, tokenizer: {{train: {{shares: {{}}}}}}}}\n{text}", encoding="utf-8"
    )
    return path


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("file", "which is a file"), ("file/below", "which is a file"), ("x" * 300, "allows a name that long"),
        ("a/" * 3000, "allows a name that long"), ("texts", "among its input"), ("texts/out", "among its input"),
        (".", "among its input"), ("file/../new", "which is a file"),
    ],
)  # fmt: skip
def test_an_output_folder_that_cannot_be_one(
    path: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(KormoError) as caught:
        load_recipe(recipe(tmp_path, f"output_dir: {path}\n"))
    assert says in {error.where.rpartition(" ")[2]: error.render() for error in each(caught.value)}["output_dir"]


@pytest.mark.parametrize("command", [["data", "build", "data.yml"], ["recipe", "validate", "mine.yml"]])
def test_a_workspace_that_is_a_file_is_one_message(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe(tmp_path)
    (tmp_path / "artifacts").touch()
    result = CliRunner().invoke(cli, command)
    assert (result.exit_code, result.stderr.count("kormo: ")) == (2, 1), result.stderr
    assert "artifacts, which is a file" in result.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_not_ones_own(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert [error.where for error in unwritable(tmp_path / "new", "here")] == ["here"]


def test_a_folder_that_can_be_made(tmp_path: Path) -> None:
    assert not_a_folder(tmp_path / "a/b/c", "here") is None
    assert not list(unwritable(tmp_path / "a/b/c", "here"))


@pytest.fixture
def sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return tmp_path


def lacks(folder: Path, text: str) -> list[str]:
    return [error.where.rpartition(" ")[2] for error in not_ready(load_recipe(recipe(folder, text)))]


def test_weights_and_biases_without_a_key(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "wandb_project" in lacks(sound, "wandb_project: x\n")
    assert "wandb_project" not in lacks(sound, "wandb_project: x\nwandb_mode: offline\n")
    (sound / "netrc").write_text("machine api.wandb.ai login user password x\n", encoding="utf-8")
    (sound / "netrc").chmod(0o600)
    assert "wandb_project" not in lacks(sound, "wandb_project: x\n")
    (sound / "netrc").unlink()
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert "wandb_project" not in lacks(sound, "wandb_project: x\n")


def test_a_package_that_is_not_installed(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert lacks(sound, "optimizer: lomo\nuse_mlflow: true\n") == ["optimizer", "use_mlflow"]


def test_the_packages_are_asked_for_values_that_exist() -> None:
    properties = axolotl_keys().schema["properties"]
    optimizers = set(properties["optimizer"]["anyOf"][0]["enum"])
    assert PACKAGES.keys() <= properties.keys()
    assert set(PACKAGES["optimizer"]) <= optimizers


def test_too_little_disk_for_what_the_plan_predicts(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9, 10**6))
    found = [error for error in not_ready(load_recipe(recipe(sound))) if error.where.endswith("output_dir")]
    assert len(found) == 1 and "needed" in found[0].found and "1.0 MB free" in found[0].found
    report = validate(sound / "mine.yml")
    assert any("a run here would be refused" in warning.why for warning in report.warnings)


def test_files_that_are_not_there_and_text_that_has_no_space(sound: Path) -> None:
    path = recipe(sound)
    (sound / "texts/a.txt").unlink()
    (sound / "texts").rmdir()
    assert [error.where.rpartition(" ")[2] for error in not_ready(load_recipe(path))] == [
        "kormo.data.sources.web.reader.path"
    ]
    more = "made: {license: made, language: ko, generator: {name: embedded, language: ko, megabytes: 5.0e+10}}"
    (sound / "data.yml").write_text(DATA.replace("}}}\n", "}}, " + more + "}\n").replace("web: 1", "web: 1, made: 1"))
    found = [error.found for error in not_ready(load_recipe(path))]
    assert len(found) == 2 and "to generate" in found[1]


def test_a_machine_that_is_ready(sound: Path) -> None:
    loaded: Recipe = load_recipe(recipe(sound))
    assert list(not_ready(loaded)) == []
