"""Continuing from an earlier stage: its model is verified, and gets a new vocabulary if the recipe names another one.

A finished run carries `complete.json`, which lists its files with their hashes; the hash of that list is the
identity of the weights. If the recipe names another tokenizer than the run had, the embeddings are rebuilt for it
(`tokenizer/swap.py`) and the result is an artifact like any other. So is a model whose configuration the recipe
changes (a longer context, another RoPE base): a new `config.json` beside the same weights.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kormo_plugins.architecture import files
from kormo_plugins.architecture.files import read_json
from kormo_plugins.errors import KormoError
from kormo_plugins.hookspecs import Upcycles
from kormo_plugins.recipe.projections import EarlierRun
from kormo_plugins.store.artifact import Spec
from kormo_plugins.store.atomic import replace
from kormo_plugins.store.complete import fault, model_text
from kormo_plugins.store.fingerprint import identity
from kormo_plugins.store.model_json import rope_base
from kormo_plugins.tokenizer.swap import apply_swap, plan_swap

SHAPE = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "tie_word_embeddings",
    "qk_norm",
    "post_norm_layers",
    "future_tokens",
    "num_local_experts",
)
"""Keys that the shapes of the weights fix, variants included. Context length and RoPE base may change between
stages."""

CHANGEABLE = (
    "max_position_embeddings",
    "rope_theta",
    "rms_norm_eps",
    "initializer_range",
    "num_experts_per_tok",
    "router_aux_loss_coef",
    "future_loss_weight",
)
"""Keys that a recipe may change over the same weights; differences go into a config of its own."""

GROWING = ("max_position_embeddings", "rope_theta")
"""Of these, the keys whose values may only grow from stage to stage."""

ROW_MULTIPLE = 256
"""Default multiple to which the rows of the embedding are rounded up; it gives the 125,184 of the 10B model."""


def finished_model(run: EarlierRun, contents: bool = False) -> Path:
    """The folder that `kormo.from_run` names.

    Args:
        contents: compare every file with its checksum, as is required before training; otherwise names and sizes.
    Raises:
        KormoError: the folder does not exist, the run is unfinished or was changed, or the model has another shape than
            `kormo.architecture`.
    """
    folder, where = run.folder, run.where("kormo.from_run")
    if not folder.is_dir():
        raise KormoError(
            where=where,
            found=str(folder),
            why="there is no such folder",
            do="train the previous stage, or correct the path",
        )
    reason = fault(folder, hashes=contents)
    if reason is not None:
        raise KormoError(
            where=where,
            found=str(folder),
            why=f"it is not a finished model: {reason}",
            do="wait for that stage, or finish it (the same command resumes it)",
        )
    if (family := other_family(run)) is not None:
        assert run.architecture is not None
        if not isinstance(run.components.load("architecture", run.architecture.name, where), Upcycles):
            raise KormoError(
                where=run.where("kormo.architecture.name"),
                found=run.architecture.name,
                why=f"the model in {folder} is a {family}, from which {run.architecture.name} cannot be made",
                do="set kormo.architecture: null to keep the model's own, or train the previous stage with this one",
            )
    _same_shape(run, where)
    return folder


def other_family(run: EarlierRun) -> str | None:
    """The family of the model in the run's folder, if the recipe names a different one."""
    if run.architecture is None:
        return None
    family = read_json(run.folder / "config.json").get("model_type")
    return str(family) if family not in (None, run.architecture.name) else None


def _same_shape(run: EarlierRun, where: str) -> None:
    if run.architecture is None:
        return
    config = read_json(run.folder / "config.json")
    for key in SHAPE:
        wanted = run.architecture.values.get(key)
        if wanted is not None and key in config and config[key] != wanted:
            raise KormoError(
                where=where,
                found=f"{run.folder} with {key} {config[key]}",
                why=f"kormo.architecture sets {key} {wanted}, which is another shape",
                do="name a run of this shape, or extend its size file",
            )


def config_changes(run: EarlierRun, folder: Path) -> dict[str, object]:
    """The keys of `kormo.architecture` that differ from the config of the model in `folder`, with their new values.

    Raises:
        KormoError: the context is shorter, or the RoPE base smaller, than the model was trained with. A recipe that
            inherits values of an earlier stage would silently undo the stages in between.
    """
    if run.architecture is None:
        return {}
    config, wanted = read_json(folder / "config.json"), run.architecture.values
    current = {**config, "rope_theta": rope_base(config, str(folder / "config.json"))}
    for key in GROWING:
        if wanted.get(key) is not None and current.get(key) is not None and wanted[key] < current[key]:
            raise KormoError(
                where=run.where(f"kormo.architecture.{key}"),
                found=f"{key} {wanted[key]}",
                why=f"the model in {folder} was trained with {current[key]}, and a smaller value would undo that",
                do=f"set kormo.architecture: null to keep the model's own config, or {key} to {current[key]} or more",
            )
    return {key: wanted[key] for key in CHANGEABLE if wanted.get(key) is not None and wanted[key] != current.get(key)}


def changed_spec(name: str, weights: str, changes: Mapping[str, object]) -> Spec:
    """The artifact that holds the weights whose identity is `weights` under a changed config."""
    return Spec("init", f"{name}-changed", {"weights": weights, "config": dict(changes)})


def change_config(folder: Path, changes: Mapping[str, object], out: Path) -> dict[str, object]:
    """Writes the model of `folder` with another config; the weights are hard-linked, or copied to another disk.

    The files of a finished model are never overwritten in place, so a linked file cannot change under the artifact.

    Returns:
        Statistics: the changes, each with the value before.
    """
    config = files.read_json(folder / "config.json")
    path = str(folder / "config.json")
    before = {key: rope_base(config, path) if key == "rope_theta" else config.get(key) for key in changes}
    config |= changes
    for holder in ("rope_parameters", "rope_scaling"):  # the other keys that may hold RoPE's base
        if "rope_theta" in changes and "rope_theta" in (config.get(holder) or {}):
            config[holder] = {**config[holder], "rope_theta": changes["rope_theta"]}
    names = [path.name for path in files.weight_files(folder)]
    for name in [*names, files.INDEX, "generation_config.json", *files.TOKENIZER_FILES]:
        if (folder / name).is_file():
            _link(folder / name, out / name)
    files.write_json(
        out / "config.json", files.readable_by_all(config, path)
    )  # last: without it the folder is no checkpoint
    return {"config": {key: {"before": before[key], "now": value} for key, value in changes.items()}}


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)  # left by a killed build
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or a file system without hard links
        replace(target, lambda unfinished: shutil.copyfile(source, unfinished))


def weights_hash(folder: Path) -> str:
    """Identity of a finished model: a hash over the hashes of its files."""
    return identity(model_text(folder))[:12]


def swap_spec(folder: Path, tokenizer_hash: str, rows: int, ids: Mapping[str, int]) -> Spec:
    """The artifact that holds the model of `folder` with another vocabulary."""
    inputs = {"weights": weights_hash(folder), "tokenizer": tokenizer_hash, "rows": rows, **ids}
    return Spec("init", f"{folder.name}-swapped", inputs)


def swap_vocabulary(folder: Path, tokenizer: Path, rows: int, ids: Mapping[str, int], out: Path) -> dict[str, object]:
    """Writes the model of `folder` with its embeddings rebuilt for `tokenizer`.

    Args:
        rows: of the new embedding.
        ids: `bos_token_id`, `eos_token_id` and `pad_token_id` of the new tokenizer.
    Returns:
        Statistics: how many rows are copied, averaged over pieces, or filled with the mean.
    """
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
    config = {**files.read_json(folder / "config.json"), **ids, "vocab_size": rows}
    files.write_json(out / "config.json", files.readable_by_all(config, str(folder / "config.json")))
    return {"rows": rows, **plan.counts()}
