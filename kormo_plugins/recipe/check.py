"""Is this recipe what its author meant? Every key known, every value of its kind, no contradiction.

Four looks, each stopping at the first fault: the file itself (`extends` needs our plugin), our block against
the models of the installed components, Axolotl's part against the cached schema, the rules across keys. With
`full`, Axolotl's own validators as well; only they import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kormo_plugins.errors import KormoError, closest
from kormo_plugins.recipe.axolotl_schema import OURS, SchemaView, axolotl_keys
from kormo_plugins.recipe.json_types import Fault, faults
from kormo_plugins.recipe.load import Recipe, load_recipe
from kormo_plugins.recipe.resolve import COMMAND_LINE, EXTENDS, Resolved, resolve_data
from kormo_plugins.recipe.rules import RULES
from kormo_plugins.recipe.yaml_file import read_yaml
from kormo_plugins.registry import registry

ToAxolotl = Callable[[Recipe], dict[str, Any]]

MEANT = {
    "torch_dtype": "say it under kormo.precision",
    "dtype": "say it under kormo.precision",
    "precision": "it belongs below `kormo:`",
    "global_batch_size": "it is kormo.global_batch, in rows",
    "tokens_per_step": "it is kormo.global_batch, in rows",
    "data": "it belongs below `kormo:`",
    "tokenizer": "it belongs below `kormo:`",
    "architecture": "it belongs below `kormo:`",
    "max_seq_len": "it is sequence_len",
    "per_device_train_batch_size": "it is micro_batch_size",
}
"""Keys of other programs, and what they are called here."""

PLUGIN_OF = {
    "liger_": "axolotl.integrations.liger.LigerPlugin",
    "cut_cross_entropy": "axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin",
}
"""Beginnings of keys that only an Axolotl plugin knows, and the plugin to list."""


@dataclass(frozen=True)
class Report:
    """What was looked at and found in order.

    Args:
        path: the recipe.
        kind: `recipe` or `dataset recipe`.
        files: every file that was read.
        keys: number of values that were checked.
        full: Axolotl's own validators ran too.
    """

    path: Path
    kind: str
    files: list[Path]
    keys: int
    full: bool


def validate(
    path: Path | str, overrides: Mapping[str, Any] | None = None, full: ToAxolotl | None = None
) -> Report:
    """Checks a recipe, or a dataset recipe by itself.

    Args:
        path: the file.
        overrides: nested mapping that wins over it, as in `resolve`.
        full: turns the recipe into Axolotl's configuration; given, Axolotl's validators run too (seconds).
    Raises:
        KormoError: the first fault.
    """
    path = Path(path)
    own = read_yaml(path)
    if "sources" in own and "kormo" not in own:
        from kormo_plugins.recipe.data import parse_data

        data = resolve_data(path, overrides)
        parse_data(data.values, registry(), lambda key: data.where(key) if key else str(path))
        return Report(path, "dataset recipe", data.files, _count(data.values), False)
    named_in_file(own, path)
    recipe = load_recipe(path, overrides)
    check_recipe(recipe)
    if full:
        check_with_axolotl(recipe.resolved, full(recipe))
    return Report(path, "recipe", recipe.resolved.files, _count(recipe.resolved.values), full is not None)


def check_recipe(recipe: Recipe) -> None:
    """Everything that a recipe can be held to besides its `kormo:` block, which `load_recipe` has checked.

    Raises:
        KormoError: the first fault.
    """
    resolved = recipe.resolved
    plugins = resolved.get("plugins")
    names = [name for name in plugins if isinstance(name, str)] if isinstance(plugins, list) else []
    if not set(names) & set(OURS):
        raise KormoError(
            resolved.where("plugins"),
            f"plugins: {plugins!r}" if plugins else "nothing",
            "Axolotl would not load us and would drop the `kormo:` block in silence",
            f"add {OURS[0]} to plugins",
        )
    check_keys(resolved.values, axolotl_keys(names), resolved)
    check_tokenizer(recipe)
    for rule in RULES:
        rule(resolved)


def named_in_file(own: Mapping[str, Any], path: Path) -> None:
    """A file that says `extends` must itself name our plugin: Axolotl reads this file only.

    Raises:
        KormoError: it does not.
    """
    plugins = own.get("plugins")
    named = {plugins} if isinstance(plugins, str) else {p for p in plugins or () if isinstance(p, str)}
    if EXTENDS in own and not named & set(OURS):
        raise KormoError(
            f"{path}: {EXTENDS}", f"{EXTENDS}: {own[EXTENDS]!r} in a file that does not list our plugin",
            f"Axolotl would not load us, drop {EXTENDS} in silence and train from what is left",
            f"add `plugins: [{OURS[0]}]` to this file (those of the files it extends are kept)",
        )  # fmt: skip


def check_keys(values: Mapping[str, Any], view: SchemaView, resolved: Resolved | None = None) -> None:
    """Axolotl's part of a recipe, `kormo` left out: unknown keys at any depth, then values of the wrong kind.

    Args:
        values: the resolved recipe.
        view: what Axolotl and the recipe's plugins accept.
        resolved: knows which file set a key; without it messages name the key alone.
    Raises:
        KormoError: the first unknown key, else the first wrong value.
    """
    part = {key: value for key, value in values.items() if key != "kormo"}
    found = [f for f in faults(part, view.schema, view.definitions) if not _option(f, view, resolved)]
    found = [fault for fault in found if not _prefixed(fault)]
    for fault in sorted(found, key=lambda fault: bool(fault.expected)):
        where = resolved.where(fault.key) if resolved else fault.key
        if fault.expected:
            raise KormoError(
                where, _shown(fault.value), f"it should be {fault.expected}", "give a value of that kind"
            )
        name = fault.key.rsplit(".", 1)[-1]
        raise KormoError(
            where, f"the key {name!r}", "Axolotl does not know it and would drop it in silence",
            _meant(name, fault, view),
        )  # fmt: skip


def _meant(name: str, fault: Fault, view: SchemaView) -> str:
    if name == fault.key and name in MEANT:
        return f"remove it: {MEANT[name]}"
    for beginning, plugin in PLUGIN_OF.items():
        if (
            name == fault.key
            and name.startswith(beginning)
            and not any(k.startswith(beginning) for k in view.keys)
        ):
            return f"list {plugin} under `plugins`"
    from kormo_plugins.recipe.schema import KormoBlock

    near = closest(name, [*fault.known, *(("kormo",) if name == fault.key else ())])
    if near or name != fault.key:
        return near or f"remove it; the keys here are: {', '.join(fault.known[:12])}"
    if name in KormoBlock.model_fields:
        return "move it below `kormo:`"
    return (
        closest(name, KormoBlock.model_fields)
        or "remove it, or list the plugin that reads it under `plugins`"
    )


def _option(fault: Fault, view: SchemaView, resolved: Resolved | None) -> bool:
    """Axolotl writes options of its commands (`--debug`) into the configuration, where they are no keys."""
    return (
        fault.key in view.command_line and resolved is not None and resolved.origin(fault.key) == COMMAND_LINE
    )


def _prefixed(fault: Fault) -> bool:
    """Axolotl takes `fsdp_config` keys with their old prefix too."""
    block, _, name = fault.key.partition(".")
    return block == "fsdp_config" and name.startswith("fsdp_") and name.removeprefix("fsdp_") in fault.known


def check_tokenizer(recipe: Recipe) -> None:
    """The parameters of a tokenizer that is trained.

    Raises:
        KormoError: no name, an unknown one, or parameters that it does not take.
    """
    choice = recipe.block.tokenizer
    if choice is None or choice.train is None:
        return
    values = dict(choice.train)
    name = values.pop("name", None)
    where = recipe.resolved.where("kormo.tokenizer.train")
    if not isinstance(name, str):
        raise KormoError(
            where,
            f"name: {_shown(name)}",
            "`name` says which tokenizer is trained",
            f"set it to one of: {', '.join(recipe.registry.names('tokenizer')) or 'none is installed'}",
        )
    recipe.registry.params("tokenizer", name, values, where)


def check_with_axolotl(resolved: Resolved, values: dict[str, Any]) -> None:
    """Axolotl's own validators on the configuration that it would get (imports Axolotl and torch).

    The checks of this machine's GPU are left out: a recipe for eight GPUs can be validated on a laptop.

    Raises:
        KormoError: what they refuse.
    """
    from axolotl.integrations.base import PluginManager
    from axolotl.utils.config import validate_config
    from axolotl.utils.dict import DictDefault
    from pydantic import ValidationError

    manager = PluginManager.get_instance()
    for name in values.get("plugins") or ():
        manager.register(name)  # loads it, so that its arguments are part of the model; its hooks do not run
    try:
        validate_config(DictDefault(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise KormoError(
            resolved.where(key) if key else str(resolved.path),
            _shown(first["input"]) if key else "a combination of keys that Axolotl refuses",
            first["msg"].removeprefix("Value error, "), "change what the message names",
        ) from None  # fmt: skip
    except (ValueError, DeprecationWarning, ImportError) as error:
        raise KormoError(str(resolved.path), "a combination of keys that Axolotl refuses", str(error),
                         "change what the message names") from None  # fmt: skip


def _shown(value: Any) -> str:
    text = (
        {True: "true", False: "false", None: "null"}.get(value)
        if isinstance(value, (bool, type(None)))
        else None
    )
    text = text or repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _count(value: Any) -> int:
    return sum(_count(child) for child in value.values()) if isinstance(value, Mapping) else 1
