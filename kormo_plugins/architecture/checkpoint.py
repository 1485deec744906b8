"""The initial checkpoint.

A run starts from a checkpoint on disk even when it starts from nothing: the same weights then reach one process, many
ranks and a sharded optimizer, each of which would draw otherwise (DeepSpeed ZeRO-3 initialises shard by shard).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kormo_plugins.architecture.files import (
    SHARD_BYTES,
    config_json,
    copy_tokenizer,
    readable_by_all,
    tokenizer_length,
    write_json,
    write_sharded,
)
from kormo_plugins.architecture.initialization import draw, draw_all
from kormo_plugins.architecture.registration import config as new_config
from kormo_plugins.architecture.registration import register, torch_dtype
from kormo_plugins.architecture.shape import KormoArchitecture
from kormo_plugins.errors import KormoError, closest

Ids = int | list[int] | None
ID_KEYS = ("bos_token_id", "eos_token_id", "pad_token_id")


def write_initial(
    out: Path,
    params: KormoArchitecture,
    *,
    tokenizer: Path,
    seed: int,
    dtype: str,
    bos_token_id: int | None,
    eos_token_id: Ids,
    pad_token_id: int | None,
    generation: Mapping[str, object],
    shard_bytes: int = SHARD_BYTES,
    make_config: Callable[..., Any] = new_config,
) -> dict[str, object]:
    """Writes the checkpoint that a run from scratch starts with; memory is needed for one shard.

    Args:
        out: an existing folder.
        params: shape of the model.
        tokenizer: folder of the tokenizer, which is copied; its length gives the model's rows.
        seed: seed of the weights (see `initialization.py`).
        dtype: `float32`, `bfloat16` or `float16`.
        bos_token_id, eos_token_id, pad_token_id: ids of the tokenizer; eos may be several.
        generation: the recipe's generation settings, as in generation_config.json, without the ids.
        shard_bytes: largest size of a weight file.
        make_config: `registration.config`, or that of a variant, whose type is registered.
    Returns:
        Statistics: `parameters` (by part), `vocab_size` (model rows), `tokenizer_length`, `bytes`, `files`.
    Raises:
        KormoError: no tokenizer, an id outside of it, an unknown generation setting, an unknown dtype.
    """
    import torch
    from transformers import AutoModelForCausalLM

    register()
    length, kind = tokenizer_length(tokenizer), torch_dtype(dtype)
    ids: dict[str, Any] = {"bos_token_id": bos_token_id, "eos_token_id": eos_token_id, "pad_token_id": pad_token_id}
    generation_json = generation_config(generation, ids)
    config = make_config(params, vocab_size=length, **ids)
    config.dtype = kind
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}

    def make(name: str) -> torch.Tensor:
        """One weight, drawn by its name: the same on every rank and in any order."""
        return draw(name, shapes[name], seed=seed, std=params.initializer_range, dtype=kind)

    copied = copy_tokenizer(tokenizer, out)
    files = write_sharded(out, shapes, make, kind.itemsize, shard_bytes, draw_all)
    write_json(out / "generation_config.json", generation_json)
    fields = readable_by_all(config_json(config), str(out / "config.json"))
    write_json(out / "config.json", fields)  # last: without it the folder is no checkpoint
    return {
        "parameters": counted(shapes),
        "vocab_size": config.vocab_size,
        "tokenizer_length": length,
        "bytes": sum(file.stat().st_size for file in files),
        "files": [file.name for file in files] + copied,
    }


def counted(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Number of parameters by part, of weights as they are named; `shape.parameters` says the same of a `kormo`.

    Args:
        shapes: name -> shape of each weight; one that is tied is named once.
    """
    parts = dict.fromkeys(("input_embedding", "attention", "mlp", "norms", "lm_head"), 0)
    for name, shape in shapes.items():
        if len(shape) == 1:
            part = "norms"
        elif ".self_attn." in name:
            part = "attention"
        elif ".mlp." in name:
            part = "mlp"
        else:
            part = "lm_head" if name.startswith("lm_head.") else "input_embedding"
        parts[part] += math.prod(shape)
    return {**parts, "total": sum(parts.values())}


def generation_config(settings: Mapping[str, object], ids: Mapping[str, Ids]) -> dict[str, object]:
    """The content of a generation_config.json, checked by transformers.

    Raises:
        KormoError: a setting that transformers does not know (it would be ignored in silence), a value it
            refuses, or a token id among the settings.
    """
    from transformers import GenerationConfig

    where = "the recipe's generation settings"
    known = set(GenerationConfig().to_dict()) - {"transformers_version"}
    for key in settings:
        if key in ID_KEYS:
            raise KormoError(
                where=where, found=f"the key {key!r}", why="the ids come from the tokenizer", do="remove the key"
            )
        if key not in known:
            fix = closest(key, known, "see transformers' GenerationConfig for the names")
            raise KormoError(where=where, found=f"the key {key!r}", why="transformers has no such setting", do=fix)
    try:
        config = GenerationConfig(**settings, **ids)
        config.validate(strict=True)
    except (ValueError, TypeError) as error:
        told = " ".join(str(error).split())
        raise KormoError(where=where, found=told, why="transformers refuses it", do="correct the value") from None
    return {"use_cache": True, **config.to_diff_dict()}
