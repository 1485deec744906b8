"""`kormo recipe diff`: nothing where nothing changes, and what follows where something does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kormo_plugins.cli.main import cli
from kormo_plugins.recipe.cost.learning_rate import learning_rate, warmup_steps
from kormo_plugins.recipe.cost.machine import Machine
from kormo_plugins.recipe.cost.shares import Counted, shares
from kormo_plugins.recipe.diff.difference import difference
from kormo_plugins.recipe.files.override import with_changes
from kormo_plugins.recipe.load import Recipe, load_recipe

ROOT = Path(__file__).parents[2]
BASE = Path("recipes/pretrain.yml")
CPU = Machine(1, "cpu")


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def variant(folder: Path, **changes: Any) -> Recipe:
    """The base recipe with changes; `__` stands for a dot."""
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return load_recipe(with_changes(BASE, dotted, folder / "variant.yml"))


@pytest.mark.parametrize(
    "changes",
    [
        {},  # the resolved recipe in one file
        {"output_dir": "elsewhere", "logging_steps": 1, "save_steps": 3, "kormo__data__name": "y"},
        {"wandb_project": "x"},
        {"kormo__tokens": None, "max_steps": 160},
        {"kormo__tokens": 655_000},  # the same number of whole steps
        {"seed": "42"},
        {"optimizer": "adamw_torch", "flash_attention": None},
        {"kormo__data__mixture__weights__bilingual": 10, "kormo__data__mixture__weights__korean__share": 114,
         "kormo__data__mixture__weights__english__share": 76},
        {"kormo__data__packing": {"name": "best_fit", "longer": "cut"}},
        {"kormo__samples__prompts": ["x"]},
    ],
)  # fmt: skip
def test_what_trains_the_same_says_so(tmp_path: Path, changes: dict[str, Any]) -> None:
    found = difference(load_recipe(BASE), variant(tmp_path, **changes), CPU)
    assert found.trains_the_same and found.changed == {}
    result = CliRunner().invoke(cli, ["recipe", "diff", str(BASE), str(tmp_path / "variant.yml")])
    assert result.exit_code == 0 and "train the same" in result.stdout


@pytest.mark.parametrize(
    ("changes", "key", "pair"),
    [
        ({"learning_rate": 1e-3}, "learning_rate", [3e-3, 1e-3]),
        ({"kormo__collator__name": "causal"}, "kormo.collator.name", ["document_mask", "causal"]),
        (
            {"kormo__data__packing": {"name": "best_fit", "longer": "drop"}},
            "kormo.data.packing.longer",
            ["cut", "drop"],
        ),
        ({"kormo__data__mixture__weights__bilingual": 0}, "kormo.data.mixture.weights.bilingual", [0.05, 0.0]),
        ({"seed": 1}, "seed", [42, 1]),
        ({"kormo__tokens": 700_000}, "kormo.tokens", [655_360, 700_000]),
        ({"gradient_clipping": None, "max_grad_norm": 2.0}, "max_grad_norm", [1.0, 2.0]),
    ],
)
def test_what_trains_otherwise_is_named(tmp_path: Path, changes: dict[str, Any], key: str, pair: list[Any]) -> None:
    changes.pop("gradient_clipping", None)
    found = difference(load_recipe(BASE), variant(tmp_path, **changes), CPU)
    assert found.changed[key] == pair and not found.trains_the_same


def test_how_it_is_run_is_not_what_is_trained(tmp_path: Path) -> None:
    found = difference(load_recipe(BASE), variant(tmp_path, micro_batch_size=2, gradient_checkpointing=True), CPU)
    assert set(found.changed) == {"micro_batch_size", "gradient_checkpointing"} and found.trains_the_same
    left, right = found.consequences["memory_per_gpu_gb"]["total"]
    assert right < left and found.consequences["flops"][0] == found.consequences["flops"][1]


def test_the_consequences_are_those_of_both(tmp_path: Path) -> None:
    variant(tmp_path, kormo__global_batch=16, kormo__data__mixture__weights__korean__share=0)
    result = CliRunner().invoke(cli, ["recipe", "diff", str(BASE), str(tmp_path / "variant.yml"), "--json"])
    found = json.loads(result.stdout)
    follows = found["consequences"]
    assert follows["steps"] == [160, 80] and follows["tokens"] == [655_360, 655_360]
    assert follows["share_korean"] == [0.57, 0.0] and follows["share_synthetic"] == [1.0, 1.0]
    assert sum(pair[1] for pair in follows["tokens_by_source"].values()) == pytest.approx(655_360, abs=3)
    assert follows["tokens_by_source"]["ko_prose"] == [round(655_360 * 0.38), 0]
    assert found["changed"]["kormo.global_batch"] == [8, 16]
    assert set(follows["learning_rate"]) == {"start", "warmup_end", "25%", "50%", "75%", "end"}


def lines_of(folder: Path, **changes: Any) -> list[str]:
    """What `kormo recipe diff` prints of the base recipe and a variant of it."""
    variant(folder, **changes)
    result = CliRunner().invoke(cli, ["recipe", "diff", str(BASE), str(folder / "variant.yml")])
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_a_source_that_one_recipe_has_is_shown_key_by_key(tmp_path: Path) -> None:
    source = {"language": "en", "generator": {"name": "embedded", "language": "en", "seed": 9},
              "steps": [{"name": "length", "minimum": 70}]}  # fmt: skip
    sources = "kormo.data.sources.mine"
    lines = lines_of(tmp_path, kormo__data__sources__mine=source, kormo__data__mixture__weights__mine=0.1)
    for told in ('.language: "en"', ".generator.seed: 9", '.steps[0].name: "length"', ".steps[0].minimum: 70"):
        assert f"  + {sources}{told}" in lines
    assert not [line for line in lines if "{" in line]


def test_a_changed_step_is_shown_by_the_key_that_changed(tmp_path: Path) -> None:
    steps = [{"name": "normalize"}, {"name": "length", "minimum": 70}, {"name": "exact_dedup"}]
    lines = lines_of(tmp_path, kormo__data__steps=steps)
    changed = [line for line in lines if "ko_prose.steps" in line]
    assert changed == ["    kormo.data.sources.ko_prose.steps[1].minimum: 20 → 70"]


def test_shares_come_from_what_was_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KORMO_DATA", "datasets_recipes")
    recipe = load_recipe(Path("recipes/pretrain_local.yml"))
    guessed, known = shares(recipe), shares(recipe, {"local": Counted(10, {"ko": 3, "en": 1, "mul": 1})})
    assert guessed and known
    assert (guessed.korean, guessed.unknown) == (0.0, 1.0)
    assert (known.korean, known.unknown) == (0.6, 0.2)


FEW = {"num_decay_steps": 9}
SCHEDULES: list[tuple[str, dict[str, Any]]] = [
    ("constant", {}), ("constant_with_warmup", {}), ("linear", {}), ("cosine", {}), ("inverse_sqrt", {}),
    ("cosine_with_min_lr", {"min_lr": 1e-4}), ("cosine_with_min_lr", {"min_lr_rate": 0.2}),
    ("polynomial", {"power": 2.0, "lr_end": 1e-5}),
    ("warmup_stable_decay", {"num_decay_steps": 20, "min_lr_ratio": 0.1}),
    ("warmup_stable_decay", {**FEW, "min_lr_ratio": 0, "decay_type": "1-sqrt", "warmup_type": "cosine"}),
    ("warmup_stable_decay", {**FEW, "min_lr_ratio": 0.3, "decay_type": "linear", "warmup_type": "1-sqrt"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), SCHEDULES)
def test_rates_are_those_of_transformers(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    import torch
    from transformers import get_scheduler

    inherited = {key: None for key in ("num_decay_steps", "min_lr_ratio") if key not in options}
    recipe = variant(tmp_path, lr_scheduler=name, lr_scheduler_kwargs={**inherited, **options}, warmup_ratio=0.1)
    rate = learning_rate(recipe)
    assert rate is not None and recipe.steps == 160
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=3e-3)
    scheduler = get_scheduler(
        name, optimizer, num_warmup_steps=warmup_steps(recipe, 160), num_training_steps=160,
        scheduler_specific_kwargs=dict(options),
    )  # fmt: skip
    for step in range(160):
        assert rate(step) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9), step
        optimizer.step()
        scheduler.step()


def test_a_schedule_that_is_not_known_is_not_guessed(tmp_path: Path) -> None:
    recipe = variant(tmp_path, lr_scheduler="rex", lr_scheduler_kwargs=None)
    assert learning_rate(recipe) is None


def test_what_needs_no_gpu_is_told_for_a_batch_that_they_do_not_divide(tmp_path: Path) -> None:
    found = difference(load_recipe(BASE), variant(tmp_path, learning_rate=0.1), Machine(8, "h100")).consequences
    alone = difference(load_recipe(BASE), variant(tmp_path, learning_rate=0.1), CPU).consequences
    assert found["parameters"] == alone["parameters"] and found["flops"] == alone["flops"]
    assert None not in found["parameters"] and found["hours"] == [None, None]
