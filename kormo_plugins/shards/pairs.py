"""The format of tokenized preference pairs: one folder per source.

    ids.bin        token ids, uint16 or uint32: prompt, chosen, rejected of each pair, end to end
    borders.bin    int64 [3 * pairs + 1], start of each of them; the last is the number of ids
    pairs.jsonl    the same as text, one line per pair: id, prompt, chosen, rejected, as passed to the tokenizer
    rejects.jsonl  unused pairs, each with its reason
    pairs.json     tokenizer, counts and checksums; written last

A prompt ends with the generation prompt, so an answer starts with the first id that the model would generate.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.shards.format import id_dtype
from kormo_plugins.store.files import FileRecord, file_records, read_json
from kormo_plugins.store.fingerprint import file_checksum, identity
from kormo_plugins.store.json_file import write_json

PAIRS_FORMAT = "kormo-pairs-1"
PAIRS_MANIFEST = "pairs.json"
IDS, BORDERS, TEXTS, REJECTS = "ids.bin", "borders.bin", "pairs.jsonl", "rejects.jsonl"


@dataclass(frozen=True, slots=True)
class TokenPair:
    """A tokenized pair.

    Args:
        id: id of its document.
        texts: prompt, chosen, rejected, as rendered.
        ids: the same three as token ids.
    """

    id: str
    texts: tuple[str, str, str]
    ids: tuple[list[int], list[int], list[int]]


@dataclass(frozen=True, slots=True)
class Unused:
    """A pair that is not used: its document's id and the reason."""

    id: str
    reason: str


def write_pairs(
    pairs: Iterable[TokenPair | Unused], out: Path, *, source: str, tokenizer: str, largest_id: int
) -> dict[str, Any]:
    """Writes a source's pairs into the folder `out`, overwriting files of an earlier, killed attempt.

    Args:
        tokenizer: hash of the tokenizer that made the ids.
        largest_id: of that tokenizer; determines the dtype.
    Returns:
        Statistics: `pairs`, `unused` (reason -> number), `example` (id of the first unused pair), `tokens` and
            `longest` (tokens of a prompt with the longer of its answers).
    """
    out.mkdir(parents=True, exist_ok=True)
    dtype = id_dtype(largest_id)
    borders, unused, example, longest = [0], dict[str, int](), "", 0
    with (
        (out / IDS).open("wb") as ids,
        (out / TEXTS).open("w", encoding="utf-8") as texts,
        (out / REJECTS).open("w", encoding="utf-8") as rejects,
    ):
        for pair in pairs:
            if isinstance(pair, Unused):
                unused[pair.reason] = unused.get(pair.reason, 0) + 1
                example = example or pair.id
                rejects.write(json.dumps(asdict(pair), ensure_ascii=False) + "\n")
                continue
            for part in pair.ids:
                ids.write(np.asarray(part, dtype).tobytes())
                borders.append(borders[-1] + len(part))
            prompt, *answers = (len(part) for part in pair.ids)
            longest = max(longest, prompt + max(answers))
            line = {"id": pair.id, **dict(zip(("prompt", "chosen", "rejected"), pair.texts, strict=True))}
            texts.write(json.dumps(line, ensure_ascii=False) + "\n")
    np.asarray(borders, "<i8").tofile(out / BORDERS)
    stats = {
        "pairs": (len(borders) - 1) // 3,
        "tokens": borders[-1],
        "longest": longest,
        "example": example,
        "unused": dict(sorted(unused.items())),
    }
    files = {name: FileRecord((out / name).stat().st_size, file_checksum(out / name)) for name in _FILES}
    manifest = {"format": PAIRS_FORMAT, "source": source, "tokenizer": tokenizer, "dtype": dtype.str, **stats}
    write_json(out / PAIRS_MANIFEST, manifest | {"files": {name: asdict(record) for name, record in files.items()}})
    return stats


_FILES = (IDS, BORDERS, TEXTS, REJECTS)


class Pairs(Sequence[tuple[list[int], list[int], list[int]]]):
    """The pairs of one source, memory-mapped: prompt, chosen and rejected ids of each.

    Raises:
        KormoError: the folder is unfinished or of another format, or a file is missing or has a different size.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_json(self.folder / PAIRS_MANIFEST, PAIRS_FORMAT)
        self.records = file_records(self.manifest["files"], self.folder / PAIRS_MANIFEST)
        for name, record in self.records.items():
            record.check(self.folder / name, contents=False)
        self._open()

    def _open(self) -> None:
        dtype = np.dtype(self.manifest["dtype"])
        self._borders: NDArray[np.int64] = np.memmap(self.folder / BORDERS, "<i8", "r")
        empty = not self.records[IDS].bytes  # empty files cannot be mapped
        self._ids: NDArray[np.integer] = np.zeros(0, dtype) if empty else np.memmap(self.folder / IDS, dtype, "r")

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_borders", "_ids")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._open()

    def __len__(self) -> int:
        return (len(self._borders) - 1) // 3

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        borders = self._borders[3 * index : 3 * index + 4].tolist()
        return tuple(self._ids[borders[n] : borders[n + 1]].tolist() for n in range(3))

    @property
    def identity(self) -> str:
        """SHA-256 of everything that determines the ids; independent of the location."""
        parts = [[name, self.records[name].xxh3_128] for name in (IDS, BORDERS)]
        return identity(
            {
                "format": PAIRS_FORMAT,
                "dtype": self.manifest["dtype"],
                "files": parts,
                "tokenizer": self.manifest["tokenizer"],
            }
        )
