"""A tokenizer for conversations in which no text of a message can become a control token.

`apply_chat_template` renders a conversation as one string and encodes it, so a message that contains `<think>` or
`<|EOT|>` would be encoded as the token. Here tokenizer and template are loaded with placeholder names for their added
tokens, each beginning with a noncharacter (`RESERVED`) that messages may not contain: the template's tokens get their
normal ids, and message text stays plain text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from kormo_plugins.documents.message import RESERVED, JsonValue
from kormo_plugins.errors import KormoError
from kormo_plugins.tokenizer.layout import read_layout, read_tokenizer_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FIX = "start from a model whose tokenizer has KORMo's tokens (`kormo tokenizer train`), or swap its vocabulary"
CONFIGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


@dataclass(frozen=True)
class ChatTokenizer:
    """A tokenizer whose control tokens have placeholder names.

    Args:
        tokenizer: has the ids of the folder's tokenizer; its chat template writes placeholders.
        template: the folder's chat template, unchanged.
        names: placeholder -> token.
        missing_bytes: byte values without a token.
    """

    tokenizer: PreTrainedTokenizerBase
    template: str
    names: Mapping[str, str]
    missing_bytes: bytes

    def stand_in(self, token: str) -> str:
        """The placeholder of a control token."""
        return next(name for name, own in self.names.items() if own == token)

    def readable(self, text: str) -> str:
        """A rendered text with the original token names."""
        for stand_in, token in self.names.items():
            text = text.replace(stand_in, token)
        return text


@lru_cache(maxsize=2)
def open_chat(folder: Path) -> ChatTokenizer:
    """Loads the tokenizer in a folder for conversations.

    Raises:
        KormoError: it has no turn tokens, no chat template, or ids that depend on the names of its added tokens.
    """
    from transformers import AutoTokenizer

    try:
        layout = read_layout(folder)
    except KormoError as error:
        raise KormoError(
            where=str(folder),
            found=error.found,
            why=f"conversations cannot be encoded with this tokenizer: {error.why}",
            do=FIX,
        ) from None
    own = AutoTokenizer.from_pretrained(folder)
    if not own.chat_template:
        raise KormoError(
            where=str(folder),
            found="a tokenizer without chat_template.jinja",
            why="turns cannot be rendered without a chat template",
            do=FIX,
        )
    template = str(own.chat_template)
    tokens = {token.content: number for number, token in own.added_tokens_decoder.items() if token.content.strip()}
    stand_ins = {token: f"{RESERVED}{chr(ord('A') + place)}" for place, token in enumerate(sorted(tokens))}
    with TemporaryDirectory(prefix="kormo-chat-") as place:
        _write_renamed(folder, Path(place), stand_ins, template)
        renamed = AutoTokenizer.from_pretrained(place)
    for token, stand_in in stand_ins.items():
        if renamed.convert_tokens_to_ids(stand_in) != tokens[token]:
            raise KormoError(
                where=f"{folder}: tokenizer.json",
                found=f"the added token {token!r}, whose id depends on its name",
                why="text that spells the name could not be distinguished from the token",
                do=FIX,
            )
    return ChatTokenizer(renamed, template, {name: token for token, name in stand_ins.items()}, layout.missing_bytes)


def _write_renamed(folder: Path, out: Path, stand_ins: Mapping[str, str], template: str) -> None:
    spec = read_tokenizer_json(folder)
    vocabulary = spec["model"]["vocab"]
    spec["model"]["vocab"] = {stand_ins.get(token, token): number for token, number in vocabulary.items()}
    spec["added_tokens"] = _renamed(spec["added_tokens"], stand_ins)
    spec["post_processor"] = None  # conversations get no token at the start or end
    (out / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    for name in CONFIGS:
        if (folder / name).is_file():
            config = json.loads((folder / name).read_text(encoding="utf-8"))
            config.pop("chat_template", None)
            (out / name).write_text(json.dumps(_renamed(config, stand_ins)), encoding="utf-8")
    for token, stand_in in sorted(stand_ins.items(), key=lambda item: -len(item[0])):
        template = template.replace(token, stand_in)
    (out / "chat_template.jinja").write_text(template, encoding="utf-8")


def _renamed(value: JsonValue, names: Mapping[str, str]) -> JsonValue:
    """Replaces every string of a JSON value that is in `names`, including keys."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, dict):
        return {names.get(key, key): _renamed(item, names) for key, item in value.items()}
    return [_renamed(item, names) for item in value] if isinstance(value, list) else value
