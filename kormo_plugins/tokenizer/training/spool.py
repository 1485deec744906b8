"""Buffers the texts that may be sampled in a file, so that the corpus is read once.

Whether a text is sampled depends on its keyed hash and on the size of each language (`sample`), which is known only at
the end. But a language never contributes more than its share of the budget, so only the texts with the smallest hashes
that fill that share are kept; the file grows with the logarithm of the corpus.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from zstandard import ZstdCompressor, ZstdDecompressor

from kormo_plugins.documents.document import Document

_HEAD = struct.Struct("<HI")
"""Index of the language, bytes of the text."""


class Spool:
    """A file of texts that is written once and can be read repeatedly."""

    def __init__(self, path: Path, caps: dict[str, float], bins: int) -> None:
        """
        Args:
            path: the file, which is created.
            caps: language -> maximum bytes in a sample.
            bins: number of hash bins.
        """
        self.path, self.caps = path, caps
        self.bytes = 0
        self._names = list(caps)
        self._number = {name: number for number, name in enumerate(caps)}
        self._bins = {name: np.zeros(bins, np.int64) for name in caps}
        self._kept = dict.fromkeys(caps, 0)
        self._last = dict.fromkeys(caps, bins - 1)

    def __enter__(self) -> Spool:
        self._raw = self.path.open("wb")
        self._file = ZstdCompressor(level=1).stream_writer(self._raw)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._raw.close()

    def offer(self, language: str, place: int, data: bytes) -> None:
        """Stores a text whose hash is in bin `place`, unless it is already certain that it will not be sampled."""
        if place > self._last[language]:
            return
        self._file.write(_HEAD.pack(self._number[language], len(data)) + data)
        bins, cap = self._bins[language], self.caps[language]
        bins[place] += len(data)
        self._kept[language] += len(data)
        self.bytes += len(data)
        while (last := int(bins[self._last[language]])) <= self._kept[language] - cap and self._last[language]:
            self._kept[language] -= last
            self._last[language] -= 1

    def texts(self) -> Iterator[Document]:
        """The stored texts, in input order."""
        with self.path.open("rb") as raw, ZstdDecompressor().stream_reader(raw) as file:
            while head := file.read(_HEAD.size):
                number, size = _HEAD.unpack(head)
                yield Document("", file.read(size).decode(), language=self._names[number])
