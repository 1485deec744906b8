"""Each row of the table of keys that may change under way: what it says is what happens."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.build import build_all
from kormo_plugins.recipe.load import Recipe, load_recipe
from kormo_plugins.runs import folder as run
from kormo_plugins.runs.resume_keys import RULES, check_changed_keys, rule_of
from kormo_plugins.store.sums import sha256_of
from kormo_plugins.training.telemetry.run_record import write_record

from ..integration.conftest import RECIPE, merged

DOCS = Path(__file__).parents[2] / "docs" / "runs.md"

CHANGES: dict[str, Any] = {
    "learning_rate": 0.123, "weight_decay": 0.77, "adam_beta1": 0.5, "adam_beta2": 0.6, "adam_epsilon": 1e-5,
    "max_grad_norm": 0.5, "lr_scheduler": "linear", "lr_scheduler_kwargs": {"x": 1}, "cosine_min_lr_ratio": 0.2,
    "warmup_steps": 3, "warmup_ratio": 0.4, "max_steps": 50, "micro_batch_size": 1, "gradient_accumulation_steps": 3,
    "deepspeed": "zero2.json", "fsdp": ["full_shard"], "fsdp_config": {"x": 1}, "logging_steps": 7, "save_steps": 9,
    "save_total_limit": 5, "kormo.milestones": 1000, "kormo.monitor": {"x": 1}, "kormo.stop_on": {"nan": False},
    "kormo.objective": "other", "kormo.collator": {"name": "x"}, "optimizer": "sgd", "optim_args": "a=1",
    "kormo.decay": {"norms": True}, "embedding_lr": 0.1, "embedding_lr_scale": 2.0, "lr_groups": [{"lr": 1}],
    "kormo.precision": {"weights": "float16"}, "adapter": "lora", "lora_r": 3, "lora_alpha": 9,
    "lora_target_modules": ["q_proj"], "lora_target_linear": True, "peft_use_dora": True, "rl": "dpo",
}  # fmt: skip
"""A change of each key that is applied or refused; the others are compared by checks with tests of their own."""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    room = tmp_path_factory.mktemp("resume")
    base = {"output_dir": str(room / "out"), "kormo": {"workspace": str(room / "artifacts")}}
    (room / "recipe.yml").write_text(yaml.safe_dump(merged(RECIPE, base)))
    return load_recipe(room / "recipe.yml")


def before(recipe: Recipe, tmp_path: Path, key: str, value: Any) -> Path:
    """The resolved recipe of a run whose `key` was `value`."""
    change: dict[str, Any] = {}
    place = change
    *above, last = key.split(".")
    for name in above:
        place = place.setdefault(name, {})
    place[last] = value
    path = tmp_path / "recipe.yml"
    path.write_text(yaml.safe_dump(merged(recipe.resolved.values, change), allow_unicode=True))
    return path


@pytest.mark.parametrize("key", [key for rule in RULES if rule.fate != "compared" for key in rule.keys])
def test_a_change_is_applied_or_refused_and_always_told(recipe: Recipe, tmp_path: Path, key: str) -> None:
    rule = rule_of(key)
    assert rule is not None
    resolved = before(recipe, tmp_path, key, CHANGES[key])
    if rule.fate == "applied":
        lines = check_changed_keys(recipe.run_plan(), resolved, 4)
        assert lines and all(line.startswith(key) and line.endswith("from step 5 on") for line in lines)
        return
    with pytest.raises(KormoError) as error:
        check_changed_keys(recipe.run_plan(), resolved, 4)
    assert key in error.value.found and "from_run" in error.value.do and rule.says in error.value.why


def test_nothing_is_said_of_a_recipe_that_is_the_same(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yml"
    path.write_text(yaml.safe_dump(recipe.resolved.values, allow_unicode=True))
    assert check_changed_keys(recipe.run_plan(), path, 4) == []
    assert check_changed_keys(recipe.run_plan(), tmp_path / "none.yml", 4) == []


def test_a_copy_that_was_cut_is_named_and_not_compared(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yml"
    path.write_text(yaml.safe_dump(recipe.resolved.values, allow_unicode=True))
    write_record(tmp_path, {"recipe_sha256": sha256_of(path.read_bytes())})
    assert check_changed_keys(recipe.run_plan(), path, 4) == []
    half = {key: recipe.resolved.values[key] for key in ("plugins", "kormo")}
    path.write_text(yaml.safe_dump(half))  # cut between two keys
    with pytest.raises(KormoError, match="the hash in") as error:
        check_changed_keys(recipe.run_plan(), path, 4)
    assert error.value.where == str(path)
    path.unlink()
    assert check_changed_keys(recipe.run_plan(), path, 4) == []


def test_fewer_steps_than_there_are(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(KormoError, match="already longer"):
        check_changed_keys(recipe.run_plan(), tmp_path / "none.yml", (recipe.steps or 0) + 1)
    assert check_changed_keys(recipe.run_plan(), tmp_path / "none.yml", recipe.steps or 0) == []


def test_the_table_in_the_documentation_is_this_one() -> None:
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    rows = [f"| {', '.join(f'`{key}`' for key in rule.keys)} | {rule.fate} | {rule.says} |" for rule in RULES]
    assert [line for line in lines if line.startswith("| `")] == rows


def test_a_run_that_goes_on_is_refused_before_its_folder_is_touched(recipe: Recipe) -> None:
    from kormo_plugins.training.checkpoints.complete import mark_complete

    built = build_all(recipe, log=lambda line: None)
    run.prepare(recipe.run_plan(), built, main=True)
    checkpoint = recipe.output_dir / "checkpoint-4"
    checkpoint.mkdir()
    (checkpoint / "model.safetensors").write_bytes(b"x")
    mark_complete(checkpoint, 4)
    kept = run.resolved_path(recipe.output_dir).read_text()
    other = load_recipe(recipe.path, {"optimizer": "sgd"})
    with pytest.raises(KormoError, match="optimizer"):
        run.prepare(other.run_plan(), built, main=True)
    assert run.resolved_path(recipe.output_dir).read_text() == kept


def test_a_rate_that_is_a_state_cannot_be_changed(recipe: Recipe, tmp_path: Path) -> None:
    """Of a recipe without `kormo.data`; beside it this schedule is refused anyway."""
    resolved = before(recipe, tmp_path, "learning_rate", 0.5)
    values = {**recipe.resolved.values, "lr_scheduler": "reduce_lr_on_plateau"}
    other = SimpleNamespace(steps=None, values=values, where=str)
    with pytest.raises(KormoError, match="which is in the checkpoint"):
        check_changed_keys(other, resolved, 4)  # type: ignore[arg-type]
