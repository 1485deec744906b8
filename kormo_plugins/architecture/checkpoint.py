"""Writes the initial checkpoint.

A run from scratch also starts from a checkpoint on disk, so that one process, many ranks and a sharded optimizer all
get the same weights; DeepSpeed ZeRO-3, for example, would initialize shard by shard.
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
    """Writes the initial checkpoint of a run from scratch, with one shard in memory at a time.

    Args:
        out: an existing folder.
        params: shape of the model.
        tokenizer: folder of the tokenizer, which is copied; its length determines the model's vocabulary rows.
        seed: seed of the weights (see `initialization.py`).
        dtype: `float32`, `bfloat16` or `float16`.
        bos_token_id, eos_token_id, pad_token_id: ids of the tokenizer; eos may be several.
        generation: the recipe's generation settings, as in generation_config.json, without the ids.
        shard_bytes: maximum size of a weight file.
        make_config: `registration.config`, or that of a registered variant.
    Returns:
        Statistics: `parameters` (by part), `vocab_size` (model rows), `tokenizer_length`, `bytes`, `files`.
    Raises:
        KormoError: no tokenizer, an id that it does not have, an unknown generation setting, an unknown dtype.
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
        """One weight, determined by its name."""
        return draw(name, shapes[name], seed=seed, std=params.initializer_range, dtype=kind)

    copied = copy_tokenizer(tokenizer, out)
    files = write_sharded(out, shapes, make, kind.itemsize, shard_bytes, draw_all)
    write_json(out / "generation_config.json", generation_json)
    fields = readable_by_all(config_json(config), str(out / "config.json"))
    write_json(out / "config.json", fields)  # last: a folder without it is not a checkpoint
    return {
        "parameters": counted(shapes),
        "vocab_size": config.vocab_size,
        "tokenizer_length": length,
        "bytes": sum(file.stat().st_size for file in files),
        "files": [file.name for file in files] + copied,
    }


def counted(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Number of parameters by part, from the names of the weights; equals `shape.parameters` for a `kormo`.

    Args:
        shapes: name -> shape of each weight; a tied weight occurs once.
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
        KormoError: a setting unknown to transformers (which would silently ignore it), a value it
            rejects, or a token id among the settings.
    """
    from transformers import GenerationConfig

    where = "the recipe's generation settings"
    known = set(GenerationConfig().to_dict()) - {"transformers_version"}
    for key in settings:
        if key in ID_KEYS:
            raise KormoError(
                where=where, found=f"the key {key!r}", why="token ids are set from the tokenizer", do="remove the key"
            )
        if key not in known:
            fix = closest(key, known, "see transformers' GenerationConfig for the names")
            raise KormoError(where=where, found=f"the key {key!r}", why="transformers has no such setting", do=fix)
    try:
        config = GenerationConfig(**settings, **ids)
        config.validate(strict=True)
    except (ValueError, TypeError) as error:
        message = " ".join(str(error).split())
        raise KormoError(where=where, found=message, why="transformers refuses it", do="correct the value") from None
    return {"use_cache": True, **config.to_diff_dict()}
