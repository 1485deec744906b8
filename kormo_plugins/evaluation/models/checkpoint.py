"""Checks a model folder before it is evaluated, and hashes its weights.

Errors that would otherwise stop an evaluation minutes later, after loading the weights, are raised here: no tokenizer,
no weights, an adapter without its base model, custom code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.store.complete import check_marked
from kormo_plugins.store.fingerprint import file_checksum, identity
from kormo_plugins.store.lease import RUN, at_work

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
HASHED = ("config.json", "generation_config.json", *TOKENIZERS, "tokenizer_config.json", "chat_template.jinja")


@dataclass(frozen=True)
class Checkpoint:
    """A model that can be evaluated.

    Args:
        path: its folder.
        family: `model_type` of its configuration.
        positions: `max_position_embeddings`, in tokens; None: not declared.
        hash: of configuration, tokenizer and every byte of the weights, 12 hex digits.
        chat: its end token ends a turn of its chat template.
    """

    path: Path
    family: str
    positions: int | None
    hash: str
    chat: bool


def open_checkpoint(path: Path, registry: Registry) -> Checkpoint:
    """Opens a checkpoint, a finished run's folder, or any folder in the format of transformers.

    Raises:
        KormoError: it cannot be evaluated, with the reason.
    """
    config = _config(path)
    family = str(config.get("model_type"))
    if not any(list(path.glob(pattern)) for pattern in WEIGHTS):
        raise KormoError(
            where=str(path),
            found="no weights",
            why=f"there is no {' and no '.join(WEIGHTS)}",
            do="copy the checkpoint again, or wait until it is saved",
        )
    if not any((path / name).is_file() for name in TOKENIZERS):
        raise KormoError(
            where=str(path),
            found="no tokenizer",
            why=f"there is no {', '.join(TOKENIZERS)}, and prompts are encoded with it",
            do="copy the tokenizer's files into the folder (`kormo export` and every finished run include them)",
        )
    check_marked(path)
    register(registry)
    _loadable(path, family)
    limit = config.get("max_position_embeddings")
    positions = int(limit) if isinstance(limit, int | float | str) and limit else None
    return Checkpoint(path, family, positions, _hash(path), is_chat(tokenizer_of(path)))


def register(registry: Registry) -> None:
    """Registers every installed model family with transformers."""
    for name in registry.names("architecture"):
        registry.load("architecture", name).register()


def tokenizer_of(path: Path) -> PreTrainedTokenizerBase:
    """The checkpoint's tokenizer."""
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path)
        return tokenizer
    except (OSError, ValueError, KeyError) as error:
        raise KormoError(
            where=str(path),
            found=in_words(error),
            why="transformers cannot open its tokenizer",
            do="copy the tokenizer's files again",
        ) from None


def is_chat(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer's end token ends a turn of its chat template; a base model's ends a document."""
    if not tokenizer.chat_template or not tokenizer.eos_token:
        return False
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    return str(tokenizer.eos_token) in str(tokenizer.apply_chat_template(turns, tokenize=False))


def _config(path: Path) -> dict[str, object]:
    file = path / "config.json"
    if file.is_file():
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
            if isinstance(config, dict) and config.get("model_type"):
                return config
        except ValueError:
            pass
        raise KormoError(
            where=str(file),
            found="no configuration of a model",
            why="it is not a JSON object with a model_type",
            do="copy the checkpoint again",
        )
    if (path / "adapter_config.json").is_file():
        raise KormoError(
            where=str(path),
            found="an adapter",
            why="its base model's weights are elsewhere",
            do="merge the two first (`axolotl merge-lora RECIPE`) and score the merged model",
        )
    steps = sorted(path.glob("checkpoint-*"), key=lambda one: int("0" + one.name.split("-")[-1]))
    holder = at_work(path / RUN)
    unfinished = f"; this run is not finished{f': {holder}' if holder else ''}" if steps or holder else ""
    raise KormoError(
        where=str(path),
        found="no config.json" if path.is_dir() else "no such folder",
        why=f"a model is a folder in the format of transformers{unfinished}",
        do=f"name one of its checkpoints: {steps[-1]}" if steps else "name a checkpoint or a finished run's folder",
    )


def _loadable(path: Path, family: str) -> None:
    from transformers import CONFIG_MAPPING

    if family not in CONFIG_MAPPING:
        raise KormoError(
            where=f"{path}: model_type",
            found=repr(family),
            why="transformers does not know it, and code from a model folder is never run",
            do="install the plugin that provides this family, or score its `export/`, the plain Llama layout",
        )


def _hash(path: Path) -> str:
    files = sorted({file for pattern in WEIGHTS for file in path.glob(pattern)})
    files += [path / name for name in HASHED if (path / name).is_file()]
    return identity({file.name: file_checksum(file) for file in files})[:12]
