"""Corrects the configs of a saved checkpoint.

Axolotl saves `use_cache: false` and `do_sample: true`, which are settings of its training loop, and Trainer overwrites
the model's end token by the tokenizer's. A checkpoint of ours has the settings of the recipe: a cache for generation,
`<|EOS|>` as the end token of a base model and `<|EOT|>` of a chat model, and the recipe's generation settings, each
under its names in transformers 4 and 5.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from kormo_plugins.architecture.files import TOKENIZER_SETTINGS, readable_by_all
from kormo_plugins.store.atomic import by_umask
from kormo_plugins.store.json_file import write_json
from kormo_plugins.store.model_json import readable_tokenizer

IDS = ("bos", "eos", "pad")


def restore(folder: Path, special: Mapping[str, int], generation: Mapping[str, object]) -> None:
    """Rewrites `config.json`, `generation_config.json` and `tokenizer_config.json` in a checkpoint folder, and applies
    the process's umask to the weights.

    Args:
        special: token ids by role (`bos`, `eos`, `pad`).
        generation: generation settings of the recipe; besides these, only the ids are kept.
    """
    ids = {f"{role}_token_id": special[role] for role in IDS if role in special}
    config = folder / "config.json"
    if config.is_file():
        values = json.loads(config.read_text(encoding="utf-8"))
        write_json(config, readable_by_all({**values, **ids, "use_cache": True}, str(config)))
    tokenizer = folder / TOKENIZER_SETTINGS
    if tokenizer.is_file():
        write_json(tokenizer, readable_tokenizer(json.loads(tokenizer.read_text(encoding="utf-8"))))
    for weights in folder.glob("*.safetensors"):
        by_umask(weights)
    old = folder / "generation_config.json"
    version = json.loads(old.read_text(encoding="utf-8")).get("transformers_version") if old.is_file() else None
    extra = {"transformers_version": version} if version else {}
    settings = {key: value for key, value in generation.items() if value is not None}  # servers do not accept null
    write_json(old, {"_from_model_config": False, **ids, "use_cache": True, **settings, **extra})
