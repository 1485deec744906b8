"""Reads human-written text for comparison with a model's answers: `.txt`, `.md`, or `.jsonl` with a field `text`."""

from __future__ import annotations

import json
from pathlib import Path

from kormo_plugins.errors import KormoError, in_words

ENDINGS = (".txt", ".md", ".jsonl")
MOST = 2_000
"""Maximum number of texts: the first ones; the measures do not change with more."""


def read_texts(path: Path) -> list[str]:
    """The texts of a file, or of all files of a folder.

    Raises:
        KormoError: no text file, or a file cannot be read.
    """
    files = sorted(one for one in path.rglob("*") if one.suffix in ENDINGS) if path.is_dir() else [path]
    texts: list[str] = []
    for file in files:
        try:
            content = file.read_text(encoding="utf-8")
            rows = [line for line in content.splitlines() if line.strip()] if file.suffix == ".jsonl" else []
            texts += [str(json.loads(row)["text"]) for row in rows[:MOST]] if file.suffix == ".jsonl" else [content]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KormoError(
                where=str(file),
                found=in_words(error),
                why="the human text cannot be read",
                do="name text files, or JSONL with a field `text`",
            ) from None
    if not texts:
        raise KormoError(
            where="kormo eval: --human",
            found=str(path),
            why=f"there is no file with the ending {', '.join(ENDINGS)}",
            do="name such a file, or a folder of them",
        )
    return texts[:MOST]
