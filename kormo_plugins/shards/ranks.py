"""Converts a Hugging Face byte-level BPE to tiktoken ranks, or explains why the two could differ.

A Hugging Face BPE applies the pair that comes first in its merge list. tiktoken merges any adjacent tokens whose
concatenation is a token, the lowest rank first. With rank = index in the merge list the two agree on every text if

1. no two merges produce the same token (a token has one rank),
2. both halves of a merge are single bytes or produced by earlier merges (ranks increase), and
3. each token, encoded by itself, is that one token.

Proof: let tiktoken merge l and r into t, and assume that both agreed so far. No merge has crossed the ends of the range
that t covers, so the merges inside it are those of encoding t by itself, up to the rank of t. By 3 these end in t, and
by 1 the last of them is the pair in the list; so (l, r) is that pair and Hugging Face merges it too. The converse is
immediate, since every listed pair concatenates to a token. tiktoken also looks up a whole piece before merging; by 3
that finds the same token.

Only the byte level preceded by a single `Split` is supported; everything else is left to `tokenizers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NO_ID = np.uint32(0xFFFFFFFF)
"""Placeholder for a byte that the vocabulary lacks."""


@dataclass(frozen=True)
class Ranks:
    """The input for tiktoken.

    Args:
        pattern: regular expression that splits text into pieces.
        ranks: bytes of each token -> rank.
        ids: rank -> id in the tokenizer, or `NO_ID`; uint32 [ranks].
    """

    pattern: str
    ranks: dict[bytes, int]
    ids: NDArray[np.uint32]


def byte_symbols() -> dict[str, int]:
    """The byte-level alphabet of GPT-2: printable character -> byte value."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    symbols = {chr(byte): byte for byte in printable}
    return symbols | {chr(256 + place): byte for place, byte in enumerate(others)}


def convert(spec: dict[str, Any]) -> Ranks | str:
    """Ranks for the contents of a `tokenizer.json`, or the reason why it cannot be converted.

    Added tokens marked `special` in it are treated as plain text.
    """
    pattern = _pattern(spec)
    if pattern is None:
        return "its pre-tokenizer is not one regular-expression split before the byte level"
    if reason := _unlike(spec):
        return reason
    model, symbols = spec["model"], byte_symbols()
    added = {token["content"] for token in spec.get("added_tokens", ())}
    vocabulary: dict[str, int] = {t: i for t, i in model["vocab"].items() if t not in added}
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]
    order = {symbol: rank for rank, symbol in enumerate(symbols)}
    for left, right in merges:
        joined = left + right
        if joined in order:
            return f"two merges make the token {joined!r}"
        if left not in order or right not in order or joined not in vocabulary:
            return f"the merge {left!r} {right!r} is made of tokens that come later or not at all"
        order[joined] = len(order)
    if strange := vocabulary.keys() - order.keys():
        return f"the token {min(strange)!r} is neither a byte nor made by a merge"
    if unreached := _unreached(vocabulary, merges):
        return f"the token {unreached!r} does not encode to itself"
    ids = np.array([vocabulary.get(token, NO_ID) for token in order], np.uint32)
    as_bytes = {ord(symbol): byte for symbol, byte in symbols.items()}
    ranks = {token.translate(as_bytes).encode("latin-1"): rank for token, rank in order.items()}
    return Ranks(pattern, ranks, ids)


def _pattern(spec: dict[str, Any]) -> str | None:
    """The regular expression, if the pre-tokenizer is exactly [Split, ByteLevel]."""
    stage = spec.get("pre_tokenizer") or {}
    parts = stage.get("pretokenizers", []) if stage.get("type") == "Sequence" else []
    if len(parts) != 2 or parts[0].get("type") != "Split" or parts[1].get("type") != "ByteLevel":
        return None
    split, level = parts
    whole = split.get("behavior") == "Isolated" and not split.get("invert")
    plain = not level.get("add_prefix_space") and not level.get("use_regex")
    return split["pattern"].get("Regex") if whole and plain else None


def _unlike(spec: dict[str, Any]) -> str | None:
    """A feature that tiktoken does not support, if there is one."""
    model = spec["model"]
    if model.get("type") != "BPE":
        return f"its model is {model.get('type')}, not BPE"
    for key in ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(key):
            return f"its model sets {key}"
    normalizer = spec.get("normalizer")
    if normalizer is not None and normalizer.get("type") != "NFC":
        return f"its normalizer is {normalizer.get('type')}"
    for token in spec.get("added_tokens", ()):
        if token["special"]:
            continue  # treated as plain text
        content = token["content"]
        if not content.isascii() or (normalizer and token.get("normalized") and content.strip()):
            return f"the added token {content!r} may be matched before or after normalization"
        if token.get("single_word") or token.get("lstrip") or token.get("rstrip"):
            return f"the added token {content!r} takes its surroundings into account"
    return None


def _unreached(vocabulary: dict[str, int], merges: list[tuple[str, ...]]) -> str | None:
    """A token that is not reproduced when encoded by itself, if there is one."""
    from tokenizers.models import BPE

    model = BPE(vocab=vocabulary, merges=[(a, b) for a, b in merges], cache_capacity=0)
    for token, number in vocabulary.items():
        if [piece.id for piece in model.tokenize(token)] != [number]:
            return token
    return None
