"""Documents become shards: all of them, once, resumably, and told exactly where they came from."""

from __future__ import annotations

import json
import logging
import os
import signal
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kormo_plugins.documents.document import Document, write_documents
from kormo_plugins.errors import KormoError
from kormo_plugins.shards import tokenize
from kormo_plugins.shards.encoder import Encoder
from kormo_plugins.shards.engines import ENGINES
from kormo_plugins.shards.reader import Shards
from kormo_plugins.shards.tokenize import CHECK_EVERY, tokenize_source
from kormo_plugins.shards.verify import verify

from .made_tokenizers import TEXT, extend, train


def documents(count: int) -> list[Document]:
    rng = np.random.default_rng(0)
    return [
        Document(
            f"문서-{n}",
            "" if n % 17 == 3 else "".join(rng.choice(TEXT, n % 4)),
            "mix",
            "ko" if n % 2 else "en",
            "CC0-1.0",
            n % 5 == 0,
            "toy" if n % 5 == 0 else "",
        )
        for n in range(count)
    ]


def parts(folder: Path, docs: list[Document], size: int) -> list[Path]:
    folder.mkdir()
    paths = []
    for number, begin in enumerate(range(0, len(docs), size)):
        paths.append(folder / f"part-{number:05d}.jsonl.zst")
        write_documents(paths[-1], docs[begin : begin + size])
    return paths


def test_shards_hold_every_document_in_order(tokenizer: Path, tmp_path: Path) -> None:
    docs = documents(100)
    encoder = Encoder(tokenizer)
    manifest = tokenize_source(
        iter(docs), tokenizer, tmp_path, source="mix", bos_id=300, eos_id=301, chunk_characters=1000
    )
    shards = Shards(tmp_path)
    assert manifest["encoder"] == encoder.kind != "tokenizers" and manifest["tokenizer"] == encoder.hash
    assert len(manifest["shards"]) > 3 and shards.documents == 100
    assert manifest["languages"] == {"en": 50, "ko": 50} and manifest["licenses"] == {"CC0-1.0": 100}
    assert manifest["synthetic"] == {"no": 80, "yes": 20} and manifest["generators"] == {"toy": 20}
    for number, document in enumerate(docs):
        ids = encoder.encode([document.text], [document.id])[0]
        assert shards.document(number).tolist() == [300, *ids.tolist(), 301]
        assert shards.name(number) == document.id
        start, end = shards.span(number)
        assert set(shards.locate(range(start, end))) == {(number, start)}
    assert shards.tokens == sum(len(shards.document(n)) for n in range(100)) == manifest["tokens"]
    assert shards.dtype == np.uint16
    verify(tmp_path)


@pytest.mark.parametrize(("bos", "eos"), [(None, None), (300, None), (None, 301)])
def test_documents_may_go_without_marks(tokenizer: Path, tmp_path: Path, bos: int | None, eos: int | None) -> None:
    docs = documents(40)
    tokenize_source(docs, tokenizer, tmp_path, source="mix", bos_id=bos, eos_id=eos)
    shards, encoder = Shards(tmp_path), Encoder(tokenizer)
    for number, document in enumerate(docs):
        ids = encoder.encode([document.text], [document.id])[0].tolist()
        expected = [300] * (bos is not None) + ids + [301] * (eos is not None)
        assert shards.document(number).tolist() == expected


def test_finished_shards_are_kept_and_damaged_ones_made_again(
    tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, out = parts(tmp_path / "corpus", documents(60), 10), tmp_path / "out"
    real, made = tokenize.ShardWriter, []

    def failing(folder: Path, name: str, dtype: np.dtype, *, masked: bool) -> tokenize.ShardWriter:
        made.append(name)
        if len(made) == 4:
            raise KeyboardInterrupt
        return real(folder, name, dtype, masked=masked)

    monkeypatch.setattr(tokenize, "ShardWriter", failing)
    with pytest.raises(KeyboardInterrupt):
        tokenize_source(paths, tokenizer, out, source="mix")
    assert not (out / "shards.json").exists() and not list(out.glob("*.tmp"))
    flipped = out / "shard-00001.ids.bin"
    flipped.write_bytes(bytes([flipped.read_bytes()[0] ^ 1]) + flipped.read_bytes()[1:])
    first = tokenize_source(paths, tokenizer, out, source="mix")
    assert made[4:] == ["shard-00001", "shard-00003", "shard-00004", "shard-00005"]
    tokenize_source(paths, tokenizer, out, source="mix")
    assert len(made) == 8, "nothing is made twice"
    write_documents(paths[2], documents(3))
    assert tokenize_source(paths, tokenizer, out, source="mix")["documents"] == first["documents"] - 7
    assert made[8:] == ["shard-00002"]


def test_processes_give_the_same_bytes(tokenizer: Path, tmp_path: Path) -> None:
    paths = parts(tmp_path / "corpus", documents(60), 20)
    for workers in (1, 2):
        tokenize_source(paths, tokenizer, tmp_path / str(workers), source="mix", workers=workers)
    for file in sorted((tmp_path / "1").iterdir()):
        assert file.read_bytes() == (tmp_path / "2" / file.name).read_bytes()


class Killed:
    """Stands for a conversation that takes more memory than there is."""

    identity = "killed"

    def __call__(self, documents: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_the_system_kills_is_told(tokenizer: Path, tmp_path: Path) -> None:
    paths = parts(tmp_path / "corpus", documents(60), 20)
    with pytest.raises(KormoError, match="mix: tokenizing: one of 2 worker processes died without an error message"):
        tokenize_source(paths, tokenizer, tmp_path / "out", source="mix", workers=2, conversations=Killed())


def test_the_slow_way_gives_the_same_ids(tokenizer: Path, tmp_path: Path) -> None:
    docs = documents(50)
    made = []
    for engine in ENGINES:
        tokenize_source(docs, tokenizer, tmp_path / engine, source="mix", engine=engine)
        made.append(Shards(tmp_path / engine))
    assert all((made[0].ids[0] == other.ids[0]).all() for other in made)
    assert made[1].manifest["encoder"] == "tiktoken" and made[2].manifest["encoder"] == "tokenizers"


@pytest.mark.parametrize("characters", [100, 1 << 20])
def test_the_manifest_holds_the_proof(
    tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, characters: int
) -> None:
    """One document in `CHECK_EVERY` is compared, however many there are in a batch."""
    monkeypatch.setattr(tokenize, "BATCH_CHARACTERS", characters)
    docs = documents(2 * CHECK_EVERY + 1)
    proof = tokenize_source(docs, tokenizer, tmp_path / "fast", source="mix", engine="tiktoken")["proof"]
    first_and_others = Encoder(tokenizer).encode([d.text for d in docs[::CHECK_EVERY]], ["a", "b", "c"])[0]
    assert proof == {
        "engine": f"tiktoken {version('tiktoken')}",
        "reference": f"tokenizers {version('tokenizers')}",
        "documents": 3,
        "tokens": len(first_and_others),
    }
    assert "proof" not in tokenize_source(docs, tokenizer, tmp_path / "slow", source="mix", engine="tokenizers")


def test_a_disagreement_is_found_and_everything_made_again(
    tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    docs = documents(50)
    broken = Encoder._by_engine

    def wrong(self: Encoder, texts: list[str], names: list[str]) -> tuple[np.ndarray, np.ndarray]:
        ids, lengths = broken(self, texts, names)
        return (np.flip(ids) if len(texts) == 1 else ids), lengths

    monkeypatch.setattr(Encoder, "_by_engine", wrong)
    with caplog.at_level(logging.WARNING):
        manifest = tokenize_source(docs[1:], tokenizer, tmp_path, source="mix")
    assert manifest["encoder"] == "tokenizers" and "differ on document" in caplog.text
    with pytest.raises(KormoError, match="use the engine t"):
        tokenize_source(iter(docs[1:]), tokenizer, tmp_path / "stream", source="mix")


def test_a_wide_vocabulary_takes_four_bytes(tmp_path: Path) -> None:
    def widen(spec: dict) -> None:
        extend(spec, [f"filler{n}" for n in range(66_000)])

    folder = train(tmp_path / "t", edit=widen)
    tokenize_source(documents(5), folder, tmp_path / "out", source="mix", engine="tokenizers")
    assert Shards(tmp_path / "out").dtype == np.uint32


def test_nothing_to_tokenize_is_refused(tokenizer: Path, tmp_path: Path) -> None:
    empty: Iterator[Document] = iter(())
    with pytest.raises(KormoError, match="no documents"):
        tokenize_source(empty, tokenizer, tmp_path, source="mix")
    with pytest.raises(KormoError, match="bos_id"):
        tokenize_source(documents(3), tokenizer, tmp_path, source="mix", bos_id=10_000)


def test_the_manifest_is_plain_json(tokenizer: Path, tmp_path: Path) -> None:
    manifest = tokenize_source(documents(9), tokenizer, tmp_path, source="mix")
    assert json.loads((tmp_path / "shards.json").read_text()) == manifest
