"""A recipe's DeepSpeed configuration is found from anywhere and checked before anything is built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.checks.devices.deepspeed import OFFLOAD, TOP, ZERO, deepspeed_config, zero_stage
from kormo_plugins.recipe.files.resolve import resolve

CONFIGS = sorted((Path(__file__).parents[2] / "recipes/deepspeed").glob("*.json"))


def _resolved(folder: Path, value: Any) -> Any:
    (folder / "recipe.yml").write_text(json.dumps({"deepspeed": value}))
    return resolve(folder / "recipe.yml")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_shipped_ones_are_sound(tmp_path: Path, path: Path) -> None:
    config = deepspeed_config(_resolved(tmp_path, str(path)))
    assert zero_stage(config) == int(path.stem[4])
    assert ("offload" in path.stem) == ("offload_optimizer" in config["zero_optimization"])


def test_it_is_looked_for_beside_the_recipe_and_then_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    config = json.loads(CONFIGS[0].read_text())
    (tmp_path / "there" / "ds.json").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path / "here")
    assert deepspeed_config(_resolved(tmp_path / "there", "ds.json")) == config
    (tmp_path / "there" / "ds.json").rename(tmp_path / "here" / "ds.json")
    assert deepspeed_config(_resolved(tmp_path / "there", "ds.json")) == config
    with pytest.raises(KormoError, match="no such file"):
        deepspeed_config(_resolved(tmp_path / "there", "other.json"))


def test_a_child_in_another_folder_inherits_the_path(tmp_path: Path) -> None:
    (tmp_path / "ds.json").write_text(CONFIGS[0].read_text())
    _resolved(tmp_path, "ds.json")
    (tmp_path / "child").mkdir()
    (tmp_path / "child" / "recipe.yml").write_text("extends: ../recipe.yml\n")
    assert deepspeed_config(resolve(tmp_path / "child" / "recipe.yml"))


@pytest.mark.parametrize(
    ("change", "where", "fix"),
    [
        ({"zero_optimisation": {}}, "zero_optimisation", "zero_optimization"),
        ({"gradient_acumulation_steps": "auto"}, "gradient_acumulation_steps", "gradient_accumulation_steps"),
        ({"zero_optimization": {"stage": 2, "overlap_com": True}}, "overlap_com", "overlap_comm"),
        ({"zero_optimization": {"stage": 3}}, "stage3_gather_16bit_weights_on_model_save", "true"),
        ({"zero_optimization": {"stage": 0}}, "stage", "1, 2 or 3"),
        ({"zero_optimization": {"stage": 2, "offload_optimizer": {"devise": "cpu"}}}, "devise", "device"),
        ({"train_batch_size": 32}, "train_batch_size", "auto"),
        ({"optimizer": {"type": "AdamW"}}, "optimizer", "remove"),
        ({"bf16": {"enabled": True}}, "bf16.enabled", "auto"),
        ({"checkpoint": {"load_universal": True}}, "load_universal", "remove"),
    ],
)
def test_what_would_be_ignored_or_contradict_is_refused(
    tmp_path: Path, change: dict[str, Any], where: str, fix: str
) -> None:
    config = {"zero_optimization": {"stage": 2}, **change}
    with pytest.raises(KormoError) as error:
        deepspeed_config(_resolved(tmp_path, config))
    assert where in error.value.where and fix in error.value.do


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "ds.json").write_text("{ // comment\n}")
    with pytest.raises(KormoError, match="not JSON"):
        deepspeed_config(_resolved(tmp_path, "ds.json"))


def test_our_lists_are_deepspeeds() -> None:
    """A canary: what DeepSpeed's own models accept."""
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
    from deepspeed.runtime.zero.offload_config import (
        DeepSpeedZeroOffloadOptimizerConfig,
        DeepSpeedZeroOffloadParamConfig,
    )

    fields = DeepSpeedZeroConfig.model_fields.items()
    deprecated = {
        name for name, field in fields if isinstance(field.json_schema_extra, dict)
        and field.json_schema_extra.get("deprecated")
    }  # fmt: skip
    names = {field.alias or name for name, field in fields if name not in deprecated}
    assert names == ZERO
    offload = DeepSpeedZeroOffloadOptimizerConfig.model_fields.keys() | DeepSpeedZeroOffloadParamConfig.model_fields
    assert set(offload) == OFFLOAD
    source = Path(__import__("deepspeed").__file__).parent
    text = "".join(
        path.read_text() for path in source.glob("**/*.py") if "constants" in path.name or "config" in path.name
    )
    assert not {key for key in TOP if f'"{key}"' not in text and f"'{key}'" not in text}
