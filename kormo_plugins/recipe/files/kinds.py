"""Recognizes the kind of a YAML file by its keys, so that a command given another kind can say so in one error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.files.yaml_file import read_yaml


class Kind(NamedTuple):
    """A kind of file.

    Args:
        spoken: name for people.
        keys: every file of this kind has at least one of them, and no file of another kind has any.
        command: the command that takes such a file.
        together: for kinds that name several recipes: how these are checked.
    """

    spoken: str
    keys: frozenset[str]
    command: str
    together: str = ""


RECIPE = Kind("a training recipe", frozenset({"kormo", "extends", "base_model", "plugins"}), "kormo train")
CHAIN = Kind(
    "a chain of stages",
    frozenset({"stages"}),
    "kormo run",
    "its recipes are checked together, each with what it starts from",
)
ABLATION = Kind(
    "an ablation",
    frozenset({"variants"}),
    "kormo ablate",
    "its cells are checked together, each a recipe of its own",
)
LADDER = Kind(
    "a ladder", frozenset({"sizes"}), "kormo ladder", "its sizes are checked together, each a recipe of its own"
)
DATA = Kind("a dataset recipe", frozenset({"sources"}), "kormo data build")
KINDS = (RECIPE, CHAIN, ABLATION, LADDER, DATA)
LISTS = {"chain": CHAIN, "ablation": ABLATION, "ladder": LADDER}
"""Kinds that name several recipes, by the names of their schemas."""


def list_of_recipes(value: Mapping[str, object]) -> str:
    """The kind among `LISTS` of a file; "" for none."""
    return next((name for name, kind in LISTS.items() if kind.keys & value.keys() and "kormo" not in value), "")


def read_kind(path: Path, wanted: Kind) -> dict[str, object]:
    """Reads the mapping in a file of the wanted kind.

    Raises:
        KormoError: see `read_yaml`; or the file is clearly of another kind.
    """
    value = read_yaml(path)
    refuse_other(value, path, wanted)
    return value


def refuse_other(value: Mapping[str, object], path: Path, wanted: Kind) -> None:
    """Refuses a file with none of the keys of the wanted kind and one of another kind's.

    Raises:
        KormoError: names the command that takes the file.
    """
    if wanted.keys & value.keys():
        return
    for kind in KINDS:
        if kind.keys & value.keys():
            raise KormoError(
                where=str(path),
                found=f"{kind.spoken} (it has the key {min(kind.keys & value.keys())!r})",
                why=f"{wanted.spoken} is needed here",
                do=f"{kind.command} {path}",
            )
