"""A recipe, read and checked: its resolved values, and the `kormo:` block and the data recipe as typed objects.

What a build and a run need beyond that is in `load.py`: a command that only checks imports nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kormo_plugins.corpus.comparisons import step_warnings
from kormo_plugins.errors import Faults, KormoError, Notice
from kormo_plugins.plugins.registry import Registry, UnknownComponent, registry
from kormo_plugins.recipe.checks.axolotl_keys.fate_table import TABLE
from kormo_plugins.recipe.checks.axolotl_keys.fates import refusals
from kormo_plugins.recipe.checks.axolotl_keys.fates import warnings as ineffective
from kormo_plugins.recipe.checks.axolotl_keys.keys import key_faults, listed_plugins
from kormo_plugins.recipe.checks.export import check_export
from kormo_plugins.recipe.checks.external_eval import external_eval_data
from kormo_plugins.recipe.checks.rules import RULES, Rule
from kormo_plugins.recipe.checks.schedule import course, generation_keys, schedule_arguments
from kormo_plugins.recipe.files.environment import without_consequences
from kormo_plugins.recipe.files.record import record_of
from kormo_plugins.recipe.files.resolve import Resolved, resolve
from kormo_plugins.recipe.parts import check_tokenizer, components_of, kormo_block
from kormo_plugins.recipe.schema.axolotl import SchemaView, axolotl_keys
from kormo_plugins.recipe.schema.axolotl_plugins import OURS, is_ours, is_registered
from kormo_plugins.recipe.schema.dataset import DataRecipe, parse_data
from kormo_plugins.recipe.schema.kormo_block import KormoBlock


@dataclass(frozen=True)
class CheckedRecipe:
    """The checked content of a recipe."""

    path: Path
    resolved: Resolved
    block: KormoBlock
    data: DataRecipe | None
    registry: Registry
    external_eval: DataRecipe | None = None
    """Texts that are only measured (`kormo.monitor.external_eval`)."""

    def get(self, key: str, default: object = None) -> Any:
        """The value of an Axolotl key."""
        value = self.resolved.values.get(key)
        return default if value is None else value

    def where_asked(self, key: str) -> str:
        """Location of a key, in the user's own recipe if this one was written by `kormo` (`files/record.py`)."""
        record = record_of(self.path)
        return f"{record['recipe']}: {key}" if record else self.resolved.where(key)

    @property
    def sequence_len(self) -> int:
        """Tokens per row."""
        return int(self.get("sequence_len", 512))

    @property
    def seed(self) -> int:
        """The seed of weights, dropout and the order of the data."""
        return int(self.get("seed", 42))

    @property
    def output_dir(self) -> Path:
        """The run's folder."""
        return Path(self.get("output_dir", "outputs/run"))

    @property
    def steps(self) -> int | None:
        """Optimizer steps of the run; None if Axolotl's own datasets determine them."""
        if self.get("max_steps") is not None:
            return int(self.get("max_steps"))
        if self.block.tokens is None or self.block.global_batch is None:
            return None
        return math.ceil(self.block.tokens / (self.block.global_batch * self.sequence_len))

    @property
    def of_pairs(self) -> bool:
        """Whether the run is trained on preference pairs that we build."""
        return self.data is not None and bool(self.get("rl"))


def check_recipe(path: Path, overrides: Mapping[str, Any] | None = None) -> CheckedRecipe:
    """Reads a recipe file and everything that it extends, and checks whatever can be checked without building.

    Args:
        path: the recipe.
        overrides: values that override the files (Axolotl's command-line options).
    Raises:
        KormoError: all errors of the recipe, several as `KormoErrors`. Unreadable files are reported first, as their
            content is not known.
    """
    given, unset = dict(overrides or {}), Faults()
    resolved = resolve(path, given, unset)
    if any(fault.where == resolved.where("deepspeed") for fault in unset):  # its file decides on what else is allowed
        unset.raise_any()
    listed = resolved.get("plugins") or []
    if isinstance(listed, list) and not any(is_ours(str(name)) for name in listed) and is_registered(()):
        # If Axolotl finds our plugin by its entry point, the resolved recipe names it, for other versions and the
        # identity.
        given["plugins"] = [*(given.get("plugins") or ()), OURS[0]]
        resolved = resolve(path, given, unset)
    if given.get("max_steps") is not None and resolved.get("kormo.tokens") is not None:
        # `--max-steps 10` on the command line shortens a recipe whose length is in tokens.
        resolved = resolve(path, {**given, "kormo": {**given.get("kormo", {}), "tokens": None}}, unset)
    faults = Faults(unset)
    view = _axolotl_part(resolved, faults)
    recipe = _kormo_part(resolved, faults)
    for rule in RULES:
        _apply(rule, resolved, faults)
    if view is not None:
        _apply(partial(schedule_arguments, view=view), resolved, faults)
        _apply(partial(generation_keys, view=view), resolved, faults)
    reported = {fault.where for fault in faults}
    faults.add(*(fault for fault in refusals(resolved, TABLE) if fault.where not in reported))
    if unset:
        faults = Faults((*unset, *without_consequences(faults, unset)))
    faults.raise_any()
    assert recipe is not None
    return recipe


def warnings_of(recipe: CheckedRecipe) -> list[Notice]:
    """Warnings: what is allowed in a valid recipe but probably unintended."""
    steps = step_warnings(recipe.data.corpus, recipe.registry) if recipe.data else ()
    return [*_renamed(recipe.resolved), *ineffective(recipe.resolved, TABLE), *course(recipe.resolved), *steps]


def _renamed(resolved: Resolved) -> Iterator[Notice]:
    for file, keys in resolved.renamed.items():
        for key, name in keys.items():
            yield Notice(
                where=f"{file}: {key}",
                found="the former name of a key",
                why=f"it is now called {name}; the old name still works",
                do=f"write {name}",
            )


def _axolotl_part(resolved: Resolved, faults: Faults) -> SchemaView | None:
    """Checks Axolotl's keys against the schema of the installed Axolotl, which is returned; None if it is not known."""
    names: list[str] = []
    with faults.catch():
        names = listed_plugins(resolved)
    with faults.catch():
        view = axolotl_keys(names)
        faults.add(*key_faults(resolved.values, view, resolved))
        return view
    return None


def _kormo_part(resolved: Resolved, faults: Faults) -> CheckedRecipe | None:
    """The `kormo:` block and everything that it names, as objects; None for those that are invalid."""
    values = resolved.values.get("kormo")
    if "kormo" not in resolved.values:
        faults.add(
            KormoError(
                where=f"{resolved.path}: kormo",
                found="nothing",
                why="a recipe for kormo-plugins needs a `kormo:` block",
                do="add one, or extend a recipe that has one (recipes/pretrain.yml)",
            )
        )
        return None
    components, found, block, data, external = None, Faults(), None, None, None
    with faults.catch():
        components = components_of(resolved)
    known = components or registry()
    with found.catch():
        block = kormo_block(resolved, known)
    given = values.get("data") if isinstance(values, Mapping) else None
    if isinstance(given, Mapping):
        with found.catch():
            data = parse_data(given, known, lambda key: resolved.where(f"kormo.data.{key}" if key else "kormo.data"))
    if block is not None and (data is not None or given is None):
        with found.catch():
            external = external_eval_data(resolved, block, data, known)
    with found.catch():
        check_tokenizer(resolved, known)
    # If the recipe's plugins are missing, an unknown name may be one of theirs.
    faults.add(*(fault for fault in found if components or not isinstance(fault, UnknownComponent)))
    if block is not None and not found:
        with faults.catch():
            check_export(block, known, resolved)
    if components is None or block is None or found:
        return None
    return CheckedRecipe(resolved.path, resolved, block, data, components, external)


def _apply(rule: Rule, resolved: Resolved, faults: Faults) -> None:
    """The errors that a rule finds. A rule may assume that values have the right type: if one does not, it has a
    message of its own, and errors of the rule mean nothing."""
    try:
        for fault in rule(resolved):
            faults.add(fault)
    except KormoError as error:
        faults.add(error)
    except (TypeError, ValueError, AttributeError, KeyError, ArithmeticError):
        if not faults:
            raise
