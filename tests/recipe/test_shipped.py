"""What comes with the package is found by name, from any folder, and a lab's own folder stands on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.experiments.ablation.spec import cells, read_spec
from kormo_plugins.experiments.chain.spec import load_chain
from kormo_plugins.recipe.checks.validate import validate
from kormo_plugins.recipe.files.paths import from_here
from kormo_plugins.recipe.files.resolve import resolve, resolve_data
from kormo_plugins.recipe.files.shipped import located, shipped_names, shipped_root
from kormo_plugins.recipe.starter import SIZES, Start, files

ROOT = Path(__file__).parents[2]


def test_every_shipped_file_has_a_name_and_every_name_a_file() -> None:
    names = shipped_names()
    assert {"pretrain.yml", "10b/pretrain.yml", "chains/nano.yml", "deepspeed/zero2.json"} <= set(names)
    assert "datasets_recipes/local.yml" in names and "recipes/pretrain.yml" not in names
    found = {located(f"kormo:{name}").resolve() for name in names}
    shipped = [*(ROOT / "recipes").rglob("*.yml"), *(ROOT / "datasets_recipes").rglob("*.yml")]
    assert found >= {path.resolve() for path in shipped}
    assert located("kormo:recipes/pretrain.yml") == located("kormo:pretrain.yml")


@pytest.mark.parametrize("name", ["kormo:pretran.yml", "kormo:../pyproject.toml", "kormo:", "kormo:/etc/passwd"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(KormoError, match="comes with this version"):
        located(name)


def test_a_near_name_is_proposed_as_it_must_be_written() -> None:
    with pytest.raises(KormoError) as caught:
        located("kormo:pretran.yml")
    assert caught.value.do == "Did you mean 'kormo:pretrain.yml'?"


def test_a_recipe_anywhere_extends_a_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(
        "extends: kormo:pretrain.yml\nplugins: [kormo_plugins.KormoPlugin]\nseed: 7\n"
        "deepspeed: kormo:deepspeed/zero2.json\n"
        "kormo: {data: 'kormo:datasets_recipes/nano/stage1.yml'}\n"
    )
    resolved = resolve(path)
    assert resolved.get("seed") == 7 and resolved.get("kormo.global_batch") == 8
    assert resolved.get("kormo.data.name") == resolve_data("kormo:datasets_recipes/nano/stage1.yml").get("name")
    assert Path(str(from_here(resolved)["deepspeed"])) == shipped_root() / "recipes/deepspeed/zero2.json"
    assert resolve("kormo:10b/pretrain.yml").values == resolve(ROOT / "recipes/10b/pretrain.yml").values


@pytest.mark.parametrize("size", SIZES)
def test_a_folder_of_ones_own_is_sound(size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("문서 하나입니다.")
    for text in (None, str(tmp_path / "text")):
        folder = tmp_path / f"lab-{text is None}"
        folder.mkdir()
        monkeypatch.chdir(folder)
        for name, content in files(Start("lab", size, text)).items():
            (folder / name).write_text(content)
        assert len((folder / "recipe.yml").read_text().splitlines()) <= 15
        workspace = str(resolve(Path("recipe.yml")).get("kormo.workspace") or "artifacts")
        assert {f"{workspace}/", "outputs/"} <= set((folder / ".gitignore").read_text().split())
        for name in ("recipe.yml", "dataset.yml"):
            validate(Path(name))
        if text is None and size == "nano":  # the others read sources of a hub
            assert [str(stage.out) for stage in load_chain(Path("chain.yml")).stages] == [
                "outputs/lab",
                "outputs/lab-sft",
            ]


def test_an_ablation_anywhere_has_a_shipped_base(tmp_path: Path) -> None:
    path = tmp_path / "question.yml"
    path.write_text(
        "question: is it so?\nbase: kormo:pretrain.yml\nvariants: {plain: {}, other: {kormo.collator.name: causal}}\n"
        "baseline: plain\nseeds: [1]\nbudget_minutes: 1\nmeasure: {loss: {metric: loss}}\n"
    )
    assert [cell.recipe.seed for cell in cells(path, read_spec(path))] == [1, 1]


def test_a_shipped_chain_runs_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    chain = load_chain(Path("kormo:chains/nano.yml"))
    assert len(chain.stages) == 7 and not list(tmp_path.iterdir())
