"""Every key of Axolotl has one of four fates under `kormo.data`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.errors import KormoError, each
from kormo_plugins.recipe.checks.axolotl_keys.fate_table import TABLE
from kormo_plugins.recipe.checks.axolotl_keys.fate_text import markdown_table
from kormo_plugins.recipe.checks.axolotl_keys.fates import Fate, Kind, refusals, warnings
from kormo_plugins.recipe.checks.validate import validate
from kormo_plugins.recipe.files.resolve import resolve
from kormo_plugins.recipe.schema.axolotl import axolotl_keys

from .kormo_recipe_stub import Write

ROOT = Path(__file__).parents[2]
OURS = ("kormo", "extends")


def test_the_table_has_every_key_of_the_installed_axolotl() -> None:
    missing = set(axolotl_keys().keys) - TABLE.keys() - set(OURS)
    assert not missing, "give each a fate in fate_table.py"


def test_a_key_that_this_axolotl_lacks_is_allowed() -> None:
    """One table serves several versions; what matters is that each row is well formed."""
    for key, fate in TABLE.items():
        assert (fate.instead != "") == (fate.kind is Kind.ELSEWHERE), key
        assert not fate.needs or fate.kind is Kind.WORKS, key
        assert fate.why or fate.kind is Kind.WORKS, key
        assert set(fate.needs) <= TABLE.keys() | {"kormo.from_run"}, key


def test_the_documentation_has_the_table() -> None:
    assert markdown_table() in (ROOT / "docs/recipes.md").read_text(encoding="utf-8"), (
        "run: kormo recipe keys --markdown, and put it into docs/recipes.md"
    )


def asked(write: Write, text: str, table: dict[str, Fate] | None = None) -> tuple[list[str], list[str]]:
    """Places of what is refused and of what is warned of."""
    resolved = resolve(write("kormo: {data: {sources: {}}}\n" + text))
    used = TABLE if table is None else table
    return [e.where for e in refusals(resolved, used)], [n.where for n in warnings(resolved, used)]


@pytest.mark.parametrize(
    "line",
    [
        "val_set_size: 0.1", "evals_per_epoch: 1", "eval_batch_size: 4", "train_on_inputs: true", "min_sample_len: 9",
        "dataset_exact_deduplication: true", "curriculum_sampling: true", "excess_length_strategy: truncate",
        "load_best_model_at_end: true", "metric_for_best_model: loss", "group_by_length: true", "lora_r: 8",
        "chat_template: llama3", "overrides_of_model_config: {rope_theta: 77}", "special_tokens: {pad_token: x}",
        "tokens: [x]", "early_stopping_patience: 2", "trust_remote_code: true", "sample_packing: true",
        "datasets: [{path: x}]", "streaming: true", "loraplus_lr_ratio: 2", "wandb_name: x", "fp8: true",
        "save_only_model: true", "lm_eval_tasks: [hellaswag]", "save_safetensors: false",
        "trainer_cls: a.B", "eval_strategy: steps",
    ],
)  # fmt: skip
def test_a_key_that_would_do_nothing_or_harm_is_refused(line: str, write: Write) -> None:
    key = line.partition(":")[0]
    assert asked(write, line + "\n") == ([f"recipe.yml: {key}"], [])
    assert asked(write, f"kormo: {{global_batch: 2}}\n{line}\n".replace("kormo: {global_batch: 2}\n", "")) != ([], [])


@pytest.mark.parametrize(
    "text",
    [
        "val_set_size: 0\n", "val_set_size: null\n", "train_on_inputs: false\n", "sample_packing: false\n",
        "chat_template: tokenizer_default\n", "eval_strategy: 'no'\n", "save_safetensors: true\n",
        "adapter: lora\nlora_r: 8\n", "use_wandb: true\nwandb_name: x\n", "wandb_project: x\nwandb_name: x\n",
        "lm_eval_tasks: []\n", "learning_rate: 1\n", "a_key_of_a_newer_axolotl: 3\n",
    ],
)  # fmt: skip
def test_what_works_or_asks_for_nothing_is_let_through(text: str, write: Write) -> None:
    assert asked(write, text) == ([], [])


def test_what_has_no_effect_and_does_no_harm_is_a_warning(write: Write) -> None:
    assert asked(write, "pad_to_sequence_len: true\n") == ([], ["recipe.yml: pad_to_sequence_len"])


def test_without_data_of_ours_they_are_axolotls_business(write: Write) -> None:
    resolved = resolve(write("kormo: {global_batch: 2}\nval_set_size: 0.1\ndatasets: [{path: x}]\n"))
    assert not list(refusals(resolved, TABLE))


def test_the_message_names_the_key_that_says_it(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yml"
    recipe.write_text(
        f"extends: {ROOT}/recipes/pretrain.yml\nplugins: [kormo_plugins.KormoPlugin]\n"
        "val_set_size: 0.1\nchat_template: llama3\nlora_r: 8\n",
        encoding="utf-8",
    )
    told = {error.where.rpartition(" ")[2]: error for error in each(_refused(recipe))}
    assert set(told) == {"val_set_size", "chat_template", "lora_r"}
    assert "kormo.monitor.held_out" in told["val_set_size"].do
    assert "kormo.tokenizer" in told["chat_template"].do
    assert "adapter" in told["lora_r"].do


def _refused(recipe: Path) -> KormoError:
    with pytest.raises(KormoError) as caught:
        validate(recipe)
    found: Any = caught.value
    assert isinstance(found, KormoError)
    return found
