"""Token files of other stacks: exact there and back, in place, and as the libraries that own the formats read them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from kormo_plugins.cli.main import cli
from kormo_plugins.documents.document import Document
from kormo_plugins.errors import KormoError
from kormo_plugins.shards.encoder import Encoder
from kormo_plugins.shards.external.adopt import Origin, adopt
from kormo_plugins.shards.external.formats import FORMATS, export, token_files
from kormo_plugins.shards.external.token_file import ReadOptions
from kormo_plugins.shards.format import IDS, id_dtype
from kormo_plugins.shards.reader import Shards
from kormo_plugins.shards.tokenize import tokenize_source
from kormo_plugins.shards.verify import verify
from kormo_plugins.shards.writer import ShardWriter, finish_source

from .made_tokenizers import TEXT, train

END = 301
TWO = np.array([2], "<u8").tobytes()
ORIGIN = Origin("mix", "x", None, END)


def made(tokenizer: Path, folder: Path, count: int = 90) -> Shards:
    """Shards of texts, each ended by the end token."""
    docs = [Document(f"d{n}", " ".join(TEXT[: n % 4 + 1])) for n in range(count)]
    tokenize_source(iter(docs), tokenizer, folder, source="mix", eos_id=END, chunk_characters=2000)
    return Shards(folder)


def test_files_without_a_token_are_files(tokenizer: Path, tmp_path: Path) -> None:
    shards = made(tokenizer, tmp_path / "ours", 4)
    export(shards.folder, "datatrove", tmp_path / "theirs", lambda tokens: None)
    for name in ("empty.ds", "empty.ds.index"):
        (tmp_path / "theirs" / name).write_bytes(b"")
    (tmp_path / "theirs" / "nothing.ds").write_bytes(b"")
    (tmp_path / "theirs" / "nothing.ds.index").write_bytes(np.zeros(2, "<u8").tobytes())
    found = token_files(tmp_path / "theirs", "datatrove", ReadOptions(), "test")
    manifest = adopt(found, tokenizer, tmp_path / "again", ORIGIN, lambda tokens: None)
    assert manifest["documents"] == shards.documents + 2 and manifest["tokens"] == shards.tokens


def same(one: Shards, other: Shards) -> bool:
    documents = range(one.documents)
    return one.documents == other.documents and all(
        np.array_equal(one.document(number), other.document(number)) for number in documents
    )


@pytest.mark.parametrize("name", FORMATS)
def test_there_and_back_is_exact_and_nothing_is_copied(tokenizer: Path, tmp_path: Path, name: str) -> None:
    shards = made(tokenizer, tmp_path / "ours")
    files = export(shards.folder, name, tmp_path / "theirs", lambda tokens: None)
    assert len(files) == len(shards.names) > 1
    found = token_files(tmp_path / "theirs", name, ReadOptions("uint16", END), "test")
    manifest = adopt(found, tokenizer, tmp_path / "again", ORIGIN, lambda tokens: None)
    again = Shards(tmp_path / "again")
    assert same(shards, again) and manifest["tokens"] == shards.tokens
    assert all((again.folder / f"{shard}{IDS}").is_symlink() for shard in again.names)
    assert not verify(again.folder).damaged if hasattr(verify(again.folder), "damaged") else True
    assert (
        again.name(0).startswith("shard-00000.") and again.locate([0, shards.tokens - 1])[1][0] == shards.documents - 1
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 400), max_size=6), min_size=1, max_size=20).filter(lambda docs: any(docs)),
    st.sampled_from(["datatrove", "megatron"]),
    st.sampled_from(["<u2", "<u4"]),
    st.booleans(),
)
def test_any_documents(
    tmp_path_factory: pytest.TempPathFactory, docs: list[list[int]], name: str, dtype: str, masked: bool
) -> None:
    folder = tmp_path_factory.mktemp("any")
    masked = masked and name == "datatrove"
    ids = np.array([number for doc in docs for number in doc], np.uint32)
    trained = (ids % 2).astype(np.uint8) if masked else None
    (folder / "ours").mkdir()
    with ShardWriter(folder / "ours", "shard-00000", np.dtype(dtype), masked=masked) as writer:
        writer.add(ids, np.array([len(doc) for doc in docs]), [str(n) for n in range(len(docs))], trained)
        record = writer.finish({})
    finish_source(folder / "ours", "mix", [record], {"tokenizer": "x"})
    export(folder / "ours", name, folder / "theirs", lambda tokens: None)
    [file] = token_files(folder / "theirs", name, ReadOptions(), "test")
    assert np.diff(file.offsets).tolist() == [len(doc) for doc in docs]
    assert np.fromfile(file.path, file.dtype).tolist() == ids.tolist()
    assert (np.fromfile(file.trained, "u1").tolist() if file.trained else None) == (
        trained.tolist() if trained is not None else None
    )


def test_datatrove_reads_what_we_write_and_we_what_it_writes(tokenizer: Path, tmp_path: Path) -> None:
    from datatrove.pipeline.tokens.tokenizer import TokenizedFile
    from datatrove.utils.dataset import DatatroveFileDataset

    shards = made(tokenizer, tmp_path / "ours", 20)
    [path] = export(shards.folder, "datatrove", tmp_path / "theirs", lambda tokens: None)[:1]
    size = shards.dtype.itemsize
    dataset = DatatroveFileDataset(str(path), seq_len=8, token_size=size)
    rows = [dataset[row]["input_ids"].tolist() for row in range(len(dataset))]
    expected = shards.ids[0][: 9 * len(rows)].reshape(-1, 9).tolist()
    assert len(rows) > 3 and rows == expected
    written = TokenizedFile(str(tmp_path / "made"), "a.ds", token_size=size, save_loss_metadata=False)
    for number in range(shards.documents):
        written.write(shards.document(number).tolist(), None)
    written.close()
    adopt(token_files(tmp_path / "made", "datatrove", ReadOptions(), "t"), tokenizer, tmp_path / "again", ORIGIN, print)
    assert same(shards, Shards(tmp_path / "again"))


def test_megatron_reads_what_we_write_and_we_what_it_writes(tokenizer: Path, tmp_path: Path) -> None:
    indexed = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason="pip install megatron-core")
    import torch

    shards = made(tokenizer, tmp_path / "ours", 20)
    path = export(shards.folder, "megatron", tmp_path / "theirs", lambda tokens: None)[0]
    dataset = indexed.IndexedDataset(str(path.with_suffix("")))
    assert [dataset[number].tolist() for number in range(len(dataset))] == [
        shards.document(number).tolist() for number in range(len(dataset))
    ]
    (tmp_path / "made").mkdir()
    builder = indexed.IndexedDatasetBuilder(str(tmp_path / "made" / "a.bin"), dtype=np.int32)
    for number in range(shards.documents):  # each document in two sequences
        ids = torch.tensor(shards.document(number).astype(np.int64))
        builder.add_item(ids[:2])
        builder.add_item(ids[2:])
        builder.end_document()
    builder.finalize(str(tmp_path / "made" / "a.idx"))
    adopt(token_files(tmp_path / "made", "megatron", ReadOptions(), "t"), tokenizer, tmp_path / "again", ORIGIN, print)
    again = Shards(tmp_path / "again")
    assert same(shards, again) and again.dtype == np.dtype("<u4")


def test_olmo_core_finds_the_documents_that_we_wrote(tokenizer: Path, tmp_path: Path) -> None:
    utils = pytest.importorskip("olmo_core.data.utils", reason="pip install ai2-olmo-core")
    shards = made(tokenizer, tmp_path / "ours", 20)
    path = export(shards.folder, "olmo_core", tmp_path / "theirs", lambda tokens: None)[0]
    borders = list(utils.iter_document_indices(path, eos_token_id=END, dtype=np.uint16, use_array_if_local=True))
    offsets = shards.offsets[0].tolist()
    assert borders == list(pairwise(offsets))


def test_another_tokenizer_is_refused(tokenizer: Path, tmp_path: Path) -> None:
    shards = made(tokenizer, tmp_path / "ours")
    export(shards.folder, "megatron", tmp_path / "theirs", lambda tokens: None)
    found = token_files(tmp_path / "theirs", "megatron", ReadOptions(), "t")

    def shuffled(spec: dict[str, Any]) -> None:  # of the same size, with other ids
        names = list(spec["model"]["vocab"])
        spec["model"]["vocab"] = dict(
            zip(names, np.random.default_rng(0).permutation(len(names)).tolist(), strict=True)
        )

    for number, other in enumerate(
        (train(tmp_path / "other", edit=shuffled), train(tmp_path / "small", vocabulary=300))
    ):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(KormoError, match="did not make these tokens"):
            adopt(found, other, tmp_path / str(number), ORIGIN, lambda tokens: None)


def files_of(folder: Path, **contents: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("datatrove", {"a__ds": b"1234"}, "no a.ds.index"),
        ("datatrove", {"a__ds": b"12345", "a__ds__index": np.array([2], "<u8").tobytes()}, "5 bytes for 2 tokens"),
        ("datatrove", {"a__ds": b"1234", "a__ds__index": np.array([9, 2], "<u8").tobytes()}, "end at token"),
        ("datatrove", {"a__ds": b"1234", "a__ds__index": TWO, "a__ds__loss": b"1"}, "1 bytes"),
        ("megatron", {"a__bin": b"1234"}, "no a.idx"),
        ("megatron", {"a__bin": b"1234", "a__idx": b"x" * 99}, "not a Megatron index"),
        ("megatron", {"a__bin": b"1234", "a__idx": b"MMIDIDX\0\0" + b"\1" + b"\0" * 7 + b"\6" + b"\1" * 16}, "type 6"),
        ("olmo_core", {"a__npy": b"\x93NUMPY\1\0"}, "header of NumPy"),
        ("olmo_core", {"a__npy": b"123"}, "3 bytes"),
        ("datatrove", {"b__txt": b""}, "no file that ends with"),
        ("datatroves", {}, "the formats are"),
    ],
)  # fmt: skip
def test_what_is_not_of_the_format_is_one_message(
    tmp_path: Path, name: str, contents: dict[str, bytes], message: str
) -> None:
    folder = files_of(tmp_path / "in", **contents)
    with pytest.raises(KormoError, match=message):
        token_files(folder, name, ReadOptions("uint16", 1), "--from")


def test_documents_without_an_end_token_do_not_become_files_of_olmo_core(tokenizer: Path, tmp_path: Path) -> None:
    docs = [Document(str(n), TEXT[0]) for n in range(3)]
    tokenize_source(iter(docs), tokenizer, tmp_path / "ours", source="mix")
    with pytest.raises(KormoError, match="no other document boundary"):
        export(tmp_path / "ours", "olmo_core", tmp_path / "theirs", lambda tokens: None)


def test_kormo_data_convert_both_ways(tokenizer: Path, tmp_path: Path) -> None:
    shards = made(tokenizer, tmp_path / "ours")
    run: Callable[..., Any] = lambda *words: CliRunner().invoke(cli, ["data", "convert", *map(str, words)])  # noqa: E731
    assert run(tmp_path / "ours", tmp_path / "theirs", "--to", "megatron").exit_code == 0
    back = run(tmp_path / "theirs", tmp_path / "again", "--from", "megatron", "--tokenizer", tokenizer)
    assert back.exit_code == 0 and f"{shards.tokens:,} tokens" in back.stdout, back.output
    assert same(shards, Shards(tmp_path / "again"))
    for words in (("--to", "x"), (), ("--from", "megatron"), ("--to", "megatron", "--from", "megatron")):
        refused = run(tmp_path / "ours", tmp_path / "new", *words)
        assert refused.exit_code == 2 and "found:" in refused.output
    assert "not empty" in run(tmp_path / "ours", tmp_path / "theirs", "--to", "megatron").output


def test_ids_of_eight_bytes_are_narrowed(tokenizer: Path, tmp_path: Path) -> None:
    shards = made(tokenizer, tmp_path / "ours", 10)
    ids = np.concatenate(shards.ids).astype("<u8")
    files_of(tmp_path / "in", a__npy=ids.tobytes())
    found = token_files(tmp_path / "in", "olmo_core", ReadOptions("uint64", END), "t")
    adopt(found, tokenizer, tmp_path / "again", ORIGIN, lambda tokens: None)
    assert same(shards, Shards(tmp_path / "again"))
    assert id_dtype(Encoder(tokenizer).largest_id) == np.dtype("<u2")
