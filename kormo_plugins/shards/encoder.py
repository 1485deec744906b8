"""Encodes text exactly like the tokenizer, several times faster where equality can be proved.

`Encoder` uses gigatoken or tiktoken (`engines`) if `ranks.convert` shows that the merges agree, and `tokenizers`
otherwise. Properties that the merges do not determine are handled as follows:

- Added tokens. Runs of newlines and other white space tokens are matched in text. Control tokens (`<|EOS|>`, `<think>`,
  ...) are not: text that spells one stays text, unless the source allows that token by name (`control_tokens`), as
  reasoning data allows `<think>`.
- Character classes and normalization. The libraries have different versions of the Unicode tables. Each code point is
  compared in a few contexts when it first occurs; documents with a code point that is treated differently are encoded
  by `tokenizers`.
- Bytes that the vocabulary lacks. A tokenizer without an unknown token silently drops them; here that is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.shards.engines import Encoded, Engine, engine_version, fast_engine
from kormo_plugins.shards.ranks import NO_ID, byte_symbols, convert
from kormo_plugins.store.fingerprint import tokenizer_identity

CONTEXTS = (
    "{}",
    "a{}a",
    "A{}A",
    "1{}1",
    "!{}!",
    " {} ",
    "가{}가",
    "'{}",
    "{}\u0323\u0301",
    "a\u0301{}\u0323",
    "a{}\u0301",
    "{}",
)
"""Contexts in which a code point is compared: at the start, at the end and alone on a line, between letters, digits,
signs and spaces, and among combining marks (the last two tell its combining class: a mark of class 220, like the dot
below, is neither moved past it nor past a mark of its own class, but lets `a` and the acute above compose)."""
PROBE = "\n".join(CONTEXTS)
"""All contexts in one text: every split breaks at line ends, and the cost per text exceeds that of its characters."""
BLOCK = 1 << 15
"""Characters whose verdicts are looked up in one call: their indices stay in the cache."""
MARKS = range(0x300, 0x370)
"""Combining diacritical marks: all that compose with an ASCII character, and added tokens are ASCII where an engine is
used."""
AGREED, UNKNOWN, DISPUTED = 0, 1, 2
"""Verdicts on a code point: encoded equally by both libraries, not tried yet, encoded differently. The worst last."""


class Disagreement(Exception):
    """The fast engine and `tokenizers` gave different ids for the named document."""


def read_tokenizer(folder: Path) -> dict[str, Any]:
    """The contents of a folder's `tokenizer.json` (or of that file itself)."""
    path = folder / "tokenizer.json" if folder.is_dir() else folder
    try:
        spec: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        spec["model"]["vocab"], spec["added_tokens"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KormoError(
            where=str(path),
            found=in_words(error),
            why="the tokenizer.json of a fast tokenizer is needed",
            do="name the folder of a fast tokenizer",
        ) from None
    return spec


def tokenizer_hash(folder: Path) -> str:
    """The identity of a tokenizer folder; `shards.json` keeps it as `tokenizer`."""
    return tokenizer_identity(read_tokenizer(folder))


class Encoder:
    """Encodes batches of text with the tokenizer in `folder`.

    Args:
        folder: holds `tokenizer.json`.
        control_tokens: added tokens, other than white space, that are matched in text.
        engine: one of `engines.ENGINES`, or `auto` for the fastest usable one; if it cannot be used, the next one is.
    Attributes:
        hash: see `tokenizer_hash`.
        kind: name of the selected engine.
        version: version of its package.
        reason: why the requested engine is not used, or (with `auto`) why only `tokenizers` is.
        largest_id: over base vocabulary and added tokens.
    Raises:
        KormoError: no usable tokenizer, or a control token that does not exist in it.
    """

    def __init__(self, folder: Path, control_tokens: Sequence[str] = (), *, engine: str = "auto") -> None:
        from tokenizers import Tokenizer

        spec = read_tokenizer(Path(folder))
        self.where = str(folder)
        self.hash = tokenizer_identity(spec)
        self._mark_controls(spec, control_tokens)
        spec["post_processor"] = spec["truncation"] = spec["padding"] = None
        self._tokenizer = Tokenizer.from_str(json.dumps(spec))
        self._tokenizer.encode_special_tokens = True
        self._check_ids(spec)
        self._normalizes = spec.get("normalizer") is not None
        self.largest_id = max([*spec["model"]["vocab"].values(), *(t["id"] for t in spec["added_tokens"])])
        self._byte_lengths = self._lengths_in_bytes(spec)
        self._engine: Engine | None = None
        self.reason = ""
        if engine != "tokenizers":
            ranks = convert(spec)
            if isinstance(ranks, str):
                self.reason = ranks
            else:
                self._engine, self.reason = fast_engine(engine, ranks, spec)
        self.kind = self._engine.name if self._engine else "tokenizers"
        self.version = engine_version(self.kind)
        self._verdicts = np.full(0x110000, UNKNOWN, np.uint8)  # on each code point
        if self._engine and self._engine.stand_ins:
            self._verdicts[self._engine.stand_ins.start : self._engine.stand_ins.stop] = DISPUTED
        if self._normalizes:
            ends = [token["content"][-1] for token in spec["added_tokens"] if not token["special"]]
            self._verdicts[_composing(ends)] = DISPUTED

    def _mark_controls(self, spec: dict[str, Any], control_tokens: Sequence[str]) -> None:
        """Sets `special` to mean "not matched in text": all except white space and the source's control tokens."""
        known = {token["content"] for token in spec["added_tokens"]}
        if unknown := sorted(set(control_tokens) - known):
            raise KormoError(
                where=f"{self.where}: control_tokens",
                found=repr(unknown[0]),
                why="the tokenizer has no such added token",
                do=f"use some of: {', '.join(sorted(t for t in known if t.strip()))}",
            )
        for token in spec["added_tokens"]:
            token["special"] = bool(token["content"].strip()) and token["content"] not in control_tokens

    def _check_ids(self, spec: dict[str, Any]) -> None:
        """`tokenizers` assigns ids of added tokens itself and only warns if the file differs."""
        for token in spec["added_tokens"]:
            if (used := self._tokenizer.token_to_id(token["content"])) != token["id"]:
                raise KormoError(
                    where=f"{self.where}: tokenizer.json",
                    found=f"the id {token['id']} for {token['content']!r}",
                    why=f"the library gives it the id {used}: the vocabulary before it has holes or was edited",
                    do="save the tokenizer again with the library",
                )

    def encode(self, texts: Sequence[str], names: Sequence[str]) -> Encoded:
        """Encodes a batch of documents, without tokens added at the start or end.

        Args:
            texts: the documents.
            names: document names for error messages.
        Returns:
            Concatenated ids (shape [sum(lengths)]) and lengths in tokens (shape [documents]).
        Raises:
            KormoError: a lone surrogate, or a character that the vocabulary cannot encode; names the document.
        """
        if self._engine is None or not texts:
            for name, text in zip(names, texts, strict=True):
                _code_points(text, name)
            return self._by_tokenizers(texts, names)
        disputed = self._disputed(texts, names)
        if not disputed.any():
            return self._by_engine(texts, names)
        parts = [
            (self._by_tokenizers if slow else self._by_engine)([text], [name])
            for text, name, slow in zip(texts, names, disputed, strict=True)
        ]
        return np.concatenate([ids for ids, _ in parts]), np.concatenate([lengths for _, lengths in parts])

    def _by_engine(self, texts: Sequence[str], names: Sequence[str]) -> Encoded:
        assert self._engine is not None
        ids, lengths = self._engine.encode(texts)
        if (lost := np.flatnonzero(ids == NO_ID)).size:
            self._refuse(names[int(np.searchsorted(np.cumsum(lengths), lost[0], "right"))])
        return ids, lengths

    def _by_tokenizers(self, texts: Sequence[str], names: Sequence[str]) -> Encoded:
        encoded = [e.ids for e in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        ids = np.fromiter(chain.from_iterable(encoded), np.uint32, int(lengths.sum()))
        if self._byte_lengths is not None:
            normalizer = self._tokenizer.normalizer
            plain = texts if normalizer is None else map(normalizer.normalize_str, texts)
            wanted = np.fromiter((len(text.encode()) for text in plain), np.int64, len(texts))
            spelled = _sums(self._byte_lengths[ids], lengths)
            if (lost := np.flatnonzero(spelled != wanted)).size:
                self._refuse(names[lost[0]])
        return ids, lengths

    def _refuse(self, name: str) -> None:
        raise KormoError(
            where=f"document {name}",
            found="a character whose bytes the vocabulary lacks",
            why=f"the tokenizer {self.where} has no unknown token and would drop it",
            do="reject the document in the corpus, or train the tokenizer with all 256 bytes in its alphabet",
        )

    def _disputed(self, texts: Sequence[str], names: Sequence[str]) -> NDArray[np.bool_]:
        """Which documents contain a code point that the two libraries treat differently; bool [documents]. Those that
        did not occur before are tried."""
        try:
            if not self._has_disputed("".join(texts)):
                return np.zeros(len(texts), bool)
        except UnicodeEncodeError:  # a lone surrogate: its document is named
            for text, name in zip(texts, names, strict=True):
                _code_points(text, name)
            raise
        return np.fromiter(map(self._has_disputed, texts), bool, len(texts))

    def _has_disputed(self, text: str) -> bool:
        """Whether the libraries treat a code point of a text differently; those that are new are tried."""
        disputed, new = False, []
        for start in range(0, len(text), BLOCK):
            points = np.frombuffer(text[start : start + BLOCK].encode("utf-32-le"), np.uint32)
            verdicts = self._verdicts.take(points, mode="clip")  # `clip` copies no indices
            if (worst := int(verdicts.max())) != AGREED:
                disputed |= worst == DISPUTED
                new.append(points[verdicts == UNKNOWN])
        if new:
            occurs = np.zeros(len(self._verdicts), bool)
            occurs[np.concatenate(new)] = True
            tried = np.flatnonzero(occurs).astype(np.uint32)
            self._try(tried)
            disputed |= bool((self._verdicts[tried] == DISPUTED).any())
        return disputed

    def _try(self, points: NDArray[np.uint32]) -> None:
        """Compares code points that did not occur before, all in one call unless one is refused."""
        if not len(points):
            return
        texts = [PROBE.replace("{}", chr(point)) for point in points]
        try:
            ids, lengths = self._by_engine(texts, texts)
            others, other_lengths = self._by_tokenizers(texts, texts)
        except KormoError:  # not encodable with the vocabulary: the document that contains it will be named
            for half in np.array_split(points, 2) if len(points) > 1 else ():
                self._try(half)
            self._verdicts[points] = DISPUTED if len(points) == 1 else self._verdicts[points]
            return
        if np.array_equal(lengths, other_lengths) and np.array_equal(ids, others):
            self._verdicts[points] = AGREED
            return
        cuts, other_cuts = np.cumsum(lengths)[:-1], np.cumsum(other_lengths)[:-1]
        same = [np.array_equal(a, b) for a, b in zip(np.split(ids, cuts), np.split(others, other_cuts), strict=True)]
        self._verdicts[points] = np.where(same, AGREED, DISPUTED)

    def compare(self, texts: Sequence[str], names: Sequence[str]) -> int:
        """Encodes documents again with `tokenizers`; returns the number of tokens compared.

        Raises:
            Disagreement: names the first document that they encode differently.
        """
        tokens = 0
        for text, name in zip(texts, names, strict=True):
            ids = self._by_tokenizers([text], [name])[0]
            if not np.array_equal(self.encode([text], [name])[0], ids):
                raise Disagreement(name)
            tokens += len(ids)
        return tokens

    @staticmethod
    def _lengths_in_bytes(spec: dict[str, Any]) -> NDArray[np.int64] | None:
        """Number of bytes of each id, int64 [ids]; None if tokens do not correspond exactly to the bytes of the
        text."""
        symbols = byte_symbols()
        stage = json.dumps(spec.get("pre_tokenizer"))
        if '"ByteLevel"' not in stage or '"add_prefix_space": true' in stage or '"Removed"' in stage:
            return None
        added = {t["id"]: t["content"] for t in spec["added_tokens"]}
        lengths = np.zeros(1 + max([*spec["model"]["vocab"].values(), *added]), np.int64)
        base = {token: number for token, number in spec["model"]["vocab"].items() if number not in added}
        if not symbols.keys() >= set("".join(base)):
            return None
        lengths[list(base.values())] = list(map(len, base))
        for number, content in added.items():
            lengths[number] = len(content.encode())
        return lengths


def _composing(ends: Iterable[str]) -> list[int]:
    """Combining marks that compose with one of these characters, as U+0338 does with `>`. For gigatoken a text is
    normalized before added tokens are matched; `tokenizers` matches the token first, and the mark is left by
    itself."""
    last = sorted(set(ends))
    return [mark for mark in MARKS if any(len(normalize("NFC", end + chr(mark))) == 1 for end in last)]


def _sums(values: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum of each run of `values`, whose `lengths` may be 0; int64 [runs]."""
    before = np.concatenate([[0], np.cumsum(values)])
    ends = np.cumsum(lengths)
    return np.asarray(before[ends] - before[ends - lengths])


def _code_points(text: str, name: str) -> NDArray[np.uint32]:
    """The code points of a document.

    Raises:
        KormoError: a lone surrogate; names the document.
    """
    try:
        return np.frombuffer(text.encode("utf-32-le"), np.uint32)
    except UnicodeEncodeError as error:
        raise KormoError(
            where=f"document {name}",
            found=f"the lone surrogate {text[error.start]!a}",
            why="it cannot be encoded in UTF-8",
            do="clean the document, or reject it in the corpus",
        ) from None
