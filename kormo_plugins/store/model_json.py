"""`config.json` and `tokenizer_config.json` that transformers 4 and 5 read as the same model and the same tokenizer.

transformers 5 renamed fields and writes only the new names. Version 4, and what is built on it, uses its own default
for a missing name (RoPE's base: 10,000), and silently computes a different model. Version 5 also writes a tokenizer
class that version 4 does not know, and arguments of the call that loaded the tokenizer. Both functions are pure and
idempotent.

    field                 transformers 5                     transformers 4, and the published KORMo checkpoints
    RoPE's base           rope_parameters.rope_theta         rope_theta
    RoPE's scaling        rope_parameters (other keys)       rope_scaling
    dtype                 dtype                              torch_dtype
    tokenizer class       TokenizersBackend                  PreTrainedTokenizerFast
    more special tokens   extra_special_tokens, a list       additional_special_tokens
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kormo_plugins.errors import KormoError

FAST = "PreTrainedTokenizerFast"
"""The class of any tokenizer that is a `tokenizer.json`; both versions have it."""

LEAKED = ("backend", "is_local", "local_files_only", "name_or_path")
"""Arguments of the call that opened a tokenizer, which transformers 5 saves with it."""

UNLIMITED = int(1e30)
"""transformers' `model_max_length` of a tokenizer that names none."""


def readable_config(fields: Mapping[str, Any], where: str = "config.json") -> dict[str, object]:
    """`fields` of a config.json with RoPE and dtype under both versions' names.

    Args:
        fields: as either version wrote them.
        where: the file, for messages.
    Raises:
        KormoError: two names give RoPE different bases: each reader would compute another model.
    """
    base = rope_base(fields, where)
    dtype = fields.get("dtype", fields.get("torch_dtype"))
    compatible: dict[str, object] = {} if dtype is None else {"dtype": dtype, "torch_dtype": dtype}
    rope = fields.get("rope_parameters")
    if base is None:
        return {**fields, **compatible}
    if not isinstance(rope, Mapping):
        rope = {"rope_type": "default", **(fields.get("rope_scaling") or {})}
        rope["rope_type"] = rope.pop("type", rope["rope_type"])
    scaling = {key: value for key, value in rope.items() if key != "rope_theta"}
    plain = scaling.get("rope_type", "default") == "default" and len(scaling) <= 1
    compatible |= {"rope_theta": base, "rope_scaling": None if plain else scaling}
    return {**fields, **compatible, "rope_parameters": {**rope, "rope_theta": base}}


def rope_base(fields: Mapping[str, Any], where: str = "config.json") -> float | None:
    """The base of RoPE's wavelengths that a config.json names; None where it names none, or one for each kind of layer.

    Raises:
        KormoError: it names two.
    """
    named: dict[str, float] = {} if fields.get("rope_theta") is None else {"rope_theta": fields["rope_theta"]}
    for key in ("rope_parameters", "rope_scaling"):
        holder = fields.get(key)
        if isinstance(holder, Mapping) and isinstance(holder.get("rope_theta"), int | float):
            named[f"{key}.rope_theta"] = holder["rope_theta"]
    if len(set(named.values())) > 1:
        raise KormoError(
            where=where,
            found=", ".join(f"{key} {value:g}" for key, value in named.items()),
            why="they name the same value, and readers that use different ones would get different models",
            do="set all of them to the RoPE base that the model was trained with",
        )
    return next(iter(named.values()), None)


def readable_tokenizer(fields: Mapping[str, object]) -> dict[str, object]:
    """`fields` of a tokenizer_config.json with a class that both versions have, without what leaked from loading."""
    kept = {key: value for key, value in fields.items() if key not in LEAKED}
    if kept.get("tokenizer_class") in (None, "TokenizersBackend"):
        kept["tokenizer_class"] = FAST
    if kept.get("model_max_length") == UNLIMITED:
        del kept["model_max_length"]
    more = kept.get("extra_special_tokens")
    if isinstance(more, list):
        del kept["extra_special_tokens"]
        kept |= {"additional_special_tokens": more} if more else {}
    return kept
