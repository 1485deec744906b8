"""`kormo train`: what it writes and what it becomes. That the result trains is in tests/integration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result

from kormo_plugins.cli import train
from kormo_plugins.recipe.checked import check_recipe
from kormo_plugins.recipe.checks.length import shorter_than_checkpoint
from kormo_plugins.recipe.files.override import provenance
from kormo_plugins.recipe.files.resolve import resolve
from kormo_plugins.runs import occupancy
from kormo_plugins.training.checkpoints.complete import mark_complete

from .conftest import Made

Kormo = Callable[..., Result]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that it would have become."""
    found: list[list[str]] = []
    monkeypatch.setattr(train, "become", found.append)
    return found


def test_it_becomes_axolotl_on_the_changed_recipe(copy: Made, kormo: Kormo, commands: list[list[str]]) -> None:
    result = kormo("train", "recipe.yml", "max_steps=3", "output_dir=out/x", "--launcher", "python")
    assert result.exit_code == 0, result.output
    ((program, *words),) = commands
    assert Path(program).name == "axolotl" and Path(program).is_absolute()
    assert words == ["train", "out/x/requested.yml", "--launcher", "python"]
    assert resolve(Path(words[1])).get("max_steps") == 3
    assert provenance(Path(words[1]))["overrides"] == {"max_steps": 3, "output_dir": "out/x"}


@pytest.mark.parametrize(
    ("given", "end"),
    [
        ([], []),
        (
            ["--launcher", "torchrun", "--", "--nproc_per_node=2"],
            ["--launcher", "torchrun", "--", "--nproc_per_node=2"],
        ),
        (["--", "--nproc_per_node=2", "--x"], ["--", "--nproc_per_node=2", "--x"]),
        (["--", "--launcher", "torchrun", "--", "--a"], ["--launcher", "torchrun", "--", "--a"]),
        (["--", "--launcher", "python"], ["--launcher", "python"]),
    ],
)
def test_launcher_options_go_through(
    copy: Made, kormo: Kormo, commands: list[list[str]], given: list[str], end: list[str]
) -> None:
    kormo("train", "recipe.yml", "output_dir=o", *given)
    assert commands[0][3:] == end


def test_a_dry_run_prints_a_recipe_and_writes_nothing(copy: Made, kormo: Kormo, commands: list[list[str]]) -> None:
    result = kormo("train", "recipe.yml", "seed=9", "output_dir=nowhere", "--dry-run")
    values: dict[str, Any] = yaml.safe_load(result.stdout)
    assert (values["seed"], values["kormo"]["data"]["name"]) == (9, "tiny")
    assert commands == [] and not Path("nowhere").exists()


def test_bad_input_starts_nothing(copy: Made, refused: Callable[..., str], commands: list[list[str]]) -> None:
    assert "a whole number or null is expected here" in refused("train", "recipe.yml", "seed=x", "output_dir=o")
    assert "Did you mean 'learning_rate'?" in refused("train", "recipe.yml", "learning_rte=1", "output_dir=o")
    assert "no such file" in refused("train", "recipe.yaml")
    assert commands == [] and not Path("o").exists()


def test_a_run_shorter_than_its_checkpoint_is_refused_before_axolotl_starts(
    copy: Made, kormo: Kormo, refused: Callable[..., str], commands: list[list[str]]
) -> None:
    """The message names what the user wrote: the command line, or the recipe that it changes."""
    resumes = "auto_resume_from_checkpoints=true"
    for step in (4, 9):
        folder = Path(f"o/checkpoint-{step}")
        folder.mkdir(parents=True)
        (folder / "weights").write_text("w" * step)
        mark_complete(folder, step)
    Path("o/checkpoint-12").mkdir()  # incomplete: no run resumes from it
    told = refused("train", "recipe.yml", "max_steps=3", "output_dir=o", resumes)
    assert "command line: max_steps" in told and "3 steps, and a checkpoint of step 9" in told
    assert commands == [] and not Path("o/requested.yml").exists()
    named = "resume_from_checkpoint=o/checkpoint-4"
    assert "a checkpoint of step 4" in refused("train", "recipe.yml", "max_steps=3", "output_dir=o", named)
    assert (
        kormo("train", "recipe.yml", "max_steps=3", "output_dir=o", "auto_resume_from_checkpoints=false").exit_code == 0
    )
    assert kormo("train", "recipe.yml", "max_steps=9", "output_dir=o", resumes).exit_code == 0
    asked = yaml.safe_load(Path("o/requested.yml").read_text(encoding="utf-8"))
    text = Path("o/requested.yml").read_text(encoding="utf-8").replace("max_steps: 9", "max_steps: 2")
    assert asked["max_steps"] == 9
    Path("o/requested.yml").write_text(text, encoding="utf-8")
    (error,) = shorter_than_checkpoint(check_recipe(Path("o/requested.yml")))
    assert error.where == "recipe.yml: max_steps"
    (Path("o/checkpoint-9") / "weights").write_text("damaged!!")
    (error,) = shorter_than_checkpoint(check_recipe(Path("o/requested.yml")))
    assert "a checkpoint of step 4" in error.found, "the newest whole one"


def test_what_a_run_at_work_was_asked_for_stays(
    copy: Made, kormo: Kormo, refused: Callable[..., str], commands: list[list[str]]
) -> None:
    first = "train", "recipe.yml", "seed=1", "output_dir=o"
    assert kormo(*first).exit_code == 0
    occupancy.occupy(Path("o"), pytest.fail)
    try:
        assert "is at work on a run in o" in refused("train", "recipe.yml", "seed=2", "output_dir=o")
        assert kormo(*first).exit_code == 0  # another node of the same run
        assert resolve(Path("o/requested.yml")).get("seed") == 1 and len(commands) == 2
    finally:
        occupancy.leave(Path("o"))
    assert kormo("train", "recipe.yml", "seed=2", "output_dir=o").exit_code == 0
    assert resolve(Path("o/requested.yml")).get("seed") == 2
