"""A common interface for tokenizers: text to ids, and the bytes of each id.

A name is a folder or a `tokenizer.json`, `tekken` (Mistral's multilingual tokenizer with 131,072 ids, part of the
mistral_common package and available offline), or an id on the Hugging Face hub."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.store.artifact import MANIFEST, check_files, read_manifest
from kormo_plugins.store.complete import marked_files
from kormo_plugins.tokenizer.layout import byte_symbols

TEKKEN = "tekken"
FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
BYTE_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True, slots=True)
class Peer:
    """A tokenizer to be measured.

    Args:
        name: the requested name.
        encode: texts to ids, without special tokens; one list per text.
        pieces: the bytes of each id; None for control tokens and unused ids.
    """

    name: str
    encode: Callable[[list[str]], list[list[int]]]
    pieces: list[bytes | None]


def open_peer(name: str) -> Peer:
    """Loads a tokenizer by name.

    Raises:
        KormoError: there is none, or it cannot be read.
    """
    if name == TEKKEN:
        return _tekken()
    folder = find_folder(name)
    _check_written(folder)
    return _fast(name, folder)


def _check_written(folder: Path) -> None:
    """Verifies a tokenizer written by this package, in an artifact or beside a model, against its record."""
    if (folder / MANIFEST).is_file():
        check_files(folder, read_manifest(folder))
    for name, record in (marked_files(folder) or {}).items():
        if name in FILES:
            record.check(folder / name)


def find_folder(name: str) -> Path:
    """The folder of a tokenizer given by path or hub id; downloads from the hub if it is not cached.

    Raises:
        KormoError: neither a folder with a `tokenizer.json` nor an id known to the hub or its offline cache.
    """
    path = Path(name)
    folder = path.parent if path.name == "tokenizer.json" else path
    if (folder / "tokenizer.json").is_file():
        return folder
    if path.exists() or not HUB_ID.fullmatch(name):
        raise KormoError(
            where=f"tokenizer {name!r}",
            found="no tokenizer.json",
            why="a tokenizer must be a folder with that file, a hub id (organisation/name), or `tekken`",
            do="correct the path or the id",
        )
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, allow_patterns=list(FILES)))
    except Exception as error:  # hub errors have no common base class: network, access, name, offline mode
        raise KormoError(
            where=f"tokenizer {name!r}",
            found=in_words(error),
            why="it is not a local folder, and could not be loaded from the hub",
            do="check the id and the network, or name a folder",
        ) from None
    if not (folder / "tokenizer.json").is_file():
        raise KormoError(
            where=f"tokenizer {name!r}",
            found="a hub repository without tokenizer.json",
            why="only fast tokenizers can be used",
            do="convert it with transformers (`AutoTokenizer.from_pretrained(...).save_pretrained(folder)`)",
        )
    return folder


def _fast(name: str, folder: Path) -> Peer:
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    try:
        tokenizer: Any = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise KormoError(
            where=str(path), found=in_words(error), why="it cannot be read as a tokenizer", do="check the file"
        ) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    content = json.loads(path.read_text(encoding="utf-8"))
    added = {token["id"]: token for token in content.get("added_tokens", ())}
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    byte_level = '"ByteLevel"' in json.dumps([content.get("pre_tokenizer"), content.get("decoder")])
    values = {symbol: byte for byte, symbol in enumerate(byte_symbols())}
    pieces: list[bytes | None] = [None] * (max(vocabulary.values()) + 1)
    for token, place in vocabulary.items():
        if place in added:
            pieces[place] = None if added[place]["special"] else token.encode()
        elif byte_level:
            pieces[place] = bytes(values[c] for c in token) if all(c in values for c in token) else token.encode()
        elif fallback := BYTE_FALLBACK.fullmatch(token):
            pieces[place] = bytes([int(fallback[1], 16)])
        else:
            pieces[place] = token.replace("▁", " ").encode()

    def encode(texts: list[str]) -> list[list[int]]:
        """Ids of each text, without special tokens."""
        return [one.ids for one in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    return Peer(name, encode, pieces)


def _tekken() -> Peer:
    """Read directly from the package's data file; the first 1,000 ids are reserved for control tokens."""
    import tiktoken

    spec = importlib.util.find_spec("mistral_common")
    data = Path((spec.submodule_search_locations or [""])[0]) / "data" if spec else Path()
    files = sorted(data.glob("tekken_*.json")) if spec else []
    if not files:
        raise KormoError(
            where="tokenizer 'tekken'",
            found="no mistral_common package with a tekken file" if not spec else f"no tekken_*.json in {data}",
            why="Tekken is read from that package",
            do="pip install mistral_common, or do not name `tekken`",
        )
    content = json.loads(files[-1].read_text(encoding="utf-8"))
    config = content["config"]
    control = config["default_num_special_tokens"]
    tokens = content["vocab"][: config["default_vocab_size"] - control]
    ranks = {base64.b64decode(token["token_bytes"]): token["rank"] for token in tokens}
    encoding = tiktoken.Encoding(TEKKEN, pat_str=config["pattern"], mergeable_ranks=ranks, special_tokens={})
    pieces: list[bytes | None] = [None] * control + sorted(ranks, key=ranks.__getitem__)

    def encode(texts: list[str]) -> list[list[int]]:
        """Ids of each text; control tokens in it are treated as plain text."""
        return [[control + rank for rank in encoding.encode_ordinary(text)] for text in texts]

    return Peer(TEKKEN, encode, pieces)
