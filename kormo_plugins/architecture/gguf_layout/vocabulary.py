"""The tokenizer in a GGUF: tokens with their kinds, merges, and the name of the pre-tokenizer.

llama.cpp implements the pre-tokenizers (splits) of known tokenizers and selects one by name. It has no Unicode
normalizer: decomposed Hangul (NFD) gets other ids than in training, where the tokenizer composes it first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from kormo_plugins.architecture.files import read_json
from kormo_plugins.errors import KormoError

QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITS = {QWEN2: "qwen2"}
"""Regular expression of a tokenizer.json -> `tokenizer.ggml.pre`."""

TURN_END = "<|EOT|>"


class Kind(IntEnum):
    """llama.cpp's kinds of token."""

    NORMAL = 1
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5


@dataclass(frozen=True)
class Vocabulary:
    """What llama.cpp needs to tokenize like the checkpoint's tokenizer.

    Args:
        split: `tokenizer.ggml.pre`.
        tokens, kinds: one for each row of the model; rows without a token are `UNUSED`.
        merges: pairs in order of rank, `left right`.
        ids: by role: `bos`, `eos`, `pad`, `eot`, as far as they exist.
        add_bos: whether `bos` is prepended; never for a chat model, whose conversations have none.
        chat_template: Jinja source, if the tokenizer has one.
    """

    split: str
    tokens: list[str]
    kinds: list[Kind]
    merges: list[str]
    ids: dict[str, int]
    add_bos: bool
    chat_template: str | None

    @property
    def is_chat(self) -> bool:
        """Whether the model's end token ends a turn."""
        return self.ids.get("eos") is not None and self.ids.get("eos") == self.ids.get("eot")


def read_vocabulary(folder: Path, config: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary of the checkpoint in `folder`.

    Args:
        config: content of its config.json: rows and special ids.
    Raises:
        KormoError: not a byte-level BPE, or a split that is not known to be in llama.cpp.
    """
    path = folder / "tokenizer.json"
    content = read_json(path)
    model = content.get("model")
    if not isinstance(model, Mapping) or not model.get("merges"):
        raise KormoError(
            where=str(path),
            found="no merges",
            why="only byte-level BPE is written as GGUF here",
            do="convert it with llama.cpp's own script",
        )
    added: dict[int, Mapping[str, object]] = {token["id"]: token for token in content.get("added_tokens", ())}
    names = {number: token for token, number in model["vocab"].items()}
    tokens, kinds = _tokens(names, added, int(config["vocab_size"]))
    known = _special_ids(config, added)
    template = folder / "chat_template.jinja"
    is_chat = known.get("eos") is not None and known.get("eos") == known.get("eot")
    return Vocabulary(
        split=_split(content, path),
        tokens=tokens,
        kinds=kinds,
        merges=[merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]],
        ids=known,
        add_bos=not is_chat and "bos" in known and _puts_bos(content, known["bos"]),
        chat_template=portable_template(template.read_text(encoding="utf-8")) if template.is_file() else None,
    )


def _special_ids(config: Mapping[str, Any], added: Mapping[int, Mapping[str, object]]) -> dict[str, int]:
    """Ids by role, as far as they exist; the first of several end tokens."""
    named = {role: config.get(f"{role}_token_id") for role in ("bos", "eos", "pad")}
    named["eot"] = next((number for number, token in added.items() if token["content"] == TURN_END), None)
    first = {role: value[0] if isinstance(value, list) else value for role, value in named.items()}
    return {role: int(value) for role, value in first.items() if value is not None}


def portable_template(source: str) -> str:
    """A chat template without transformers' tag `generation`, which other Jinja engines do not support.

    The tag marks the text that is trained on; `if true` in its place renders the same text and trims the same spaces.
    """
    opened = re.sub(r"{%(-?)\s*generation\s*(-?)%}", r"{%\1 if true \2%}", source)
    return re.sub(r"{%(-?)\s*endgeneration\s*(-?)%}", r"{%\1 endif \2%}", opened)


def _tokens(
    names: Mapping[int, str], added: Mapping[int, Mapping[str, object]], rows: int
) -> tuple[list[str], list[Kind]]:
    tokens, kinds = [], []
    for number in range(rows):
        if number in added:
            tokens.append(str(added[number]["content"]))
            kinds.append(Kind.CONTROL if added[number].get("special") else Kind.USER_DEFINED)
        elif number in names:
            tokens.append(names[number])
            kinds.append(Kind.NORMAL)
        else:
            tokens.append(f"[PAD{number}]")
            kinds.append(Kind.UNUSED)
    return tokens, kinds


def _split(content: Mapping[str, Any], path: Path) -> str:
    """llama.cpp's name of the tokenizer's split."""
    whole = content.get("pre_tokenizer") or {}
    parts = whole.get("pretokenizers", [whole])
    patterns = [part["pattern"].get("Regex") for part in parts if part.get("type") == "Split"]
    if len(patterns) == 1 and patterns[0] in SPLITS:
        return SPLITS[patterns[0]]
    raise KormoError(
        where=f"{path}: pre_tokenizer",
        found=f"the split {patterns[0]!r}" if patterns else "no split by a regular expression",
        why="a GGUF names its split, and this one has no known name in llama.cpp; with another split the ids differ",
        do="use llama.cpp's own script, which names the split of published tokenizers",
    )


def _puts_bos(content: Mapping[str, Any], bos: int) -> bool:
    """Whether the post-processor prepends `bos` to a text."""
    whole = content.get("post_processor") or {}
    for part in whole.get("processors", [whole]):
        single = part.get("single") or [{}]
        token = single[0].get("SpecialToken", {}).get("id")
        ids = part.get("special_tokens", {}).get(token, {}).get("ids", [])
        if ids == [bos]:
            return True
    return False
