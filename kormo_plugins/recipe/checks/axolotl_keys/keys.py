"""Checks the Axolotl keys of a recipe: that each is known, and that its value has the right type.

Axolotl silently drops unknown keys, at any depth. Here they are errors that suggest the nearest name, based on the
cached schema of the installed Axolotl, which is not imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kormo_plugins.errors import KormoError, closest
from kormo_plugins.recipe.files.resolve import COMMAND_LINE, Resolved
from kormo_plugins.recipe.schema.axolotl import SchemaView
from kormo_plugins.recipe.schema.axolotl_plugins import OURS, is_registered
from kormo_plugins.recipe.schema.json_types import Fault, faults
from kormo_plugins.recipe.schema.kormo_block import KormoBlock

MEANT = {
    "torch_dtype": "use kormo.precision",
    "dtype": "use kormo.precision",
    "precision": "write it below `kormo:`",
    "global_batch_size": "use kormo.global_batch, in rows",
    "tokens_per_step": "use kormo.global_batch, in rows",
    "data": "write it below `kormo:`",
    "tokenizer": "write it below `kormo:`",
    "architecture": "write it below `kormo:`",
    "max_seq_len": "use sequence_len",
    "per_device_train_batch_size": "use micro_batch_size",
}
"""Keys of other training programs, and their names here."""

PLUGIN_OF = {
    "cut_cross_entropy": "axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin",
}
"""Prefixes of keys that only an Axolotl plugin knows, and the plugin to list."""


def listed_plugins(resolved: Resolved) -> list[str]:
    """The Axolotl plugins that a recipe lists.

    Raises:
        KormoError: `plugins` is no list of names, or Axolotl finds our plugin neither there nor by its entry point.
    """
    plugins = resolved.get("plugins")
    if plugins is not None and not (isinstance(plugins, list) and all(isinstance(name, str) for name in plugins)):
        raise KormoError(
            where=resolved.where("plugins"),
            found=f"plugins: {shown(plugins)}",
            why="it must be a list of class names",
            do=f"write plugins: [{OURS[0]}]",
        )
    if not is_registered(plugins or ()):
        raise KormoError(
            where=resolved.where("plugins"),
            found=f"plugins: {plugins!r}" if plugins else "nothing",
            why="without it Axolotl does not load kormo-plugins and silently drops the `kormo:` block",
            do=f"add {OURS[0]} to plugins",
        )
    return list(plugins or ())


def key_faults(
    values: Mapping[str, object], view: SchemaView, resolved: Resolved | None = None
) -> Iterator[KormoError]:
    """Errors in a recipe outside the `kormo` block: unknown keys at any depth, and values of the wrong type.

    Args:
        values: the resolved recipe.
        view: what Axolotl and the recipe's plugins accept.
        resolved: knows which file set a key; without it, messages name only the key.
    """
    part = {key: value for key, value in values.items() if key != "kormo"}
    for fault in faults(part, view.schema, view.definitions):
        if _option(fault, view, resolved) or _prefixed(fault):
            continue
        where = resolved.where(fault.key) if resolved else fault.key
        if fault.expected:
            near = closest(str(fault.value), fault.known, "give a value of that kind")
            yield KormoError(where=where, found=shown(fault.value), why=f"{fault.expected} is expected here", do=near)
            continue
        name = fault.key.rsplit(".", 1)[-1]
        yield KormoError(
            where=where,
            found=f"the key {name!r}",
            why="Axolotl does not know it and would silently drop it",
            do=_meant(name, fault, view),
        )


def _meant(name: str, fault: Fault, view: SchemaView) -> str:
    if name == fault.key and name in MEANT:
        return f"replace it: {MEANT[name]}"
    if name == fault.key and name.startswith("liger_"):
        return "remove it, and select the kernels once: `kormo: {kernels: [{name: liger}]}`"
    for beginning, plugin in PLUGIN_OF.items():
        if name == fault.key and name.startswith(beginning) and not any(k.startswith(beginning) for k in view.keys):
            return f"list {plugin} under `plugins`"
    near = closest(name, [*fault.known, *(("kormo",) if name == fault.key else ())])
    if near or name != fault.key:
        return near or f"remove it; the keys here are: {', '.join(fault.known[:12])}"
    if name in KormoBlock.model_fields:
        return "move it below `kormo:`"
    return closest(name, KormoBlock.model_fields) or "remove it, or list the plugin that reads it under `plugins`"


def _option(fault: Fault, view: SchemaView, resolved: Resolved | None) -> bool:
    """Axolotl writes options of its commands (`--debug`) into the configuration, where they are no keys."""
    if fault.expected or fault.key not in view.command_line:  # a key with a value of the wrong type is no option
        return False
    return resolved is not None and resolved.origin(fault.key) == COMMAND_LINE


def _prefixed(fault: Fault) -> bool:
    """Axolotl also accepts `fsdp_config` keys with their old prefix."""
    block, _, name = fault.key.partition(".")
    return block == "fsdp_config" and name.startswith("fsdp_") and name.removeprefix("fsdp_") in fault.known


def shown(value: object) -> str:
    """A value in YAML, truncated to the length of a line."""
    text = {True: "true", False: "false", None: "null"}.get(value) if isinstance(value, (bool, type(None))) else None
    text = text or repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
