"""Drops documents that contain a question of an evaluation set.

A run of n words shared with an evaluation item counts as contamination: GPT-3 uses 13 English words (Brown et al. 2020,
appendix C), datatrove 12. A Korean eojeol carries about two English words, so 8 are used for Korean. Words are compared
ignoring (ASCII) case, punctuation and white space; items shorter than n words are compared whole. Only 64-bit hashes of
the runs are stored; a compiled kernel computes them from UTF-8 bytes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import orjson
from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import KormoError
from kormo_plugins.store.fingerprint import file_checksum

if TYPE_CHECKING:
    import numpy as np

_HANGUL = re.compile("[가-힣]")


class DecontaminateParams(Strict):
    """The evaluation items, and how strictly to match them."""

    RENAMED: ClassVar = {"fewest": "min_words"}

    against: Path = Field(description="JSONL file with the evaluation items, or a folder of such files")
    fields: tuple[str, ...] = Field(
        default=("question", "text", "query"), description="columns that hold the text of an item"
    )
    words: int = Field(
        default=13,
        ge=3,
        description="length in words of a shared run that counts as contamination, for items without Hangul (GPT-3: "
        "13)",
    )
    eojeol: int = Field(
        default=8,
        ge=3,
        description="length in eojeol of a shared run that counts as contamination, for items with Hangul (ours)",
    )
    min_words: int = Field(
        default=4,
        ge=1,
        description="minimum words of an item; shorter ones would match any text and are ignored (ours)",
    )


class Decontaminate:
    """Drops documents that share a run of words with an evaluation item."""

    VERSION = 1

    def __init__(self, params: DecontaminateParams) -> None:
        self.tables = _index(params)

    @staticmethod
    def inputs(params: DecontaminateParams) -> object:
        """Checksums of the evaluation files."""
        return [[path.name, file_checksum(path)] for path in _files(params.against)]

    def __call__(self, document: Document) -> Document | Reject:
        import numpy as np

        from kormo_plugins.corpus.steps.duplicates.minhash_kernel import runs  # compiled: imported only if used

        data = np.frombuffer(document.text.encode(), dtype=np.uint8)
        for length, table in self.tables.items():
            hashes = runs(data, length)
            if len(hashes) and (table[np.minimum(np.searchsorted(table, hashes), len(table) - 1)] == hashes).any():
                return Reject("holds an evaluation item")
        return document


def _files(path: Path) -> list[Path]:
    files = sorted(path.rglob("*.jsonl")) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        raise KormoError(
            where="step decontaminate: against",
            found=str(path),
            why="it is neither a file nor a folder with JSONL files",
            do="name the file or the folder with the evaluation items",
        )
    return files


@lru_cache(maxsize=4)
def _index(params: DecontaminateParams) -> dict[int, np.ndarray]:
    """Length of run -> sorted hashes of all runs of that length; uint64."""
    import numpy as np

    from kormo_plugins.corpus.steps.duplicates.minhash_kernel import runs  # compiled: imported only if used

    tables: dict[int, list[np.ndarray]] = {}
    items = 0
    for path in _files(params.against):
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if not line.strip():
                continue
            try:
                row = orjson.loads(line)
                texts = [row[key] for key in params.fields if isinstance(row.get(key), str)]
            except (orjson.JSONDecodeError, AttributeError):
                raise KormoError(
                    where=f"{path}:{number}",
                    found="a line that is not a JSON object",
                    why="an evaluation item that cannot be read would not be searched for",
                    do="correct or remove the line",
                ) from None
            for text in texts:
                items += 1
                data = np.frombuffer(text.encode(), dtype=np.uint8)
                wanted = params.eojeol if _HANGUL.search(text) else params.words
                size = min(wanted, len(runs(data, 1)))
                if size >= params.min_words:
                    tables.setdefault(size, []).append(runs(data, size))
    if not items:
        raise KormoError(
            where="step decontaminate: fields",
            found=", ".join(params.fields),
            why=f"no item in {params.against} has any of these columns",
            do="name the columns that hold the items' text",
        )
    return {size: np.unique(np.concatenate(hashes)) for size, hashes in sorted(tables.items())}
