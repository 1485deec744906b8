"""The parts of a recipe that name components: `kormo.plugins`, the `kormo:` block, its tokenizer."""

from __future__ import annotations

from collections.abc import Mapping

from kormo_plugins.errors import Faults, KormoError, moved
from kormo_plugins.plugins.registry import Registry, registry
from kormo_plugins.recipe.files.resolve import Resolved
from kormo_plugins.recipe.schema.kormo_block import KormoBlock, parse_block


def components_of(resolved: Resolved) -> Registry:
    """The registry, with the plugins named under `kormo.plugins`.

    Raises:
        KormoError: a plugin cannot be imported, or `kormo.plugins` is not a list of names.
    """
    names = resolved.get("kormo.plugins") or ()
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise KormoError(
            where=resolved.where("kormo.plugins"),
            found=repr(names),
            why="it must be a list of module names",
            do="write [my.module]",
        )
    return registry(tuple(names))


def kormo_block(resolved: Resolved, components: Registry) -> KormoBlock:
    """The checked `kormo` block of a resolved recipe.

    Args:
        components: what the names in the block are looked up in.
    Raises:
        KormoError: all that is wrong with the block, at once; each fault with the file and key that it is in.
    """
    values, path, faults = resolved.values["kormo"], str(resolved.path), Faults()
    if isinstance(values, Mapping) and values.get("precision") is None:
        faults.add(
            KormoError(
                where=f"{path}: kormo.precision",
                found="nothing",
                why="Axolotl's own choice of dtypes depends on the device and on the stage",
                do="write precision: {weights: float32, compute: bfloat16, optimizer: float32}",
            )
        )
        values = {**values, "precision": {"weights": "float32", "compute": "float32", "optimizer": "float32"}}

    def place(where: str) -> str:
        """Replaces the location of an error by the file that set the key."""
        file, _, key = where.partition(": ")
        return resolved.where(key) if file == path and key else where

    block = None
    with faults.catch():
        block = parse_block(values, components, path)
    try:
        faults.raise_any()
    except KormoError as error:
        raise moved(error, place) from None
    assert block is not None
    return block


def check_tokenizer(resolved: Resolved, components: Registry) -> None:
    """The parameters of a tokenizer that is to be trained."""
    choice = resolved.get("kormo.tokenizer.train")
    if not isinstance(choice, Mapping):
        return
    values = dict(choice)
    name = values.pop("name", None)
    where = resolved.where("kormo.tokenizer.train")
    if not isinstance(name, str):
        raise KormoError(
            where=where,
            found=f"name: {name!r}",
            why="`name` selects the tokenizer to train",
            do=f"set it to one of: {', '.join(components.names('tokenizer')) or 'none is installed'}",
        )
    components.params("tokenizer", name, values, where)
