"""Reads text directly from files, to train or measure a tokenizer without building a corpus."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from zstandard import ZstdError

from kormo_plugins.documents.document import Document, read_documents
from kormo_plugins.errors import KormoError, in_words

SUFFIXES = (".jsonl", ".jsonl.zst", ".txt", ".md")
SCRIPTS = (
    ("ko", "가", "힣"),
    ("ja", "぀", "ヿ"),
    ("zh", "一", "鿿"),
)


def guess_language(text: str) -> str:
    """Guesses the language of a document: `ko`, `ja` or `zh` if a tenth of its letters are in that script, else `en`.
    Kana are checked before Han, which Japanese also uses."""
    letters = [character for character in text[:20_000] if character.isalpha()]
    for language, low, high in SCRIPTS:
        if letters and sum(low <= character <= high for character in letters) >= len(letters) / 10:
            return language
    return "en" if letters else "und"


def read_texts(files: Sequence[Path]) -> Iterator[Document]:
    """Yields the documents of files.

    Args:
        files: text, `.jsonl` (keys `text`; optional `language` or `lang`, and `source`), `.jsonl.zst`, or folders of
            these. A missing language is guessed.
    Raises:
        KormoError: a file cannot be read.
    """
    for path in files:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.name.endswith(SUFFIXES))
            yield from read_texts(inside)
            continue
        for document in _read(path):
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
                    if not isinstance(row["text"], str):
                        raise TypeError(f"line {number + 1}: the text is not a string")
                    language = row.get("language") or row.get("lang") or "und"
                    yield Document(str(number), row["text"], row.get("source") or source, language)
        else:
            yield Document(source, path.read_text(encoding="utf-8"), source)
    except (OSError, ValueError, KeyError, TypeError, ZstdError) as error:
        raise KormoError(
            where=str(path),
            found=in_words(error),
            why="it cannot be read as UTF-8 text, or as JSONL with the key `text` in each line",
            do="repair the file, or remove it from the list",
        ) from None
