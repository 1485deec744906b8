"""Is this recipe what its author meant? What `kormo recipe validate` runs, and what it tells.

`load_recipe` checks all that Axolotl will see; here come what only a file can be asked (a child that says `extends`
must itself name our plugin), dataset and tokenizer recipes by themselves, and, on demand, Axolotl's own validators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kormo_plugins.errors import Faults, KormoError, Notice
from kormo_plugins.plugins.registry import registry
from kormo_plugins.recipe.checks.axolotl_keys.keys import shown
from kormo_plugins.recipe.checks.devices.machine import not_ready
from kormo_plugins.recipe.files.kinds import LISTS, list_of_recipes
from kormo_plugins.recipe.files.reader import EXTENDS
from kormo_plugins.recipe.files.resolve import Resolved, resolve_data
from kormo_plugins.recipe.files.yaml_file import read_yaml
from kormo_plugins.recipe.load import Recipe, load_recipe, warnings_of
from kormo_plugins.recipe.schema.axolotl import OURS, is_registered
from kormo_plugins.recipe.schema.dataset import parse_data

DATA_KEYS = {"sources", "steps", "packing", "mixture", "held_out"}
"""Keys by which a file is known as a dataset recipe; none of them is a key of Axolotl's."""

ToAxolotl = Callable[[Recipe], dict[str, object]]


@dataclass(frozen=True)
class Report:
    """What was looked at and found in order.

    Args:
        path: the recipe.
        kind: `recipe`, `dataset recipe` or `tokenizer recipe`.
        files: every file that was read.
        keys: number of values that were checked.
        full: Axolotl's own validators ran too.
        warnings: what is allowed and probably not meant, and what this machine lacks for a run.
    """

    path: Path
    kind: str
    files: list[Path]
    keys: int
    full: bool
    warnings: tuple[Notice, ...] = ()


def validate(path: Path | str, overrides: Mapping[str, object] | None = None, full: ToAxolotl | None = None) -> Report:
    """Checks a recipe, or a dataset or tokenizer recipe by itself.

    Args:
        path: the file.
        overrides: nested mapping that wins over it, as in `resolve`.
        full: turns the recipe into Axolotl's configuration; given, Axolotl's validators run too (seconds).
    Raises:
        KormoError: every fault, several as `KormoErrors`.
    """
    path = Path(path)
    own = read_yaml(path)
    listed = list_of_recipes(own)
    if listed:
        file = LISTS[listed]
        raise KormoError(
            where=str(path), found=file.spoken, why=file.together, do=f"run `{file.command} {path} --dry-run`"
        )
    kind = kind_of(own)
    if kind != "recipe":
        alone = resolve_data(path, overrides)
        _check_alone(kind, alone)
        return Report(path, kind, alone.files, _count(alone.values), False)
    faults, recipe = Faults(), None
    with faults.catch():
        named_in_file(own, path)
    with faults.catch():
        recipe = load_recipe(path, overrides)
    if full and recipe is not None:
        with faults.catch():
            check_with_axolotl(recipe.resolved, full(recipe))
    faults.raise_any()
    assert recipe is not None
    resolved, warnings = recipe.resolved, [*warnings_of(recipe), *map(_here, not_ready(recipe))]
    return Report(path, "recipe", resolved.files, _count(resolved.values), full is not None, tuple(warnings))


def _here(error: KormoError) -> Notice:
    """What this machine lacks: a warning, since the recipe may be meant for another one."""
    return Notice(where=error.where, found=error.found, why=f"{error.why}; a run here would be refused", do=error.do)


def kind_of(own: Mapping[str, object]) -> str:
    """What a file is, from its own keys: `recipe`, `dataset recipe` or `tokenizer recipe`."""
    if "kormo" in own or "plugins" in own:
        return "recipe"
    if DATA_KEYS & set(own):
        return "dataset recipe"
    return "tokenizer recipe" if own.get("name") in registry().names("tokenizer") else "recipe"


def _check_alone(kind: str, alone: Resolved) -> None:
    """A dataset or tokenizer recipe, as if a recipe had named it."""

    def where(key: str) -> str:
        return alone.where(key) if key else str(alone.path)

    if kind == "dataset recipe":
        parse_data(alone.values, registry(), where)
        return
    values = dict(alone.values)
    registry().params("tokenizer", values.pop("name"), values, f"{alone.path}: tokenizer recipe")


def named_in_file(own: Mapping[str, object], path: Path) -> None:
    """A file that says `extends` must itself name our plugin, where Axolotl does not find it: it reads this file only.

    Raises:
        KormoError: it does not.
    """
    plugins = own.get("plugins")
    listed = plugins if isinstance(plugins, list) else [plugins]
    if EXTENDS in own and not is_registered([name for name in listed if isinstance(name, str)]):
        raise KormoError(
            where=f"{path}: {EXTENDS}",
            found=f"{EXTENDS}: {own[EXTENDS]!r} in a file that does not list our plugin",
            why=f"Axolotl would not load us, drop {EXTENDS} in silence and train from what is left",
            do=f"add `plugins: [{OURS[0]}]` to this file (those of the files it extends are kept)",
        )


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
        if name not in manager.plugins:
            manager.register(name)  # loads it, so that its arguments are part of the model; its hooks do not run
    try:
        validate_config(DictDefault(values))
    except ValidationError as error:
        Faults(_of_axolotl(resolved, detail) for detail in error.errors()).raise_any()
    except (ValueError, DeprecationWarning, ImportError, NotImplementedError) as error:
        raise _of_axolotl(resolved, {"loc": (), "input": None, "msg": str(error)}) from None


def _of_axolotl(resolved: Resolved, detail: Any) -> KormoError:
    """A finding of Axolotl's configuration model."""
    key = ".".join(str(part) for part in detail["loc"])
    return KormoError(
        where=resolved.where(key) if key else str(resolved.path),
        found=shown(detail["input"]) if key else "a combination of keys that Axolotl refuses",
        why=detail["msg"].removeprefix("Value error, "),
        do="change what the message names",
    )


def _count(value: object) -> int:
    return sum(_count(child) for child in value.values()) if isinstance(value, Mapping) else 1
