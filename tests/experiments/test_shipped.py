"""Every ablation that is shipped can be run: each of its cells is a sound recipe, and differs from the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from kormo_plugins.experiments.ablation.spec import cells, read_spec
from kormo_plugins.recipe.load import load_recipe

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "recipes" / "ablations").glob("*.yml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_cell_of_a_shipped_ablation_is_sound(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("KORMO_DATA", str(tmp_path))
    monkeypatch.setenv("KORMO_EVAL_DATA", str(tmp_path))
    spec = read_spec(path)
    found = cells(path, spec)
    assert len(found) == len(spec.variants) * len(spec.seeds) >= 6 and len(spec.seeds) >= 3
    assert len({cell.hash for cell in found}) == len(found), "two variants are the same"
    assert all(cell.recipe.steps for cell in found)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes" / "architectures").glob("*.yml")), ids=lambda path: path.stem)
def test_every_shipped_architecture_is_sound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    recipe = load_recipe(path)
    assert recipe.block.architecture is not None and recipe.block.export == (path.stem != "mix_ln")
