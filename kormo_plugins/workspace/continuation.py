"""Going on from an earlier stage: its model, checked, and its vocabulary changed if the recipe names another one.

A finished run carries `complete.json`, which lists its files with their hashes; the hash of that list is the
identity of the weights. Where the recipe names another tokenizer than the run had, the embeddings are re-made for it
(`tokenizer/swap.py`) and the result is an artifact like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kormo_plugins.errors import KormoError
from kormo_plugins.fingerprint import identity
from kormo_plugins.recipe.load import Recipe
from kormo_plugins.training.checkpoint import MARKER, fault
from kormo_plugins.workspace.artifact import Spec

SHAPE = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "tie_word_embeddings",
)  # fmt: skip
"""What the weights themselves fix. Length and RoPE base may change from stage to stage."""

ROW_MULTIPLE = 256
"""Rows of a vocabulary are rounded up to a multiple of this where the recipe does not say; the 10B's 125,184 are."""


def finished_model(recipe: Recipe) -> Path:
    """The folder that `kormo.from_run` names.

    Raises:
        KormoError: no such folder, a run that is not finished or was changed, or a model of another shape than
            `kormo.architecture` says.
    """
    folder = recipe.block.from_run
    assert folder is not None
    where = recipe.resolved.where("kormo.from_run")
    if not folder.is_dir():
        raise KormoError(where, str(folder), "there is no such folder", "train the stage before, or correct the path")
    reason = fault(folder, hashes=False)
    if reason is not None:
        raise KormoError(where, str(folder), f"it is not a finished model: {reason}",
                         "finish that stage first (the same command goes on where it stopped)")  # fmt: skip
    _same_shape(recipe, folder, where)
    return folder


def _same_shape(recipe: Recipe, folder: Path, where: str) -> None:
    from kormo_plugins.architecture.files import read_json

    if recipe.block.architecture is None:
        return
    config = read_json(folder / "config.json")
    for key in SHAPE:
        asked = recipe.block.architecture.values.get(key)
        if asked is not None and key in config and config[key] != asked:
            raise KormoError(
                where, f"{folder} with {key} {config[key]}", f"kormo.architecture says {key} {asked}: another shape",
                "name a run of this shape, or extend its size file",
            )  # fmt: skip


def weights_hash(folder: Path) -> str:
    """Identity of a finished model: a hash over the hashes of its files."""
    return identity((folder / MARKER).read_text(encoding="utf-8"))[:12]


def swap_spec(folder: Path, tokenizer_hash: str, rows: int, ids: Mapping[str, int]) -> Spec:
    """The artifact that holds the model of `folder` with another vocabulary."""
    inputs = {"weights": weights_hash(folder), "tokenizer": tokenizer_hash, "rows": rows, **ids}
    return Spec("init", f"{folder.name}-swapped", inputs)


def swap_vocabulary(folder: Path, tokenizer: Path, rows: int, ids: Mapping[str, int], out: Path) -> dict[str, Any]:
    """Writes the model of `folder` with its embeddings re-made for `tokenizer`.

    Args:
        rows: of the new embedding.
        ids: `bos_token_id`, `eos_token_id` and `pad_token_id` of the new tokenizer.
    Returns:
        Statistics: how many rows are copied, averaged over pieces, or filled with the mean.
    """
    from kormo_plugins.architecture import files
    from kormo_plugins.tokenizer.swap import apply_swap, plan_swap

    plan = plan_swap(folder, tokenizer)
    weights: dict[str, Any] = {}
    for file in files.weight_files(folder):
        weights.update(files.read_weights(file))
    swapped = apply_swap(weights, plan, rows)
    shapes = {name: tuple(tensor.shape) for name, tensor in swapped.items()}
    itemsize = next(iter(swapped.values())).element_size()
    files.write_sharded(out, shapes, lambda name: swapped[name].contiguous(), itemsize)
    files.copy_tokenizer(tokenizer, out)
    settings = folder / "generation_config.json"
    if settings.is_file():
        files.write_json(out / settings.name, {**files.read_json(settings), **ids})
    files.write_json(out / "config.json", {**files.read_json(folder / "config.json"), **ids, "vocab_size": rows})
    return {"rows": rows, **plan.counts()}
