"""Compares recipes as flat mappings: what a recipe changes of its parent, and where several differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kormo_plugins.reporting.run import Run

APART = (
    "output_dir",
    "logging_steps",
    "plugins",
    "extends",
    "axolotl_config_path",
    "wandb_name",
    "wandb_project",
    "kormo.workspace",
    "save_steps",
    "save_total_limit",
)
"""Keys of names, folders and logging, which do not affect training."""


def changes(changed: Mapping[str, Sequence[object]]) -> list[tuple[str, object, object]]:
    """Key, parent's value and new value of everything that a recipe changes."""
    return [(key, before, now) for key, (before, now) in changed.items()]


def differences(runs: Sequence[Run]) -> list[tuple[str, list[object]]]:
    """Every key that differs between the recipes, with its value in each; except names and folders."""
    flats = [flat(run.recipe) for run in runs]
    keys = dict.fromkeys(key for one in flats for key in one)
    rows = []
    for key in keys:
        values = [one.get(key) for one in flats]
        if key not in APART and any(value != values[0] for value in values[1:]):
            rows.append((key, values))
    return rows


def flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Flattens nested mappings to dotted keys; lists are values."""
    flattened: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flattened |= flat(value, f"{prefix}{key}.")
        else:
            flattened[f"{prefix}{key}"] = value
    return flattened
