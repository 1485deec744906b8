"""Removes template lines: menus at the beginning and end of a page, and lines repeated across a site.

    - name: template_lines
      examples: {path: pages-of-the-site.jsonl}      # or a sample of the source itself

A line that occurs in many documents of `examples` belongs to their template (RefinedWeb, arXiv 2306.01116, removes such
lines after extraction; CCNet, 1911.00359, drops repeated paragraphs). Hashes of these lines are collected once per
build and stored in `models/`. Without examples only menus are removed: runs of short lines without a sentence, at the
beginning or end of a document, never in the middle, where they may be verse.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import xxhash
from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.readers.files import Files, FilesParams
from kormo_plugins.corpus.step import Rejected
from kormo_plugins.corpus.steps.duplicates.boilerplate import body
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import KormoError
from kormo_plugins.store.fingerprint import file_checksum

if TYPE_CHECKING:
    import numpy as np

NAME = "lines.npy"
LONGEST = 200
"""Maximum characters of a template line."""
_NUMBERS = re.compile(r"\d+")
_EXAMPLES = Files("jsonl", "parquet", "text", name="template_lines")


class TemplateLinesParams(Strict):
    """The examples, and what may be removed."""

    RENAMED: ClassVar = {"most_removed": "max_removed"}

    examples: FilesParams | None = Field(
        default=None,
        description="documents whose common lines are taken as template lines; null: only menus are removed",
    )
    documents: int = Field(
        default=20,
        ge=2,
        description="minimum number of different examples that contain a template line; numbers in a line are "
        "ignored (ours)",
    )
    share: float = Field(
        default=0.005, ge=0, le=1, description="minimum share of all examples that contain a template line (ours)"
    )
    menus: bool = Field(
        default=True, description="remove menus at the beginning and end of a page, with or without examples"
    )
    max_removed: float = Field(
        default=0.7,
        gt=0,
        le=1,
        description="maximum share of its characters that a document may lose; above it the document is dropped",
    )
    learned: Path | None = Field(
        default=None, description="hashes of template lines from an earlier build (`models/…/lines.npy`); null: none"
    )


class TemplateLines:
    """Removes template lines from documents."""

    VERSION = 1

    def __init__(self, params: TemplateLinesParams) -> None:
        self.params = params
        self.known = frozenset(_hashes(params.learned).tolist()) if params.learned else frozenset()

    @staticmethod
    def inputs(params: TemplateLinesParams) -> object:
        """Checksums of the examples or of the given hashes."""
        if params.learned is not None:
            return file_checksum(params.learned)
        return _EXAMPLES.inputs(params.examples) if params.examples else None

    @staticmethod
    def prepare(params: TemplateLinesParams, folder: Path) -> TemplateLinesParams:
        """Collects the lines into `folder`, unless hashes are given."""
        if params.examples is None:
            return params
        path = folder / NAME
        if not path.exists():
            learn(params, path)
        return params.model_copy(update={"learned": path, "examples": None})

    def __call__(self, document: Document) -> Document | Reject:
        text = document.text
        text_lines = text.split("\n")
        kept = [line for line in text_lines if not (line.strip() and len(line) <= LONGEST and _key(line) in self.known)]
        kept = _without_menus(kept) if self.params.menus else kept
        if len(kept) == len(text_lines):
            return document
        clean = "\n".join(kept).strip("\n")
        if len(clean.strip()) < (1 - self.params.max_removed) * len(text.strip()):
            return Reject("lines of a template")
        document.text = clean
        return document


def learn(params: TemplateLinesParams, path: Path) -> None:
    """Writes the hashes of lines that are frequent in the examples; uint64, sorted.

    Raises:
        KormoError: the examples contain no document.
    """
    import numpy as np

    assert params.examples is not None
    counts: Counter[int] = Counter()
    total = 0
    for item in _EXAMPLES(params.examples):
        if not isinstance(item, Rejected):
            total += 1
            lines = (line for line in item.text.split("\n") if line.strip() and len(line) <= LONGEST)
            counts.update({_key(line) for line in lines})
    if not total:
        raise KormoError(
            where="step template_lines: examples",
            found=f"no document in {params.examples.path}",
            why="repeated lines can only be found in documents",
            do="name a file with documents, and map its text column",
        )
    least = max(params.documents, params.share * total)
    np.save(path, np.array(sorted(key for key, count in counts.items() if count >= least), dtype=np.uint64))


def _key(line: str) -> int:
    """64-bit hash of a line, ignoring white space and numbers: `조회 12` equals `조회 345`."""
    return xxhash.xxh3_64_intdigest(_NUMBERS.sub("0", " ".join(line.split())).encode("utf-8", "surrogatepass"))


def _hashes(path: Path) -> np.ndarray:
    import numpy as np

    return np.asarray(np.load(path, allow_pickle=False))


def _without_menus(lines: list[str]) -> list[str]:
    start, end = body(lines)
    return lines[start:end]
