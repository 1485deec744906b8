"""Compares tokenizers: encodes the same documents with each and measures them by language and by source.

bytes per token        compression, comparable between languages of one script
characters per token   compression as readers perceive it
tokens per eojeol      an eojeol is a space-separated unit of Korean, a word with its particles
single bytes           share of tokens that are one byte of a longer character: missing from the vocabulary
entropy                bits per token of the unigram distribution, and their ratio to log2(ids): 1 means that
                       every id is used equally often
unused                 ids that never occurred: each costs a row of the embedding and of the output layer

Use text that none of the tokenizers was trained on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from kormo_plugins.documents.document import Document
from kormo_plugins.errors import KormoError
from kormo_plugins.tokenizer.comparison.peers import Peer, open_peer
from kormo_plugins.tokenizer.texts import read_texts

BATCH = 256
LONGEST = 20


def report(tokenizers: Sequence[str], files: Sequence[Path], terms: Sequence[str] = ()) -> dict[str, Any]:
    """Measures each tokenizer on all documents.

    Args:
        tokenizers: names as for `open_peer`.
        files: as for `read_texts`; documents without text or with a lone surrogate are counted and skipped.
        terms: words to count: the ids whose text contains one, and their number of uses.
    Returns:
        `{"documents": …, "bytes": …, "rejected": …, "tokenizers": {name: {"size", "languages", "sources",
        "all", "unused", "unused_share", "longest", "terms"}}}`; a group has `bytes_per_token`,
        `characters_per_token`, `tokens_per_eojeol`, `single_byte_share`, `entropy_bits`, `entropy_share`,
        `tokens`, `bytes`.
    Raises:
        KormoError: a tokenizer or file cannot be read, or there is no text.
    """
    peers = [open_peer(name) for name in dict.fromkeys(tokenizers)]
    groups = [_Counts(peer) for peer in peers]
    rejected: Counter[str] = Counter()
    if not peers:
        raise KormoError(
            where="tokenizer report",
            found="no tokenizer",
            why="there is nothing to compare",
            do="name at least one tokenizer",
        )
    documents = 0
    for batch in _batches(_usable(read_texts(files), rejected)):
        documents += len(batch)
        for counts in groups:
            counts.add(batch)
    if not documents:
        raise KormoError(
            where="tokenizer report: --text",
            found=f"no usable text in {', '.join(map(str, files)) or 'no file'}; rejected: {dict(rejected)}",
            why="tokenizers can only be measured on text",
            do="name files with text",
        )
    return {
        "documents": documents,
        "bytes": groups[0].groups[0][""].bytes,
        "rejected": dict(rejected),
        "tokenizers": {counts.peer.name: counts.result(terms) for counts in groups},
    }


@dataclass(slots=True)
class _Group:
    """Sums over the documents of one language or source; `ids` has the uses of each id."""

    ids: np.ndarray
    tokens: int = 0
    bytes: int = 0
    characters: int = 0
    eojeol: int = 0

    def add(self, texts: list[str], encoded: list[list[int]]) -> None:
        """Counts texts and their ids: UTF-8 bytes, characters (code points), eojeol (words between spaces)."""
        flat = np.fromiter(chain.from_iterable(encoded), np.int64)
        self.tokens += len(flat)
        self.ids += np.bincount(flat, minlength=len(self.ids))
        self.bytes += sum(len(text.encode()) for text in texts)
        self.characters += sum(map(len, texts))
        self.eojeol += sum(len(text.split()) for text in texts)

    def result(self, single: np.ndarray) -> dict[str, float]:
        """Ratios of the counts.

        Args:
            single: for each id, whether it is a single byte that is not a character by itself; bool [vocabulary].
        """
        share = self.ids[self.ids > 0] / max(1, self.tokens)
        entropy = float(-(share * np.log2(share)).sum())
        tokens = max(1, self.tokens)
        return {
            "bytes_per_token": self.bytes / tokens,
            "characters_per_token": self.characters / tokens,
            "tokens_per_eojeol": self.tokens / max(1, self.eojeol),
            "single_byte_share": float(self.ids[single].sum()) / tokens,
            "entropy_bits": entropy,
            "entropy_share": entropy / float(np.log2(len(self.ids))),
            "tokens": self.tokens,
            "bytes": self.bytes,
        }


class _Counts:
    """Counts of one tokenizer on the documents."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.groups: tuple[dict[str, _Group], ...] = ({}, {}, {})  # all, by language, by source

    def add(self, batch: list[Document]) -> None:
        """Encodes documents and counts them in three groupings: all, by language, by source."""
        encoded = self.peer.encode([document.text for document in batch])
        keys: dict[tuple[int, str], list[int]] = {}
        for place, document in enumerate(batch):
            for table, key in enumerate(("", document.language, document.source)):
                keys.setdefault((table, key), []).append(place)
        for (table, key), places in keys.items():
            group = self.groups[table].setdefault(key, _Group(np.zeros(len(self.peer.pieces), np.int64)))
            group.add([batch[place].text for place in places], [encoded[place] for place in places])

    def result(self, terms: Sequence[str]) -> dict[str, object]:
        """The whole report of one tokenizer.

        Args:
            terms: words whose tokens are listed.
        """
        total, languages, sources = self.groups
        pieces, used = self.peer.pieces, total[""].ids
        single = np.array([piece is not None and len(piece) == 1 and piece[0] >= 0x80 for piece in pieces])
        real = np.array([piece is not None for piece in pieces])
        unused = int(((used == 0) & real).sum())
        words = (p.decode() for p in pieces if p and _has_letters(p))
        longest = sorted(words, key=lambda word: (-len(word.encode()), word))[:LONGEST]
        return {
            "size": len(pieces),
            "all": total[""].result(single),
            "languages": {name: group.result(single) for name, group in sorted(languages.items())},
            "sources": {name: group.result(single) for name, group in sorted(sources.items())},
            "unused": unused,
            "unused_share": unused / int(real.sum()),
            "longest": longest,
            "terms": _count_terms(pieces, used, terms),
        }


def _has_letters(piece: bytes) -> bool:
    try:
        return any(map(str.isalpha, piece.decode()))
    except UnicodeDecodeError:  # a token may end inside a character
        return False


def _count_terms(pieces: list[bytes | None], used: np.ndarray, terms: Sequence[str]) -> dict[str, dict[str, int]]:
    """Per term (ignoring case): the ids whose text contains it, and their number of uses."""
    counts = {term: {"tokens": 0, "uses": 0} for term in terms}
    if not terms:
        return counts
    for place, piece in enumerate(pieces):
        text = piece.decode(errors="ignore").casefold() if piece else ""
        for term in terms:
            if term.casefold() in text:
                counts[term]["tokens"] += 1
                counts[term]["uses"] += int(used[place])
    return counts


def _usable(documents: Iterable[Document], rejected: Counter[str]) -> Iterator[Document]:
    for document in documents:
        try:
            document.text.encode()
        except UnicodeEncodeError:
            rejected["lone surrogate"] += 1
            continue
        if document.text.strip():
            yield document
        else:
            rejected["empty"] += 1


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    for document in documents:
        batch.append(document)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
