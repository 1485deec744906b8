"""Numbers have ranges and meanings, Axolotl's too; the keys of a run's course go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from kormo_plugins.errors import KormoError, each
from kormo_plugins.recipe.checks.axolotl_keys.fate_table import TABLE
from kormo_plugins.recipe.checks.ranges import GENERATION, RANGES, Range, out_of_range
from kormo_plugins.recipe.load import load_recipe, warnings_of
from kormo_plugins.recipe.schema.axolotl import axolotl_keys

ROOT = Path(__file__).parents[2]


def child(folder: Path, text: str) -> Path:
    """A child of the quick start with some lines."""
    path = folder / "mine.yml"
    start = f"extends: {ROOT}/recipes/pretrain.yml\nplugins: [kormo_plugins.KormoPlugin]\n"
    path.write_text(start + text, encoding="utf-8")
    return path


def refused(folder: Path, text: str) -> dict[str, KormoError]:
    """Dotted key -> what is wrong with it; empty for a sound recipe."""
    try:
        load_recipe(child(folder, text))
    except KormoError as error:
        return {fault.where.partition(": ")[2]: fault for fault in each(error)}
    return {}


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("learning_rate: -1", ""), ("learning_rate: .nan", ""), ("learning_rate: .inf", ""), ("learning_rate: 0", ""),
        ("warmup_ratio: 7", ""), ("warmup_ratio: -0.1", ""), ("adam_beta1: 1.0", ""), ("adam_beta2: 2", ""),
        ("adam_epsilon: 0", ""), ("save_steps: 0", ""), ("save_steps: -5", ""), ("save_steps: 2.5", ""),
        ("logging_steps: -3", ""), ("logging_steps: 0", ""), ("weight_decay: -5", ""), ("max_grad_norm: -1", ""),
        ("kormo: {tokens: null}\nmax_steps: 0", "max_steps"), ("kormo: {tokens: null}\nmax_steps: -1", "max_steps"),
        ("seed: -1", ""), ("seed: 4294967296", ""), ("micro_batch_size: -2", ""), ("micro_batch_size: 0", ""),
        ("sequence_len: 1", ""), ("sequence_len: -512", ""), ("save_total_limit: 0", ""),
        ("dataloader_num_workers: -1", ""), ("dataloader_prefetch_factor: 2", ""),
        ("kormo: {generation: {temperature: -3}}", "kormo.generation.temperature"),
        ("kormo: {generation: {top_p: 1.5}}", "kormo.generation.top_p"),
        ("kormo: {generation: {do_sample: false}}", "kormo.generation.temperature"),
        ("kormo: {generation: {temprature: 1}}", "kormo.generation.temprature"),
        ("kormo: {collator: {ignore_tokens: [nosuch]}}", "kormo.collator.ignore_tokens"),
        ("kormo: {tokenizer: {train: {megabytes: 1e30}}}", "kormo.tokenizer.train.megabytes"),
        ("warmup_steps: 2", ""), ("warmup_ratio: null\nwarmup_steps: 161", "warmup_steps"),
        ("early_stopping_patience: 2", ""), ("save_strategy: epoch", ""), ("save_strategy: best", ""),
        ("save_strategy: never", ""), ("save_strategy: no", ""),
        ("save_steps: null\nsave_strategy: steps", "save_strategy"),
        ("lr_scheduler_kwargs: {num_decay_steps: many}", "lr_scheduler_kwargs.num_decay_steps"),
        ("lr_scheduler_kwargs: {num_decay_step: 3}", "lr_scheduler_kwargs.num_decay_step"),
        ("lr_scheduler_kwargs: {num_decay_steps: -3}", "lr_scheduler_kwargs.num_decay_steps"),
        ("lr_scheduler: cosine", "lr_scheduler_kwargs.num_decay_steps"),
        ("lr_scheduler: reduce_lr_on_plateau", "lr_scheduler"), ("lr_scheduler_kwargs: 3", "lr_scheduler_kwargs"),
        ("kormo: {precision: {weights: bfloat16}}", "kormo.precision"), ("bf16: full", ""), ("tf32: true", ""),
        ("output_dir: ${NO_SUCH_FOLDER_9}/x", "output_dir"), ("wandb_name: '${USER}'", "wandb_name"),
    ],
)  # fmt: skip
def test_a_number_without_a_meaning_is_refused_by_its_key(line: str, key: str, tmp_path: Path) -> None:
    assert (key or line.partition(":")[0]) in refused(tmp_path, line + "\n")


@pytest.mark.parametrize(
    "text",
    [
        "learning_rate: 1e-3\nweight_decay: 0\nmax_grad_norm: 0\n", "warmup_ratio: 0\n", "warmup_ratio: 1\n",
        "warmup_ratio: null\nwarmup_steps: 160\n", "save_steps: 0.5\n", "seed: 4294967295\n",
        "save_steps: null\nsave_strategy: 'no'\n", "kormo: {samples: null}\n", "kormo: {generation: {}}\n",
        "lr_scheduler: cosine\nlr_scheduler_kwargs: null\n", "lr_scheduler: cosine\nlr_scheduler_kwargs: {}\n",
        "lr_scheduler: linear\nlr_scheduler_kwargs: {num_decay_steps: null, min_lr_ratio: null}\n",
        "kormo: {collator: {ignore_tokens: ['<think>']}}\n",
        "dataloader_num_workers: 2\ndataloader_prefetch_factor: 2\n",
        "kormo: {tokenizer: {train: {shares: {}}}}\n",
    ],
)  # fmt: skip
def test_a_number_with_a_meaning_is_taken(text: str, tmp_path: Path) -> None:
    assert refused(tmp_path, text) == {}


KOREAN = "{language: ko, generator: {name: embedded, language: ko, megabytes: 0.1}}"


@pytest.mark.parametrize(
    ("more", "shares", "bad"),
    [
        ("", "{ja: 1}", {"ja"}), ("", "{ko: 1, en: 1}", {"en"}), ("", "{ko: 1}", set()), ("", "{}", set()),
        ("steps: [{name: language}]\n", "{ja: 1}", set()),
    ],
)  # fmt: skip
def test_a_share_of_a_language_that_no_source_has(more: str, shares: str, bad: set[str], tmp_path: Path) -> None:
    data = f"sources: {{made: {KOREAN}}}\nmixture: {{name: weighted}}\n{more}"
    (tmp_path / "data.yml").write_text(data, encoding="utf-8")
    (tmp_path / "tokenizer.yml").write_text(f"name: kormo_bpe\nshares: {shares}\n", encoding="utf-8")
    faults = refused(tmp_path, "kormo: {data: data.yml, tokenizer: {train: tokenizer.yml}}\n")
    assert {key.rpartition(".")[2] for key in faults} == bad


def test_all_faults_of_a_recipe_are_in_one_report(tmp_path: Path) -> None:
    text = "learning_rte: 1\nseed: x\nwarmup_ratio: 7\nval_set_size: 0.5\nkormo: {globl_batch: 3, role: bose}\n"
    faults = refused(tmp_path, text)
    assert list(faults) == sorted(faults)
    assert set(faults) == {
        "learning_rte", "seed", "warmup_ratio", "val_set_size", "kormo.globl_batch", "kormo.role",
    }  # fmt: skip


def test_what_is_probably_not_meant_is_a_warning(tmp_path: Path) -> None:
    recipe = load_recipe(child(tmp_path, "save_steps: null\nlr_scheduler_kwargs: {num_decay_steps: 500}\n"))
    places = {warning.where.partition(": ")[2] for warning in warnings_of(recipe)}
    assert places == {"save_steps", "lr_scheduler_kwargs.num_decay_steps"}


def test_only_keys_that_exist_have_a_range() -> None:
    view = axolotl_keys()
    assert RANGES.keys() <= TABLE.keys() and RANGES.keys() <= set(view.keys)
    assert GENERATION.keys() <= view.generation
    assert view.schedules["warmup_stable_decay"]["num_decay_steps"] == "integer"
    assert view.schedules["polynomial"]["lr_end"] == "number"


@pytest.mark.parametrize(
    ("wanted", "inside", "outside"),
    [
        (Range(0, 1), (0, 1, 0.5), (-1e-9, 1.1, float("nan"))),
        (Range(0, without_low=True), (1e-300,), (0, -1, float("nan"))),
        (Range(1, 9, without_high=True, also=(-1,)), (1, -1, 8.9), (9, 0)),
    ],
)
def test_ranges(wanted: Range, inside: tuple[float, ...], outside: tuple[float, ...]) -> None:
    assert all(number in wanted for number in inside)
    assert not any(number in wanted for number in outside)
    assert str(wanted).startswith(("at least", "above"))


def test_the_quick_start_is_in_range() -> None:
    assert not list(out_of_range(load_recipe(ROOT / "recipes/pretrain.yml").resolved))
