"""How good is a tokenizer? The same documents through several, counted by language and by source.

bytes per token        compression, comparable between languages of one script
characters per token   compression as a reader sees it
tokens per eojeol      Korean is written in space-separated eojeol (a word with its particles); ideal is near
2 single bytes           share of tokens that are one byte of a longer character: text the vocabulary does not
know entropy                bits per token of the unigram distribution, and as a share of log2(ids): 1 is a
vocabulary of
                       which every id is used equally often
unused                 ids that never occurred: the price of each is a row of the embedding and of the output
layer

Compare on text that no tokenizer was trained on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kormo_plugins.documents import Document, read_documents
from kormo_plugins.errors import KormoError
from kormo_plugins.tokenizer.peers import Peer, open_peer

BATCH = 256
LONGEST = 20
SCRIPTS = (
    ("ko", "가", "힣"),
    ("ja", "぀", "ヿ"),
    ("zh", "一", "鿿"),
)


def report(
    tokenizers: Sequence[str], files: Sequence[Path], terms: Sequence[str] = (), source: str = ""
) -> dict[str, Any]:
    """Measures each tokenizer on all the documents.

    Args:
        tokenizers: names as for `open_peer`.
        files: text, `.jsonl` (key `text`; `language` and `source` if there) or `.jsonl.zst`; or folders of
        these.
        terms: words to count: ids whose text contains one, and how often those were used.
        source: overrides the source of every document.
    Returns:
        `{"documents": …, "bytes": …, "rejected": …, "tokenizers": {name: {"size", "languages", "sources",
        "all", "unused", "unused_share", "longest", "terms"}}}`; a group has `bytes_per_token`,
        `characters_per_token`, `tokens_per_eojeol`, `single_byte_share`, `entropy_bits`, `entropy_share`,
        `tokens`, `bytes`.
    Raises:
        KormoError: a tokenizer or file that cannot be read, or no text.
    """
    peers = [open_peer(name) for name in dict.fromkeys(tokenizers)]
    groups = [_Counts(peer) for peer in peers]
    rejected: Counter[str] = Counter()
    documents = 0
    for batch in _batches(_documents(files, rejected)):
        documents += len(batch)
        for counts in groups:
            counts.add(batch, source)
    if not documents:
        raise KormoError(
            "tokenizer report: --text",
            f"no usable text in {', '.join(map(str, files)) or 'no file'}; rejected: {dict(rejected)}",
            "there is nothing to measure on",
            "name files with text",
        )
    return {
        "documents": documents,
        "bytes": groups[0].total.bytes if groups else 0,
        "rejected": dict(rejected),
        "tokenizers": {counts.peer.name: counts.result(terms) for counts in groups},
    }


@dataclass(slots=True)
class _Group:
    """Sums over the documents of one language or source."""

    ids: np.ndarray
    tokens: int = 0
    bytes: int = 0
    characters: int = 0
    eojeol: int = 0

    def add(self, text: str, ids: list[int]) -> None:
        self.tokens += len(ids)
        self.bytes += len(text.encode())
        self.characters += len(text)
        self.eojeol += len(text.split())
        self.ids += np.bincount(ids, minlength=len(self.ids)) if ids else 0

    def result(self, single: np.ndarray) -> dict[str, float]:
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
    """What one tokenizer made of the documents."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.total = _Group(np.zeros(len(peer.pieces), np.int64))
        self.languages: dict[str, _Group] = {}
        self.sources: dict[str, _Group] = {}

    def add(self, batch: list[Document], source: str) -> None:
        encoded = self.peer.encode([document.text for document in batch])
        for document, ids in zip(batch, encoded, strict=True):
            for table, key in (
                (self.languages, document.language),
                (self.sources, source or document.source),
            ):
                if key not in table:
                    table[key] = _Group(np.zeros(len(self.peer.pieces), np.int64))
                table[key].add(document.text, ids)
            self.total.add(document.text, ids)

    def result(self, terms: Sequence[str]) -> dict[str, Any]:
        pieces, used = self.peer.pieces, self.total.ids
        single = np.array([piece is not None and len(piece) == 1 and piece[0] >= 0x80 for piece in pieces])
        real = np.array([piece is not None for piece in pieces])
        unused = int(((used == 0) & real).sum())
        longest = sorted((p for p in pieces if p), key=lambda p: (-len(p), p))[:LONGEST]
        return {
            "size": len(pieces),
            "all": self.total.result(single),
            "languages": {name: group.result(single) for name, group in sorted(self.languages.items())},
            "sources": {name: group.result(single) for name, group in sorted(self.sources.items())},
            "unused": unused,
            "unused_share": unused / int(real.sum()),
            "longest": [piece.decode(errors="replace") for piece in longest],
            "terms": _count_terms(pieces, used, terms),
        }


def _count_terms(
    pieces: list[bytes | None], used: np.ndarray, terms: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Per term (letter case aside): the ids whose text contains it, and how often they were used."""
    found = {term: {"tokens": 0, "uses": 0} for term in terms}
    if not terms:
        return found
    for place, piece in enumerate(pieces):
        text = piece.decode(errors="ignore").casefold() if piece else ""
        for term in terms:
            if term.casefold() in text:
                found[term]["tokens"] += 1
                found[term]["uses"] += int(used[place])
    return found


def guess_language(text: str) -> str:
    """The language of a document that does not say: `ko`, `ja`, `zh` if a fifth of its letters are of that
    script, else `en`. Kana come before Han, which Japanese has as well."""
    letters = [character for character in text[:20_000] if character.isalpha()]
    for language, low, high in SCRIPTS:
        if letters and sum(low <= character <= high for character in letters) >= len(letters) / 5:
            return language
    return "en" if letters else "und"


def _documents(files: Sequence[Path], rejected: Counter[str]) -> Iterator[Document]:
    for path in files:
        if path.is_dir():
            inside = sorted(
                p for p in path.iterdir() if p.name.endswith((".jsonl", ".jsonl.zst", ".txt", ".md"))
            )
            yield from _documents(inside, rejected)
            continue
        for document in _read(path):
            try:
                document.text.encode()
            except UnicodeEncodeError:
                rejected["lone surrogate"] += 1
                continue
            if not document.text.strip():
                rejected["empty"] += 1
                continue
            if document.language == "und":
                document.language = guess_language(document.text)
            yield document


def _read(path: Path) -> Iterator[Document]:
    source = path.name.split(".")[0]
    try:
        if path.name.endswith(".jsonl.zst"):
            yield from read_documents(path)
        elif path.name.endswith(".jsonl"):
            with path.open(encoding="utf-8") as file:
                for number, line in enumerate(file):
                    row = json.loads(line)
                    yield Document(
                        str(number), row["text"], row.get("source") or source, row.get("language") or "und"
                    )
        else:
            yield Document(source, path.read_text(encoding="utf-8"), source)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KormoError(
            str(path),
            f"{type(error).__name__}: {error}",
            "it cannot be read as UTF-8 text, or as JSONL with a `text` in each line",
            "repair the file, or leave it out",
        ) from None


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    for document in documents:
        batch.append(document)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
