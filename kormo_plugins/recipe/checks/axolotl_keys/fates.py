"""What becomes of one of Axolotl's keys in a recipe that trains on `kormo.data`: one of four fates.

Axolotl has about 400 keys. Many of them configure parts of it that are not used with our rows (its tokenization, its
packing, its evaluation loop). They would do nothing, or would change what is saved but not what was trained. Each key
therefore has a fate, in `fate_table.py`:

    works        Axolotl or our trainer honours it, possibly only with another key (`lora_r` with `adapter`)
    elsewhere    refused: another key does it, and the message names that key
    harmful      refused: the run or the saved model would not be what the recipe says
    irrelevant   a warning: it has no effect on the run, and does no harm

A key that is not in the table (of a newer Axolotl, or an Axolotl plugin) is passed on unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from kormo_plugins.errors import KormoError, Notice
from kormo_plugins.recipe.checks.axolotl_keys.keys import shown
from kormo_plugins.recipe.files.resolve import Resolved


class Kind(StrEnum):
    """The four fates."""

    WORKS = "works"
    ELSEWHERE = "elsewhere"
    HARMFUL = "harmful"
    IRRELEVANT = "irrelevant"


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a key under `kormo.data`.

    Args:
        kind: one of the four.
        why: the reason, as the last clause of a message.
        instead: for `elsewhere`, the key to use.
        needs: for `works`, keys of which one must be set for this one to have an effect; empty: none.
        inert: values that request nothing and are allowed, besides null, false and Axolotl's default.
    """

    kind: Kind
    why: str = ""
    instead: str = ""
    needs: tuple[str, ...] = ()
    inert: tuple[object, ...] = ()


Table = Mapping[str, Fate]


def refusals(resolved: Resolved, table: Table) -> Iterator[KormoError]:
    """An error for each key of a recipe that does not do under `kormo.data` what it says."""
    for key, fate in _asked(resolved, table):
        setting = f"{key}: {shown(resolved.values[key])}"
        if fate.kind is Kind.ELSEWHERE:
            yield KormoError(
                where=resolved.where(key),
                found=f"{setting} beside kormo.data",
                why=fate.why,
                do=f"remove {key} and use {fate.instead}",
            )
        elif fate.kind is Kind.HARMFUL:
            yield KormoError(
                where=resolved.where(key), found=f"{setting} beside kormo.data", why=fate.why, do=f"remove {key}"
            )
        elif fate.needs and not any(_is_set(resolved.values.get(name)) for name in fate.needs):
            named = " or ".join(fate.needs)
            yield KormoError(
                where=resolved.where(key),
                found=f"{setting} without {named}",
                why=f"it has an effect only together with {named}, and would be ignored here",
                do=f"set {named}, or remove {key}",
            )


def warnings(resolved: Resolved, table: Table) -> Iterator[Notice]:
    """A warning for each key of a recipe that has no effect under `kormo.data` and does no harm."""
    for key, fate in _asked(resolved, table):
        if fate.kind is Kind.IRRELEVANT:
            yield Notice(
                where=resolved.where(key),
                found=f"{key}: {shown(resolved.values[key])}",
                why=fate.why,
                do="remove it, or leave it: it has no effect",
            )


def _asked(resolved: Resolved, table: Table) -> Iterator[tuple[str, Fate]]:
    """The keys that a recipe with `kormo.data` sets to a value that requests something."""
    if resolved.get("kormo.data") is None:
        return
    for key, value in resolved.values.items():
        fate = table.get(key)
        if fate is not None and _asks(value, fate):
            yield key, fate


def _asks(value: object, fate: Fate) -> bool:
    """Whether a value requests something; false does if the default is true."""
    if any(_same(value, other) for other in fate.inert):
        return False
    return _is_set(value) or (value is False and True in fate.inert)


def _is_set(value: object) -> bool:
    return value is not None and value is not False


def _same(value: object, other: object) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)
