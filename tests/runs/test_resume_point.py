"""Which checkpoint a run goes on from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.load import Recipe, load_recipe
from kormo_plugins.runs.resume import resume_point
from kormo_plugins.store.complete import MARKER
from kormo_plugins.training.checkpoints.complete import mark_complete

from ..integration.conftest import RECIPE

ZERO_2 = str(Path(__file__).parents[2] / "recipes/deepspeed/zero2.json")


def _run(folder: Path, **change: Any) -> tuple[Recipe, Path]:
    """A recipe, and its folder with whole checkpoints at 4 and 6 and half of one at 8."""
    out = folder / "out"
    for step in (4, 6, 8):
        checkpoint = out / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "model.safetensors").write_bytes(b"weights")
        mark_complete(checkpoint, step)
    (out / "checkpoint-8" / MARKER).unlink()
    path = folder / "recipe.yml"
    path.write_text(yaml.safe_dump({**RECIPE, "output_dir": str(out), **change}))
    return load_recipe(path), out


def test_the_last_whole_one_and_the_broken_one_is_told(tmp_path: Path) -> None:
    recipe, out = _run(tmp_path)
    said: list[str] = []
    assert resume_point(recipe.run_plan(), 1, said.append) == out / "checkpoint-6"
    assert len(said) == 1 and "checkpoint-8 is not used" in said[0]
    assert resume_point(recipe.run_plan(), 1, said.append) == out / "checkpoint-6" and len(said) == 1


def test_one_that_the_recipe_names(tmp_path: Path) -> None:
    recipe, out = _run(tmp_path, resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-4"))
    assert resume_point(recipe.run_plan(), 1, lambda line: None) == out / "checkpoint-4"
    (out / "checkpoint-4" / "model.safetensors").write_bytes(b"weight")
    with pytest.raises(KormoError) as error:
        resume_point(recipe.run_plan(), 1, lambda line: None)
    assert "6 bytes instead of 7" in error.value.why and "resume_from_checkpoint" in error.value.where


def test_none_unless_it_is_asked_for(tmp_path: Path) -> None:
    recipe, out = _run(tmp_path, auto_resume_from_checkpoints=False)
    assert resume_point(recipe.run_plan(), 1, lambda line: None) is None
    assert not (out / "checkpoint-8").exists(), "Axolotl looks at the folder too"


def test_no_folder_is_a_new_run(tmp_path: Path) -> None:
    recipe, out = _run(tmp_path)
    shutil.rmtree(out)
    assert resume_point(recipe.run_plan(), 1, lambda line: None) is None


def test_one_of_another_kind_of_job_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    recipe, _ = _run(tmp_path, deepspeed=ZERO_2)
    with pytest.raises(KormoError, match="a job without DeepSpeed"):
        resume_point(recipe.run_plan(), 2, lambda line: None)
