"""`kormo recipe validate`: the checks that it runs, and their result.

`check_recipe` checks everything that Axolotl will see. Added here are checks of the file itself (a child with `extends`
must name our plugin), dataset and tokenizer recipes on their own, and, on request, Axolotl's own validators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kormo_plugins.corpus.comparisons import step_warnings
from kormo_plugins.errors import Faults, KormoError, Notice
from kormo_plugins.plugins.parameters import reason
from kormo_plugins.plugins.registry import registry
from kormo_plugins.recipe.checked import CheckedRecipe, check_recipe, warnings_of
from kormo_plugins.recipe.checks.axolotl_keys.keys import shown
from kormo_plugins.recipe.checks.devices.machine import not_ready
from kormo_plugins.recipe.files.environment import without_consequences
from kormo_plugins.recipe.files.kinds import LISTS, list_of_recipes
from kormo_plugins.recipe.files.reader import EXTENDS
from kormo_plugins.recipe.files.resolve import Resolved, resolve_data
from kormo_plugins.recipe.files.yaml_file import read_yaml
from kormo_plugins.recipe.schema.axolotl_plugins import OURS, is_registered
from kormo_plugins.recipe.schema.dataset import parse_data

DATA_KEYS = {"sources", "steps", "packing", "mixture", "held_out"}
"""Keys that identify a dataset recipe; none of them is an Axolotl key."""

ToAxolotl = Callable[[CheckedRecipe], dict[str, object]]


@dataclass(frozen=True)
class Report:
    """The result of a successful validation.

    Args:
        path: the recipe.
        kind: `recipe`, `dataset recipe` or `tokenizer recipe`.
        files: every file that was read.
        keys: number of values that were checked.
        full: whether Axolotl's own validators ran too.
        warnings: what is allowed but probably unintended, and what this machine lacks for a run.
    """

    path: Path
    kind: str
    files: list[Path]
    keys: int
    full: bool
    warnings: tuple[Notice, ...] = ()


def validate(path: Path | str, overrides: Mapping[str, object] | None = None, full: ToAxolotl | None = None) -> Report:
    """Checks a recipe, or a dataset or tokenizer recipe on its own.

    Args:
        path: the file.
        overrides: nested mapping that overrides it, as in `resolve`.
        full: converts the recipe to Axolotl's configuration; if given, Axolotl's validators run too (seconds).
    Raises:
        KormoError: every error, several as `KormoErrors`.
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
        unset = Faults()
        alone = resolve_data(path, overrides, unset)
        found = _check_with(unset, kind, alone)
        return Report(path, kind, alone.files, _count(alone.values), False, found)
    faults, recipe = Faults(), None
    with faults.catch():
        named_in_file(own, path)
    with faults.catch():
        recipe = check_recipe(path, overrides)
    if full and recipe is not None:
        with faults.catch():
            check_with_axolotl(recipe.resolved, full(recipe))
    faults.raise_any()
    assert recipe is not None
    resolved, warnings = recipe.resolved, [*warnings_of(recipe), *map(_here, not_ready(recipe))]
    return Report(path, "recipe", resolved.files, _count(resolved.values), full is not None, tuple(warnings))


def _here(error: KormoError) -> Notice:
    """Turns what this machine lacks into a warning, since the recipe may be meant for another one."""
    return Notice(where=error.where, found=error.found, why=f"{error.why}; a run here would be refused", do=error.do)


def kind_of(own: Mapping[str, object]) -> str:
    """What a file is, from its own keys: `recipe`, `dataset recipe` or `tokenizer recipe`."""
    if "kormo" in own or "plugins" in own:
        return "recipe"
    if DATA_KEYS & set(own):
        return "dataset recipe"
    return "tokenizer recipe" if own.get("name") in registry().names("tokenizer") else "recipe"


def _check_with(unset: Faults, kind: str, alone: Resolved) -> tuple[Notice, ...]:
    """`_check_alone`; references that could not be replaced are told beside what else is wrong."""
    faults = Faults()
    warnings: tuple[Notice, ...] = ()
    with faults.catch():
        warnings = _check_alone(kind, alone)
    Faults((*unset, *without_consequences(faults, unset))).raise_any()
    return warnings


def _check_alone(kind: str, alone: Resolved) -> tuple[Notice, ...]:
    """Checks a dataset or tokenizer recipe as if a recipe had named it; returns its warnings."""

    def where(key: str) -> str:
        """File and line of a key, for messages; of the file itself for an empty key."""
        return alone.where(key) if key else str(alone.path)

    if kind == "dataset recipe":
        data = parse_data(alone.values, registry(), where)
        return tuple(step_warnings(data.corpus, registry()))
    values = dict(alone.values)
    registry().params("tokenizer", values.pop("name"), values, f"{alone.path}: tokenizer recipe")
    return ()


def named_in_file(own: Mapping[str, object], path: Path) -> None:
    """Refuses a file with `extends` that does not name our plugin, unless Axolotl finds the plugin by its entry point:
    Axolotl reads only this file.

    Raises:
        KormoError: Axolotl would not load our plugin.
    """
    plugins = own.get("plugins")
    listed = plugins if isinstance(plugins, list) else [plugins]
    if EXTENDS in own and not is_registered([name for name in listed if isinstance(name, str)]):
        raise KormoError(
            where=f"{path}: {EXTENDS}",
            found=f"{EXTENDS}: {own[EXTENDS]!r} in a file that does not list {OURS[0]} under `plugins`",
            why=f"Axolotl would not load kormo-plugins, would silently drop {EXTENDS} and train from the rest",
            do=f"add `plugins: [{OURS[0]}]` to this file (plugins of the files that it extends are kept)",
        )


def check_with_axolotl(resolved: Resolved, values: dict[str, Any]) -> None:
    """Runs Axolotl's own validators on the configuration that it would get (imports Axolotl and torch).

    Its checks of the local GPU are skipped, so that a recipe for eight GPUs can be validated on a laptop.

    Raises:
        KormoError: a validator refuses the configuration.
    """
    from axolotl.integrations.base import PluginManager
    from axolotl.utils.config import validate_config
    from axolotl.utils.dict import DictDefault

    manager = PluginManager.get_instance()
    for name in values.get("plugins") or ():
        if name not in manager.plugins:
            manager.register(name)  # adds its arguments to the model; its hooks do not run
    try:
        validate_config(DictDefault(values))
    except ValidationError as error:
        Faults(_of_axolotl(resolved, detail) for detail in error.errors()).raise_any()
    except (ValueError, DeprecationWarning, ImportError, NotImplementedError) as error:
        raise _of_axolotl(resolved, {"loc": (), "input": None, "msg": str(error)}) from None


def _of_axolotl(resolved: Resolved, detail: Any) -> KormoError:
    """An error of Axolotl's configuration model as a message."""
    key = ".".join(str(part) for part in detail["loc"])
    return KormoError(
        where=resolved.where(key) if key else str(resolved.path),
        found=shown(detail["input"]) if key else "a combination of keys that Axolotl refuses",
        why=reason(detail),
        do="change the keys that the message names",
    )


def _count(value: object) -> int:
    return sum(_count(child) for child in value.values()) if isinstance(value, Mapping) else 1
