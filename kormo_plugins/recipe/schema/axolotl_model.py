"""What Axolotl's own models and commands take, read from the installed packages: the content of a cache entry.

Imports Axolotl and torch, for seconds; `axolotl.py` runs it in a child process.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.schema.axolotl import stamp
from kormo_plugins.recipe.schema.axolotl_plugins import EVERY, arguments, arguments_if_any, is_ours, shipped
from kormo_plugins.recipe.schema.json_types import Schema, object_schema
from kormo_plugins.training.compat import variants

MODEL_MODULE = "axolotl.utils.schemas.config"


def build(plugins: Sequence[str]) -> dict[str, Any]:
    """The cache entry, from the models themselves (imports Axolotl).

    Raises:
        KormoError: a plugin cannot be imported.
    """
    from axolotl.utils.schemas.config import AxolotlInputConfig

    definitions: dict[str, Schema] = {}
    schema = object_schema(AxolotlInputConfig, definitions)
    schema.pop("required", None)  # a recipe lacks what the bridge fills in; `--full` uses Axolotl's own check
    for key, names in _closed_lists().items():
        schema["properties"][key]["anyOf"] = [{"enum": names}, {"type": "null"}]
    schema["properties"]["learning_rate"] = {"type": "number"}  # Axolotl accepts any text, and fails in the optimizer
    sources: dict[str, list[int]] = {}
    unnamed = [name for name in variants.unnamed_plugins() if not is_ours(name)]
    for plugin in dict.fromkeys([*_named(plugins), *unnamed]):
        asked_for = EVERY not in plugins and plugin in plugins
        model = arguments(plugin) if asked_for else arguments_if_any(plugin)
        if model is None:
            continue
        schema["properties"].update(object_schema(model, definitions)["properties"])
        file = sys.modules[model.__module__].__file__
        if file and not plugin.startswith("axolotl."):
            sources[file] = stamp(Path(file))
    return {
        "schema": schema,
        "definitions": definitions,
        "command_line": _options(),
        "sources": sources,
        "schedules": _schedules(),
        "generation": _generation(),
    }


def _named(plugins: Sequence[str]) -> list[str]:
    """The plugins' names, with `EVERY` expanded."""
    return [name for name in plugins if name != EVERY] + (shipped()[0] if EVERY in plugins else [])


def _closed_lists() -> dict[str, list[str]]:
    """Keys that Axolotl's model declares as text, and the names that its trainer builder accepts.

    Otherwise a misspelt optimizer would only be found after the data are built and the model is loaded.
    """
    from axolotl.utils.schemas.enums import CustomSupportedOptimizers
    from transformers.trainer_utils import SchedulerType
    from transformers.training_args import OptimizerNames

    optimizers = {name.value for group in (OptimizerNames, CustomSupportedOptimizers) for name in group}
    schedulers = {name.value for name in SchedulerType} | {"one_cycle", "rex"}
    return {"optimizer": sorted(optimizers), "lr_scheduler": sorted(schedulers)}


def _schedules() -> dict[str, dict[str, str]]:
    """The arguments of each schedule for `lr_scheduler_kwargs`, and their types.

    Otherwise a misspelt one would only fail after the data are built and the model is loaded.
    """
    from torch.optim.lr_scheduler import OneCycleLR
    from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION

    given = {"self", "optimizer", "num_warmup_steps", "num_training_steps", "last_epoch", "max_lr", "total_steps"}
    functions = {name.value: function for name, function in TYPE_TO_SCHEDULER_FUNCTION.items()}
    schedules: dict[str, dict[str, str]] = {"rex": {}}
    every: dict[str, Any] = {**functions, "one_cycle": OneCycleLR}
    for name, function in every.items():
        parameters = inspect.signature(function).parameters
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            continue  # it passes anything on
        schedules[name] = {key: _kind(parameter) for key, parameter in parameters.items() if key not in given}
    return schedules


def _kind(parameter: Any) -> str:
    """`integer`, `number` or nothing, from a parameter's annotation or default."""
    hint = str(parameter.annotation)
    if "float" in hint or (parameter.annotation is parameter.empty and isinstance(parameter.default, float)):
        return "number"
    return "integer" if re.search(r"\bint\b", hint) else ""


def _generation() -> list[str]:
    from transformers import GenerationConfig

    return sorted(name for name in vars(GenerationConfig()) if not name.startswith("_"))


def _options() -> list[str]:
    """Options of Axolotl's commands, which are written into the configuration even if they are no keys."""
    import axolotl.cli.args as arguments

    options = {"inference", "merge_lora", "launcher"}
    for item in vars(arguments).values():
        if isinstance(item, type) and dataclasses.is_dataclass(item):
            options |= {field.name for field in dataclasses.fields(item)}
    return sorted(options)


def _main(out: str, *plugins: str) -> None:
    try:
        content = build(plugins)
    except KormoError as error:
        content = {"error": [error.where, error.found, error.why, error.do]}
    Path(out).write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    _main(*sys.argv[1:])
