"""The document of any token is found, whatever the lengths, by reading one page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.shards import reader
from kormo_plugins.shards.reader import Shards, memory_map, read_ahead
from kormo_plugins.shards.writer import ShardWriter, finish_source

RNG = np.random.default_rng(0)
LENGTHS = {
    "equal": np.full(5000, 7),
    "heavy": RNG.lognormal(3, 2, 20_000).astype(int),
    "ascending": np.arange(1000) * 3,
    "mostly empty": (RNG.random(30_000) < 0.001) * 1000,
    "one": np.array([9]),
    "one long one": np.array([1] * 3000 + [10**6] + [1] * 3000),
    "as many as the index counts": np.full(1024, 3),
}


def write(folder: Path, lengths: np.ndarray) -> Shards:
    """A source of three shards, each written in batches of any size."""
    folder.mkdir()
    records = []
    for number, part in enumerate(np.array_split(lengths, 3)):
        with ShardWriter(folder, f"shard-{number:05d}", np.dtype("<u2")) as writer:
            cuts = np.sort(RNG.integers(0, len(part) + 1, 4))
            for batch in np.split(part, cuts):
                writer.add(np.zeros(int(batch.sum()), np.uint16), batch, ["d"] * len(batch))
            records.append(writer.finish({}))
    finish_source(folder, "s", records, {"tokenizer": "t"})
    return Shards(folder)


@pytest.mark.parametrize("kind", LENGTHS)
def test_every_token_finds_its_document(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[np.ndarray] = []
    real = reader.read_ahead
    monkeypatch.setattr(reader, "read_ahead", lambda part: (asked.append(part), real(part)))
    shards = write(tmp_path / "s", LENGTHS[kind])
    offsets = np.concatenate([[0], np.cumsum(LENGTHS[kind])]).astype(np.int64)
    edges = np.unique(np.concatenate([offsets, offsets - 1, RNG.integers(0, offsets[-1], 500)]))
    positions = edges[(edges >= 0) & (edges < offsets[-1])][:: max(1, len(edges) // 2000)]
    documents = np.searchsorted(offsets, positions, "right") - 1
    assert shards.locate(positions.tolist()) == list(zip(documents.tolist(), offsets[documents].tolist(), strict=True))
    assert len(asked) == len(positions)
    maps = [part.__array_interface__["data"][0] for part in shards.offsets]
    for part in asked:  # within one page of a file, since maps begin at a page
        begin = part.__array_interface__["data"][0] - max(m for m in maps if m <= part.__array_interface__["data"][0])
        assert begin // 4096 == (begin + part.nbytes - 1) // 4096


def test_a_token_outside_the_source_is_refused(tmp_path: Path) -> None:
    shards = write(tmp_path / "s", LENGTHS["equal"])
    for position in (-1, shards.tokens):
        with pytest.raises(KormoError, match="the source has"):
            shards.locate([position])


@pytest.mark.parametrize("change", [lambda n: n[:-1], lambda n: n + 1, lambda n: n[::-1].copy()])
def test_an_index_of_other_offsets_is_refused(change, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    shards = write(tmp_path / "s", LENGTHS["equal"])
    path = tmp_path / "s" / "shard-00001.offsets.index.bin"
    path.write_bytes(change(np.fromfile(path, "<i8")).tobytes())
    with pytest.raises(KormoError, match=r"offsets\.index\.bin"):
        shards.locate([0])


def test_reading_ahead_takes_any_part_of_a_map_and_leaves_other_arrays_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    numbers = np.arange(5000, dtype="<i8")
    path.write_bytes(numbers.tobytes())
    mapped = memory_map(path, "<i8")
    for part in (mapped, mapped[700:703], mapped[4999:], mapped[5:5], numbers[3:9], np.zeros(0)):
        read_ahead(part)
    assert (mapped == numbers).all()
