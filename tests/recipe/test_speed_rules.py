"""Float8, checkpointed layers and Muon: what belongs together, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.recipe.checks.devices.speed_rules import (
    checkpointed_layers_are_checkpointed,
    float8_is_compiled,
    matrices_are_whole,
)
from kormo_plugins.recipe.checks.rules import RULES
from kormo_plugins.recipe.cost.machine import Machine
from kormo_plugins.recipe.cost.plan import plan
from kormo_plugins.recipe.files.resolve import resolve
from kormo_plugins.recipe.load import load_recipe

BASE = Path("recipes/1b/pretrain.yml")
ZERO = "recipes/deepspeed/zero2.json"


@pytest.mark.parametrize(
    ("values", "rule", "says"),
    [
        ({"kormo": {"precision": {"compute": "float8"}}}, float8_is_compiled, "without torch_compile"),
        ({"kormo": {"precision": {"compute": "float8"}}, "torch_compile": True}, float8_is_compiled, None),
        ({"kormo": {"checkpointed_layers": 4}}, checkpointed_layers_are_checkpointed, "without gradient_checkpointing"),
        (
            {"kormo": {"checkpointed_layers": 4}, "gradient_checkpointing": True},
            checkpointed_layers_are_checkpointed,
            None,
        ),
        ({"optimizer": "muon"}, matrices_are_whole, None),
        ({"optimizer": "muon", "deepspeed": ZERO}, matrices_are_whole, "muon with DeepSpeed"),
        ({"optimizer": "muon", "fsdp_config": {"fsdp_version": 2}}, matrices_are_whole, "muon with FSDP"),
        ({"optimizer": "adamw_torch_fused", "deepspeed": ZERO}, matrices_are_whole, None),
    ],
)
def test_what_belongs_together(values: dict[str, Any], rule: Any, says: str | None) -> None:
    assert rule in RULES
    faults = [fault.render() for fault in rule(resolve(BASE, values))]
    assert (len(faults) == 1 and says in faults[0]) if says else not faults


def test_float8_is_a_precision_of_products_alone() -> None:
    """Everything that is kept, sent and switched is as in bfloat16."""
    said = {"kormo": {"precision": {"compute": "float8"}}, "torch_compile": True}
    recipe, plain = load_recipe(BASE, said), load_recipe(BASE)
    ours, theirs = (plan(one, Machine(8, "h100")) for one in (recipe, plain))
    assert ours.memory == theirs.memory and ours.flops == theirs.flops
