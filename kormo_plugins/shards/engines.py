"""The encoding libraries behind a common interface; `encoder.Encoder` verifies and selects them.

    gigatoken    Rust, MIT, wheels for CPython 3.10 and later on Linux, macOS and Windows (abi3); young (0.x) with a
                 single author, hence an optional extra, and always verified
    tiktoken     Rust, MIT, by OpenAI, wheels for 3.9 and later; a dependency
    tokenizers   Rust, Apache-2.0, by Hugging Face: the reference, used by `AutoTokenizer`

An engine receives the vocabulary and the added tokens that are matched in text. Other control tokens are not passed to
it, so text that spells one stays text.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.shards.ranks import NO_ID, Ranks

ENGINES = ("gigatoken", "tiktoken", "tokenizers")
"""Fastest first; each falls back to the next."""
PRIVATE = 0x10F000
"""First of the code points that represent added tokens inside a tiktoken batch: private use, plane 16."""

Encoded = tuple[NDArray[np.uint32], NDArray[np.int64]]
"""Concatenated ids (shape [sum(lengths)]; `NO_ID` for a byte that the vocabulary lacks), lengths (shape
[documents])."""


class Engine(Protocol):
    """Encodes any text that can be represented in UTF-8."""

    @property
    def name(self) -> str:
        """The package name, also used in recipes."""

    @property
    def stand_ins(self) -> range:
        """Reserved code points; texts that contain one cannot be encoded with this engine."""

    def encode(self, texts: Sequence[str]) -> Encoded:
        """The ids of several documents, without tokens added at the start or end."""


def composed(text: str) -> str:
    """The text in NFC; the same object if it already is."""
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def engine_version(name: str) -> str:
    """The version of the package."""
    return version(name)


class Gigatoken:
    """`gigatoken`: caches the ids of text pieces; on Korean text not seen before it is 1.7 times as fast as
    tiktoken."""

    name = "gigatoken"
    stand_ins = range(0)

    def __init__(self, spec: Mapping[str, Any]) -> None:
        from gigatoken.gigatoken_rs import load_hf_json

        allowed = [token | {"special": False} for token in spec["added_tokens"] if not token["special"]]
        self._normalizes = spec.get("normalizer") is not None
        bare = {**spec, "added_tokens": allowed, "normalizer": None, "post_processor": None}
        self._backend = load_hf_json(json.dumps(bare))
        self.encode([""])  # imports awkward, 0.2 s: once here, and not in each process that is forked

    @staticmethod
    def unfit(ranks: Ranks) -> str:
        """Why it cannot be used; "" if it can."""
        if find_spec("gigatoken") is None:
            return "it is not installed (pip install 'kormo-plugins[fast]')"
        return "the vocabulary lacks bytes, and it needs all 256" if (ranks.ids[:256] == NO_ID).any() else ""

    def encode(self, texts: Sequence[str]) -> Encoded:
        """See `Engine`."""
        batch = list(map(composed, texts)) if self._normalizes else list(texts)
        layout = self._backend.encode_batch(batch, parallel=False).layout  # a list of lists; processes run in parallel
        offsets = np.asarray(layout.offsets.data, dtype=np.int64)
        ids = np.asarray(layout.content.data, dtype=np.uint32)[offsets[0] : offsets[-1]]
        return ids, np.diff(offsets)


class Tiktoken:
    """`tiktoken`, with one call per batch.

    Each document is preceded by a start character, which occurs in no text and is a special token of tiktoken's;
    allowed added tokens are replaced by further characters of this kind.
    """

    name = "tiktoken"

    def __init__(self, ranks: Ranks, spec: Mapping[str, Any]) -> None:
        import tiktoken

        allowed = sorted((t for t in spec["added_tokens"] if not t["special"]), key=lambda t: -len(t["content"]))
        count = len(ranks.ranks)
        self._normalizes = spec.get("normalizer") is not None
        self._stand_in = {token["content"]: chr(PRIVATE + 1 + n) for n, token in enumerate(allowed)}
        self._added = re.compile("|".join(re.escape(content) for content in self._stand_in) or r"(?!)")
        special = {chr(PRIVATE): count} | {c: count + 1 + n for n, c in enumerate(self._stand_in.values())}
        self._start, self._specials = np.uint32(count), frozenset(special)
        self._ids = np.concatenate([ranks.ids, [0], [t["id"] for t in allowed]]).astype(np.uint32)
        self._tiktoken = tiktoken.Encoding(
            "kormo", pat_str=ranks.pattern, mergeable_ranks=ranks.ranks, special_tokens=special
        )
        self.stand_ins = range(PRIVATE, PRIVATE + len(special))

    def encode(self, texts: Sequence[str]) -> Encoded:
        """See `Engine`."""
        joined = chr(PRIVATE) + chr(PRIVATE).join(texts)
        if self._stand_in:
            joined = self._added.sub(lambda match: self._stand_in[match[0]], joined)
        ranks = self._tiktoken.encode_to_numpy(
            composed(joined) if self._normalizes else joined, allowed_special=self._specials, disallowed_special=()
        )
        starts = np.flatnonzero(ranks == self._start)
        keep = np.ones(len(ranks), bool)
        keep[starts] = False
        return self._ids[ranks[keep]], (np.diff(starts, append=len(ranks)) - 1).astype(np.int64)


def fast_engine(wanted: str, ranks: Ranks, spec: Mapping[str, object]) -> tuple[Engine, str]:
    """The fastest usable engine, starting at `wanted` (`auto`: the first one).

    Args:
        ranks: ranks of the vocabulary, from `ranks.convert`.
        spec: contents of tokenizer.json, with `special` set for added tokens that are not matched in text.
    Returns:
        The engine, and why the one before it was not used ("" if it is the requested one).
    """
    reason = "" if wanted in ("auto", "gigatoken") else "another engine was requested"
    if not reason and not (reason := Gigatoken.unfit(ranks)):
        try:
            return Gigatoken(spec), ""
        except Exception as error:  # the engine may refuse a tokenizer.json with any exception
            reason = f"it cannot load this tokenizer ({error})"
    return Tiktoken(ranks, spec), reason if wanted == "gigatoken" else ""
