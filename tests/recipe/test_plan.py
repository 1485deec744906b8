"""`kormo recipe plan`: the numbers of published shapes, and that its advice, followed, does what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kormo_plugins.cli.main import cli
from kormo_plugins.experiments.chain.spec import load_chain
from kormo_plugins.recipe.cost.machine import Machine
from kormo_plugins.recipe.cost.plan import plan
from kormo_plugins.recipe.cost.setup import zero_of
from kormo_plugins.recipe.files.override import with_changes
from kormo_plugins.recipe.load import load_recipe

ROOT = Path(__file__).parents[2]
PARTS = ("weights", "gradients", "optimizer", "activations", "logits", "total")


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def told(*words: str) -> Any:
    """What `kormo recipe plan … --json` prints."""
    result = CliRunner().invoke(cli, ["recipe", "plan", *words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_full_size_in_numbers() -> None:
    found = told("recipes/10b/pretrain.yml", "--gpus", "128", "--gpu", "h200", "--mfu", "0.5")
    assert found["parameters"] == 10_756_624_384  # published
    assert found["tokens_per_step"] == 2048 * 4096
    assert (found["steps"], found["tokens"]) == (119_210, 119_210 * 2048 * 4096)
    assert (found["global_batch"], found["accumulation"]) == (2048, 8)
    matrices = 10_756_624_384 - 125_184 * 4096 - 81 * 4096  # less the input embedding and the norms
    assert found["flops"] == (6 * matrices + 12 * 40 * 4096 * 4096) * found["tokens"]
    assert found["hours"] == pytest.approx(found["flops"] / (128 * 989.4e12 * 0.5) / 3600)
    memory = found["memory_per_gpu_gb"]
    assert set(PARTS) < set(memory)
    assert memory["weights"] == pytest.approx(2 * 10.756624384 / 128)
    assert memory["optimizer"] == pytest.approx(12 * 10.756624384 / 128)
    assert memory["gradients"] == pytest.approx(4 * 10.756624384 / 128)
    assert memory["total"] == pytest.approx(sum(value for part, value in memory.items() if part != "total"))
    assert found["fits"] is True and found["advice"] == []


def test_advice_that_is_followed_fits(tmp_path: Path) -> None:
    for recipe, gpus, gpu in (("recipes/1b/pretrain.yml", 8, "l40s"), ("recipes/10b/pretrain.yml", 64, "h100")):
        machine = Machine(gpus, gpu)
        plain = with_changes(Path(recipe), {"kormo.kernels": []}, tmp_path / "plain.yml")
        before = plan(load_recipe(plain), machine)
        assert not before.fits and before.advice
        followed = 0
        for change in before.advice:
            files = [value for value in change["set"].values() if isinstance(value, str) and value.endswith(".json")]
            if not all(Path(file).is_file() for file in files):
                continue
            after = plan(load_recipe(with_changes(plain, change["set"], tmp_path / "x.yml")), machine)
            assert after.memory.total / 1e9 == pytest.approx(change["total_gb"], rel=1e-3), change
            assert after.fits == change["fits"]
            followed += 1
        assert followed >= 2


def test_batches_of_preference_learning_are_counted_in_pairs() -> None:
    found = told("recipes/10b/dpo.yml", "--gpus", "64")
    assert (found["global_batch"], found["micro_batch_size"], found["accumulation"]) == (128, 1, 2)
    assert found["tokens_per_step"] == 128 * 2 * 4096
    assert told("recipes/10b/dpo.yml", "--gpus", "128")["accumulation"] == 1
    assert "128 pairs of texts" in CliRunner().invoke(cli, ["recipe", "plan", "recipes/10b/dpo.yml"]).stdout
    refused = CliRunner().invoke(cli, ["recipe", "plan", "recipes/10b/dpo.yml", "--gpus", "256"])
    assert refused.exit_code == 2 and "128 pairs, with micro_batch_size 1 on 256 ranks" in refused.stderr


@pytest.mark.parametrize("size", ["1b", "10b"])
def test_each_large_recipe_fits_and_looks_at_its_model_now_and_then(size: str) -> None:
    """On GPUs of 80 GB: 16 for the 10B's pretraining, 1 for adapters, else 8."""
    for path in sorted(Path("recipes", size).glob("*.yml")):
        recipe = load_recipe(path)
        gpus = 1 if "qlora" in path.name else 16 if size == "10b" and path.name.startswith("pretrain") else 8
        assert plan(recipe, Machine(gpus, "h100")).fits, path
        monitor, batch = recipe.block.monitor, recipe.block.global_batch
        assert monitor is not None and batch is not None
        assert monitor.steps_between(batch * recipe.sequence_len) >= 100, f"{path}: nano's interval"


def test_the_chain_of_the_full_size_fits_on_eight_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kormo_plugins.experiments.chain.spec.identity_inputs", lambda recipe: {})
    for stage in load_chain(Path("recipes/chains/10b.yml")).stages:
        assert plan(stage.recipe, Machine(8, "h100")).fits, stage.name


def test_the_shipped_zero_files_are_understood() -> None:
    for path in sorted((ROOT / "recipes" / "deepspeed").glob("*.json")):
        zero = zero_of(json.loads(path.read_text(encoding="utf-8")))
        assert f"zero{zero.stage}" in path.name
        assert zero.offload_optimizer == ("offload" in path.name)
        assert zero.gradient_bytes == 4 and zero.sent > 0


def test_a_later_stage_takes_its_size_from_the_recipe_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = with_changes(Path("recipes/pretrain.yml"), {"output_dir": "runs/first"}, tmp_path / "first.yml")
    drop = {"kormo.architecture": None, "kormo.tokenizer": None, "kormo.from_run": "runs/first", "output_dir": "b"}
    second = with_changes(Path("recipes/pretrain.yml"), drop, tmp_path / "second.yml")
    monkeypatch.chdir(tmp_path)
    machine = Machine(1, "cpu")
    assert plan(load_recipe(second), machine).model == plan(load_recipe(first), machine).model
    first.unlink()
    result = CliRunner().invoke(cli, ["recipe", "plan", str(second)])
    assert result.exit_code == 2 and "train the stage before" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["recipes/pretrain.yml", "--gpus", "3"], "3 ranks"),
        (["recipes/pretrain.yml", "--gpu", "h10"], "Did you mean"),
        (["recipes/pretrain.yml", "--mfu", "1.5"], "--mfu 1.5"),
        (["recipes/pretrain.yml", "--gpus", "0"], "--gpus 0"),
    ],
)
def test_bad_input_is_told(words: list[str], said: str) -> None:
    result = CliRunner().invoke(cli, ["recipe", "plan", *words])
    assert result.exit_code == 2 and said in result.stderr and result.stdout == ""


def test_the_text_says_whether_it_fits() -> None:
    result = CliRunner().invoke(cli, ["recipe", "plan", "recipes/10b/pretrain.yml", "--gpus", "8"])
    assert "It does not fit" in result.stdout and "gradient_checkpointing: true" in result.stdout
    assert "It fits." in CliRunner().invoke(cli, ["recipe", "plan", "recipes/pretrain.yml"]).stdout
