"""The texts that a sample may still need, kept in a file while the corpus is read, so that it is read once.

Which text is in the sample is decided by a keyed hash of it and by how much of each language there is (`sample`), which
is known at the end. But a language never gives more than its share of the budget. So of those that come, only the ones
with the smallest hashes are kept, as many as fill that share; the file grows with the logarithm of the corpus.
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
"""Number of the language, bytes of the text."""


class Spool:
    """A file of texts that is written once, and then read as often as need be."""

    def __init__(self, path: Path, caps: dict[str, float], bins: int) -> None:
        """
        Args:
            path: the file, which is made.
            caps: language -> the most bytes of it that a sample can have.
            bins: how many places a hash may have.
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
        """Keeps a text of a language whose hash lies at `place`, unless it is known that no sample needs it."""
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
        """What was kept, in the order it came."""
        with self.path.open("rb") as raw, ZstdDecompressor().stream_reader(raw) as file:
            while head := file.read(_HEAD.size):
                number, size = _HEAD.unpack(head)
                yield Document("", file.read(size).decode(), language=self._names[number])
