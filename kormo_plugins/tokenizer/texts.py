"""Reads text directly from files, to train or measure a tokenizer without building a corpus."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from zstandard import ZstdError

from kormo_plugins.documents.document import Document, from_line, read_lines
from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.store.artifact import MANIFEST

Line = TypeVar("Line", str, bytes)
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
            yield from read_texts(sorted(p for p in path.iterdir() if p.name.endswith(SUFFIXES)))
            continue
        for document in _read(path):
            if document.language == "und":
                document.language = guess_language(document.text)
            yield document


def unread(files: Sequence[Path]) -> list[Path]:
    """What lies in those of `files` that are folders and is not read: files of other kinds, and folders.

    In an artifact of ours (a corpus) nothing else is meant to be read.
    """
    folders = [path for path in files if path.is_dir() and not (path / MANIFEST).is_file()]
    inside = [path for folder in folders for path in sorted(folder.iterdir())]
    return [path for path in inside if not path.name.endswith(SUFFIXES) and not path.name.startswith(".")]


def _read(path: Path) -> Iterator[Document]:
    source = path.name.split(".")[0]
    try:
        if path.name.endswith(".jsonl.zst"):
            yield from _parsed(read_lines(path), lambda line, number: from_line(line))
        elif path.name.endswith(".jsonl"):
            with path.open(encoding="utf-8") as file:
                yield from _parsed(file, lambda line, number: _document(line, number, source))
        else:
            yield Document(source, path.read_text(encoding="utf-8"), source)
    except (OSError, ValueError, KeyError, TypeError, ZstdError) as error:
        raise KormoError(
            where=str(path),
            found=in_words(error),
            why="it cannot be read as UTF-8 text, or as JSONL with the key `text` in each line",
            do="repair the file, or remove it from the list",
        ) from None


def _parsed(lines: Iterable[Line], parse: Callable[[Line, int], Document]) -> Iterator[Document]:
    """The document of each line.

    Args:
        parse: gets a line and its number, from 0.
    Raises:
        ValueError: names the line of the file, which the parser of a line does not know.
    """
    for number, line in enumerate(lines):
        try:
            document = parse(line, number)
        except json.JSONDecodeError as error:
            found = f"invalid JSON at line {number + 1:,}, column {error.colno}: {error.msg.lower()}"
            raise ValueError(found) from None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"line {number + 1:,}: {in_words(error)}") from None
        yield document


def _document(line: str, number: int, source: str) -> Document:
    row = json.loads(line.rstrip("\r\n"))
    if not isinstance(row["text"], str):
        raise ValueError("the text is not a string")
    language = row.get("language") or row.get("lang") or "und"
    return Document(str(number), row["text"], row.get("source") or source, language)
