"""Shards come from a store whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from kormo_plugins.documents.document import Document
from kormo_plugins.errors import KormoError
from kormo_plugins.shards import transfer
from kormo_plugins.shards.reader import Shards
from kormo_plugins.shards.tokenize import tokenize_source
from kormo_plugins.shards.transfer import fetch
from kormo_plugins.shards.verify import verify


@pytest.fixture
def built(tokenizer: Path, tmp_path: Path) -> Path:
    docs = [Document(f"d{n}", f"text number {n} " * (n % 7)) for n in range(50)]
    tokenize_source(docs, tokenizer, tmp_path / "built", source="mix", chunk_characters=500)
    return tmp_path / "built"


@pytest.fixture
def store(built: Path) -> str:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.put(str(built) + "/", "/bucket/mix/", recursive=True)
    return "memory://bucket/mix"


def test_a_copy_is_whole_and_goes_on_where_it_stopped(store: str, built: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = fetch(store, out)
    assert first["copied"] == first["bytes"] == verify(out)["bytes"]
    assert Shards(out).identity == Shards(built).identity
    assert sorted(p.name for p in out.iterdir()) == sorted(
        p.name for p in built.iterdir() if p.suffix == ".bin" or p.name == "shards.json"
    )
    (out / "shard-00001.ids.bin").unlink()
    damaged = out / "shard-00000.ids.bin"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    seen: list[tuple[int, int]] = []
    again = fetch(store, out, progress=lambda done, total: seen.append((done, total)))
    assert again["copied"] == damaged.stat().st_size + (out / "shard-00001.ids.bin").stat().st_size
    assert seen[-1] == (first["bytes"], first["bytes"])
    assert fetch(str(built), tmp_path / "local")["files"] == first["files"]


@pytest.mark.parametrize("how", ["flipped", "missing"])
def test_a_damaged_store_is_named_and_nothing_looks_finished(store: str, tmp_path: Path, how: str) -> None:
    memory, path = fsspec.filesystem("memory"), "/bucket/mix/shard-00001.ids.bin"
    data = bytearray(memory.cat_file(path))
    data[3] ^= 4
    memory.rm(path)
    if how == "flipped":
        memory.pipe_file(path, bytes(data))
    with pytest.raises(KormoError, match=r"shard-00001\.ids\.bin"):
        fetch(store, tmp_path / "out")
    assert not (tmp_path / "out" / "shards.json").exists()
    assert not list((tmp_path / "out").glob("*.tmp"))
    with pytest.raises(KormoError, match="never finished"):
        Shards(tmp_path / "out")


def test_no_more_is_taken_than_the_manifest_lists(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never ends a file would fill the disk."""
    memory, path = fsspec.filesystem("memory"), "/bucket/mix/shard-00001.ids.bin"
    size = memory.size(path)
    memory.pipe_file(path, memory.cat_file(path) + bytes(10_000))
    monkeypatch.setattr(transfer, "CHUNK", 100)
    with pytest.raises(KormoError, match=rf"shard-00001.*more than {size:,} bytes"):
        fetch(store, tmp_path / "out", threads=1)
    monkeypatch.setattr(transfer, "MANIFEST_BYTES", 10)
    with pytest.raises(KormoError, match="too large for a manifest"):
        fetch(store, tmp_path / "out")


def test_while_another_version_is_copied_over_it_a_folder_is_not_whole(store: str, tmp_path: Path) -> None:
    fetch(store, tmp_path / "out")
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/mix/shards.json", memory.cat_file("/bucket/mix/shards.json") + b" ")
    memory.rm("/bucket/mix/shard-00001.ids.bin")
    (tmp_path / "out" / "shard-00001.ids.bin").unlink()
    with pytest.raises(KormoError):
        fetch(store, tmp_path / "out")
    assert not (tmp_path / "out" / "shards.json").exists()


@pytest.mark.parametrize("url", ["memory://nowhere", "nosuchprotocol://x"])
def test_an_address_without_shards_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(KormoError):
        fetch(url, tmp_path / "out")
    assert not (tmp_path / "out").exists()
