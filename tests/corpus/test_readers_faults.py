"""What cannot be read is one reject with its reason, or one message: never silence, never a wait, never a traceback."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from kormo_plugins.corpus.readers import find
from kormo_plugins.corpus.readers.file_formats import streams
from kormo_plugins.corpus.readers.files import FilesParams, folder, jsonl
from kormo_plugins.corpus.step import Rejected
from kormo_plugins.documents.document import Document
from kormo_plugins.errors import KormoError

ROW = '{"text": "글"}\n'.encode()
POINTER = find.LFS_POINTER + b"\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}


def outcome(path: Path, **keys: object) -> tuple[list[str], dict[str, str]]:
    """Texts of the documents, and id -> reason of the rejects; `inputs` and `parts` must bear the same input."""
    params = FilesParams.model_validate({"path": path, **keys})
    folder.inputs(params)
    items = [item for shard in range(folder.parts(params)) for item in folder(params, shard, folder.parts(params))]
    rejects = {item.document.id: item.reason for item in items if isinstance(item, Rejected)}
    return [item.text for item in items if isinstance(item, Document)], rejects


def test_nothing_but_regular_files_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_bytes(ROW)
    os.mkfifo(tmp_path / "pipe.jsonl")
    monkeypatch.chdir(tmp_path)  # the name of a socket may have 107 bytes
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind("plug.jsonl")
        (tmp_path / "nowhere.jsonl").symlink_to("gone.jsonl")
        (tmp_path / "circle.jsonl").symlink_to("circle.jsonl")
        (tmp_path / "lfs.jsonl").write_bytes(POINTER)
        texts, rejects = outcome(tmp_path)
    assert texts == ["글"]
    assert rejects == {
        "pipe.jsonl": "not a regular file (a pipe)",
        "plug.jsonl": "not a regular file (a socket)",
        "nowhere.jsonl": "unreadable link (no such file or directory)",
        "circle.jsonl": "unreadable link (too many levels of symbolic links)",
        "lfs.jsonl": find.LFS,
    }


@pytest.mark.parametrize("name", ["pipe.jsonl", "lfs.jsonl", "nowhere.jsonl", "dir.txt"])
def test_the_only_file_cannot_be_read(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "lfs.jsonl").write_bytes(POINTER)
    (tmp_path / "nowhere.jsonl").symlink_to("gone.jsonl")
    (tmp_path / "dir.txt").mkdir()
    with pytest.raises(KormoError, match=r"not a regular|Git LFS|unreadable link|no files"):
        jsonl.parts(FilesParams(path=tmp_path / name))


def test_what_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_bytes(ROW)
    (tmp_path / "b.jsonl").write_bytes(ROW)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.jsonl").write_bytes(ROW)
    scan, opened = os.scandir, Path.open

    def refused_folder(path: Path) -> object:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    def refused_file(path: Path, *args: object, **keys: object) -> object:
        if path.name == "b.jsonl":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **keys)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "scandir", refused_folder)  # root may read everything: rights would not be felt
    monkeypatch.setattr(Path, "open", refused_file)
    assert outcome(tmp_path) == (
        ["글"],
        {"b.jsonl": "unreadable file (permission denied)", "sub": "unreadable folder (permission denied)"},
    )


def test_a_folder_within_itself_is_entered_once(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(ROW)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    assert outcome(tmp_path, follow_links=True) == (["글"], {"sub/up": "link to a folder that it lies in"})
    assert outcome(tmp_path) == (["글"], {"sub/up": find.FOLDER_LINK})


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xc7\xc7."
    Path(os.fsdecode(name + b"txt")).write_text("글", encoding="utf-8")
    Path(os.fsdecode(name + b"bin")).write_bytes(b"")
    texts, rejects = outcome(tmp_path)
    assert texts == ["글"] and list(rejects) == ["\\xc7\\xc7.bin"]
    "".join(rejects).encode()


@pytest.mark.parametrize("suffix", [*PACKERS, *map(str.upper, PACKERS)])
def test_compressed_files_whole_cut_and_damaged(tmp_path: Path, suffix: str) -> None:
    pack = PACKERS[suffix.lower()]
    content = b"".join(b'{"text": "%d"}\n' % (number * 7919 % 10007) for number in range(3000))
    path = tmp_path / f"A.JSONL{suffix}"
    path.write_bytes(pack(content[:20000]) + pack(content[20000:]) + b"\0" * 512)
    texts, rejects = outcome(tmp_path)
    assert len(texts) == 3000 and not rejects
    whole = pack(content)
    path.write_bytes(whole[: len(whole) // 2])
    texts, rejects = outcome(tmp_path)
    assert len(texts) < 3000 and list(rejects.values()) == ["the archive ends too early"]
    path.write_bytes(b"")
    assert list(outcome(tmp_path)[1].values()) == ["the archive ends too early"]
    path.write_bytes(whole[:100] + b"garbage" + whole[107:])
    assert any("archive" in reason for reason in outcome(tmp_path)[1].values())


@pytest.mark.parametrize("suffix", [*PACKERS, ".zip"])
def test_a_decompression_bomb_is_given_up(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "RATIO_FLOOR", 1 << 20)
    content = b'{"text": "a"}\n' + b" " * (16 << 20)
    path = tmp_path / f"a.jsonl{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.jsonl", content)
    else:
        path.write_bytes(PACKERS[suffix](content))
    texts, rejects = outcome(tmp_path)
    assert texts == ["a"] and list(rejects.values()) == ["grows more than 200-fold when decompressed (max_ratio)"]
    sizes = [len(piece) for piece in streams.chunks(path, "a.jsonl" if suffix == ".zip" else None, max_ratio=1e9)]
    assert sum(sizes) == len(content) and (max(sizes) <= streams.CHUNK or suffix == ".zst")


def test_members_of_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "A.ZIP", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sub/a.jsonl", ROW)
        archive.writestr("b.csv.gz", gzip.compress("text\n표\n".encode()))
        archive.writestr("c.png", b"")
        archive.writestr("__MACOSX/._a.jsonl", b"x")
        table = io.BytesIO()
        pq.write_table(pa.table({"text": ["x"]}), table)
        archive.writestr("d.parquet", table.getvalue())
    texts, rejects = outcome(tmp_path)
    assert sorted(texts) == ["글", "표"]
    assert rejects == {
        "A.ZIP/c.png": "unknown kind of file (.png)",
        "A.ZIP/d.parquet": "parquet inside of an archive: unpack it first",
    }
    whole = (tmp_path / "A.ZIP").read_bytes()
    (tmp_path / "A.ZIP").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "ok.jsonl").write_bytes(ROW)
    assert "damaged archive" in outcome(tmp_path)[1]["A.ZIP"]


def test_names_of_members_from_korean_windows(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("xxxx.txt", "글")
    path = tmp_path / "a.zip"
    path.write_bytes(path.read_bytes().replace(b"xxxx", "한글".encode("cp949")))
    params = FilesParams(path=tmp_path)
    assert [file.name for file in folder.find(params)] == ["a.zip/한글.txt"]
    assert [item.text for item in folder(params) if isinstance(item, Document)] == ["글"]


def test_rows_and_texts_without_an_end(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(ROW + b'{"text": "' + b"x" * 200 + b'"}\n' + ROW)
    (tmp_path / "b.txt").write_bytes(b"y" * 200)
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(ROW + b"z" * 200))
    texts, rejects = outcome(tmp_path, max_row_bytes=100)
    assert texts == ["글"] * 3
    assert {name: reason.split(" of")[0] for name, reason in rejects.items()} == {
        "a.jsonl:2": "a row", "b.txt": "a text", "c.jsonl.gz:2": "a row",
    }  # fmt: skip


def test_one_bad_value_of_a_parquet_file_costs_one_row(tmp_path: Path) -> None:
    count = 3000
    texts = [f"글 {number}".encode() for number in range(count)]
    texts[1500] = b"\xff\xfe"
    far = pa.array([2**62] + [0] * (count - 1), pa.timestamp("us"))
    columns = {"id": [f"r{n}" for n in range(count)], "text": pa.array(texts).cast(pa.binary()).view(pa.string()),
               "when": far, "embedding": [[0.0] * 4] * count}  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    found, rejects = outcome(tmp_path)
    assert len(found) == count - 1 and rejects == {"r1500": "column 'text' is not UTF-8"}
    found, rejects = outcome(tmp_path, columns={"keep": ["when"]})
    assert len(found) == count - 2
    assert rejects == {"r1500": "column 'text' is not UTF-8", "r0": "column 'when' cannot be converted (timestamp[us])"}


def test_only_the_named_columns_of_a_parquet_file_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"id": "r", "data": {"text": "글", "url": "u"}, "more": [1.0] * 100}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    asked = []
    read = pq.ParquetFile.iter_batches

    def noted(self: pq.ParquetFile, *args: object, **keys: object) -> object:
        asked.append(keys["columns"])
        return read(self, *args, **keys)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)
    assert outcome(tmp_path, columns={"text": "data.text"}) == (["글"], {})
    assert asked == [["id", "data"]]


def test_columns_of_a_table_that_nothing_maps_are_told_by_its_schema(tmp_path: Path) -> None:
    rows = [{"question": "물음", "answer": "답", "input": None}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    messages = {"question": "question", "answer": "answer"}
    assert outcome(tmp_path, columns={"messages": messages})[1] == {"a.parquet:1": "neither mapped nor ignored: input"}
    assert outcome(tmp_path, columns={"messages": messages, "ignore": "others"}) == (["물음\n\n답"], {})


def test_every_row_of_a_damaged_parquet_file_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = [f"{number * 7919 % 100003} 글" for number in range(5000)]
    pq.write_table(pa.table({"text": rows}), path, row_group_size=1000, compression="zstd", use_dictionary=False)
    place = pq.ParquetFile(path).metadata.row_group(2).column(0).data_page_offset
    whole = bytearray(path.read_bytes())
    whole[place : place + 200] = b"\xff" * 200
    path.write_bytes(whole)
    texts, rejects = outcome(tmp_path)
    assert len(texts) == 4000 and len(rejects) == 1000 and "a.parquet:2001" in rejects


def test_arrow_files_streams_and_saved_datasets(tmp_path: Path) -> None:
    import datasets

    saved = datasets.Dataset.from_dict({"text": ["가", "나", "다"], "n": [1, 2, 3]})
    saved.save_to_disk(tmp_path / "one", num_shards=2)
    datasets.DatasetDict(train=saved, test=saved).save_to_disk(tmp_path / "two")
    (tmp_path / "one" / "cache-0123.arrow").write_bytes(b"old")
    table = pa.table({"text": ["라", "마"]})
    with pa.OSFile(str(tmp_path / "file.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    texts, rejects = outcome(tmp_path)
    assert sorted(texts) == sorted(["가", "나", "다"] * 3 + ["라", "마"])
    assert rejects == {"one/cache-0123.arrow": "not among the files of the saved dataset beside it (state.json)"}
    whole = (tmp_path / "file.arrow").read_bytes()
    (tmp_path / "file.arrow").write_bytes(whole[: len(whole) // 2])
    assert outcome(tmp_path / "file.arrow")[1] == {"file.arrow:1": "unreadable file (ArrowInvalid)"}
