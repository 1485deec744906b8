"""Converts a partitioned DeepSpeed checkpoint to a plain one in safetensors.

DeepSpeed's own `zero_to_fp32` merges the float32 master weights. The result is written beside OUT, opened with
transformers, and compared with the merged weights and with the weights that the checkpoint contains in the dtype of
training; only then is it renamed to OUT. It is marked complete, so a recipe can continue from it (`kormo.from_run`).
"""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kormo_plugins.architecture import files
from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.plugins.registry import registry
from kormo_plugins.store.complete import fault, read_marker
from kormo_plugins.store.lease import new_folder
from kormo_plugins.training.checkpoints.complete import mark_complete
from kormo_plugins.training.checkpoints.sharded import shards_of
from kormo_plugins.training.checkpoints.weights_only import weights_only
from kormo_plugins.training.precision import torch_dtype

if TYPE_CHECKING:
    import torch

ITEMSIZE = {"float32": 4, "bfloat16": 2}
COPIED = ("generation_config.json",)


def consolidate(
    checkpoint: Path, out: Path, dtype: str = "float32", modules: tuple[str, ...] = ()
) -> dict[str, object]:
    """Writes the model of a checkpoint, with tokenizer and configs, as a folder that opens anywhere.

    Args:
        checkpoint: a complete checkpoint, of DeepSpeed or not.
        out: folder to create.
        dtype: of the written weights; float32 keeps DeepSpeed's masters unchanged.
        modules: plugins that provide the model's family.
    Returns:
        `files`, `bytes`, `weights` (tensors), `step`, and `compared`: tensors found equal to those that the
        checkpoint carries in the dtype of training.
    Raises:
        KormoError: the checkpoint is incomplete, `out` is not empty, or the result does not load correctly.
    """
    reason = fault(checkpoint)
    if reason is not None:
        raise KormoError(
            where=str(checkpoint),
            found="not a whole checkpoint",
            why=reason,
            do="name one that `kormo checkpoint list` calls whole",
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise KormoError(
            where=str(out), found="something that exists already", why="nothing is overwritten", do="name a new folder"
        )
    weights = _together(checkpoint)
    with new_folder(out) as partial:
        wanted = torch_dtype(dtype)
        shapes = {name: tuple(value.shape) for name, value in weights.items()}
        written = files.write_sharded(
            partial, shapes, lambda name: weights[name].contiguous().to(wanted).clone(), ITEMSIZE[dtype]
        )
        config = {
            key: value for key, value in files.read_json(checkpoint / "config.json").items() if key != "torch_dtype"
        }
        files.write_json(partial / "config.json", files.readable_by_all({**config, "dtype": dtype}, str(checkpoint)))
        for name in COPIED:
            if (checkpoint / name).is_file():
                shutil.copyfile(checkpoint / name, partial / name)
        files.copy_tokenizer(checkpoint, partial)
        _opens(partial, weights, wanted, modules)
        compared = _agrees(checkpoint, weights)
        step = int(read_marker(checkpoint)["step"])
        mark_complete(partial, step)
    size = sum((out / path.name).stat().st_size for path in written)
    return {
        "files": [path.name for path in written],
        "bytes": size,
        "weights": len(weights),
        "step": step,
        "compared": compared,
    }


def _together(checkpoint: Path) -> Mapping[str, torch.Tensor]:
    """Name -> weight (or DeepSpeed's stand-in, which becomes one by `contiguous()`)."""
    if shards_of(checkpoint) is None:
        weights: dict[str, torch.Tensor] = {}
        for file in files.weight_files(checkpoint):
            weights.update(files.read_weights(file))
        return weights

    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    try:
        output = io.StringIO()
        with weights_only(checkpoint), contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            state_dict: Mapping[str, torch.Tensor] = get_fp32_state_dict_from_zero_checkpoint(
                str(checkpoint), lazy_mode=True
            )
    except ValueError as error:  # DeepSpeed's optimizer for ZeRO-1 in bfloat16 writes files of another kind
        raise KormoError(
            where=str(checkpoint),
            found=in_words(error),
            why="DeepSpeed cannot reassemble the master weights of ZeRO-1 in bfloat16",
            do="use the bfloat16 weights of the checkpoint (model.safetensors), or train with ZeRO-2",
        ) from None
    return state_dict


def _opens(folder: Path, weights: Mapping[str, torch.Tensor], dtype: torch.dtype, modules: tuple[str, ...]) -> None:
    """Opens what was written with transformers and compares every tensor."""
    import torch
    from transformers import AutoModelForCausalLM

    components = registry(modules)
    for name in components.names("architecture"):
        components.load("architecture", name).register()
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    model, info = loaded
    wrong = [*info["missing_keys"], *info["unexpected_keys"]]
    state = model.state_dict()
    wrong += [
        name
        for name, value in weights.items()
        if name not in state or not torch.equal(state[name], value.contiguous().to(dtype))
    ]
    if wrong:
        raise KormoError(
            where=str(folder),
            found=f"weights that differ after loading: {', '.join(sorted(set(wrong))[:4])}",
            why="the folder would be another model",
            do="report this with the versions that `kormo --version` prints",
        )


def _agrees(checkpoint: Path, weights: Mapping[str, torch.Tensor]) -> int:
    """How many tensors equal the checkpoint's own, which are in the dtype of training.

    Raises:
        KormoError: one does not.
    """
    import torch

    if not any((checkpoint / name).exists() for name in (files.WEIGHTS, files.INDEX)):
        return 0
    compared = 0
    for file in files.weight_files(checkpoint):
        for name, own in files.read_weights(file).items():
            if name in weights and not torch.equal(weights[name].contiguous().to(own.dtype), own):
                raise KormoError(
                    where=str(file),
                    found=f"{name} differs from the ranks' files",
                    why="the checkpoint's two copies of the model disagree",
                    do="use an earlier checkpoint",
                )
            compared += name in weights
    return compared
