"""Readers: every document once, everything that is none told with a reason."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from kormo_plugins.corpus.readers import units
from kormo_plugins.corpus.readers.files import FilesParams, folder, jsonl, parquet, text
from kormo_plugins.corpus.readers.mapping.columns import Columns, Text, render, to_document
from kormo_plugins.corpus.step import Rejected
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.registry import Registry

NOT_UTF8 = "not UTF-8: another encoding, or damaged (encoding)"


def lines_of(count: int) -> bytes:
    return b"".join(
        json.dumps({"id": f"d{i}", "text": f"문서 {i}"}, ensure_ascii=False).encode() + b"\n" for i in range(count)
    )


def split(items: object) -> tuple[list[Document], Counter[str]]:
    found = list(items)  # type: ignore[call-overload]
    documents = [item for item in found if not isinstance(item, Rejected)]
    return documents, Counter(item.reason for item in found if isinstance(item, Rejected))


def test_formats_mixed_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines_of(3))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines_of(4)))
    (tmp_path / "c.jsonl.zst").write_bytes(zstandard.compress(lines_of(2)) + zstandard.compress(lines_of(3)))
    pq.write_table(pa.table({"text": ["하나", "둘"]}), tmp_path / "d.parquet")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "e.txt").write_text("한 문서\n두 줄", encoding="utf-8")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    documents, rejects = split(folder(FilesParams(path=tmp_path)))
    assert len(documents) == 3 + 4 + 5 + 2 + 1
    assert rejects == {"unknown kind of file (.png)": 1}
    assert documents[-1].id == "deep/e.txt" and documents[-1].text == "한 문서\n두 줄"


def test_bad_lines_are_told_by_reason_and_place(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    bad = [b'{"text": "cut', b'{"text": "\xff\xfe"}', b'{"texts": "x"}', b"[1]", b'{"text": 5}', b'{"text": "  "}',
           b'{"text": "\\ud800"}']  # fmt: skip
    path.write_bytes(b"\xef\xbb\xbf" + lines_of(1) + b"\n".join(bad) + b"\n\n" + lines_of(1))
    items = list(jsonl(FilesParams(path=path)))
    documents, rejects = split(items)
    assert len(documents) == 2
    assert rejects == Counter(
        ["broken line", NOT_UTF8, "no column 'text'", "not an object", "column 'text' is no text", "empty text",
         "lone surrogate"]
    )  # fmt: skip
    places = [item.document.id for item in items if isinstance(item, Rejected)]
    assert places == [f"a.jsonl:{n}" for n in range(2, 9)]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_truncated_archive_is_never_taken_for_whole(tmp_path: Path, suffix: str, share: float) -> None:
    content = lines_of(20_000)
    # With a checksum, as the zstd command writes it: without one, flipped bits that decode cannot be told.
    whole = (
        gzip.compress(content) if suffix == ".gz" else zstandard.ZstdCompressor(write_checksum=True).compress(content)
    )
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(whole[: int(share * len(whole))])
    documents, rejects = split(jsonl(FilesParams(path=path)))
    assert len(documents) < 20_000
    assert rejects["the archive ends too early"] == 1
    path.write_bytes(whole[:200] + b"garbage" + whole[207:])
    assert any("archive" in reason for reason in split(jsonl(FilesParams(path=path)))[1])


def test_damaged_and_foreign_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"content": ["x"] * 3}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no PAR1")
    pq.write_table(pa.table({"text": ["좋은 글"]}), tmp_path / "c.parquet")
    documents, rejects = split(parquet(FilesParams(path=tmp_path)))
    assert len(documents) == 1
    assert rejects["no column 'text'"] == 3 and sum(rejects.values()) == 4


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=5), st.integers(1, 7), st.integers(40, 400))
def test_the_union_over_shards_is_the_input_in_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], shards: int, unit: int
) -> None:
    where = tmp_path_factory.mktemp("shards")
    for i, size in enumerate(sizes):
        (where / f"{i}.jsonl").write_bytes(lines_of(size))
    before = units.UNIT_BYTES
    units.UNIT_BYTES = unit
    try:
        whole = [item.text for item in jsonl(FilesParams(path=where)) if not isinstance(item, Rejected)]
        parts = [jsonl(FilesParams(path=where), shard, shards) for shard in range(shards)]
        joined = [item.text for part in parts for item in part if not isinstance(item, Rejected)]
    finally:
        units.UNIT_BYTES = before
    assert joined == whole == [f"문서 {i}" for size in sizes for i in range(size)]


def test_columns_of_the_published_sets() -> None:
    question = Columns(text=Text(template="{question}\n\n{answer}"), keep=("answer",))
    document = to_document({"question": "1+1?", "answer": "2"}, question, "f:1")
    assert isinstance(document, Document)
    assert document.text == "1+1?\n\n2" and document.id == "f:1" and document.meta == {"answer": "2"}
    turns = [{"role": "user", "content": "안녕"}, {"role": "assistant", "content": "네", "reasoning_content": "인사다"}]
    document = to_document({"conversation": turns, "id": 7}, Columns(text=Text(conversation="conversation")), "f:1")
    assert isinstance(document, Document)
    assert document.id == "7" and document.text == "안녕\n\n<think>\n인사다\n</think>\n네"
    assert render([]) == Reject("no list of turns") and render([{"role": "user"}]) == Reject("a turn without content")


@pytest.mark.parametrize("template", ["{a!r}", "{a:>9}", "{}", "{a[b]}", "{.a}", "no column"])
def test_a_template_names_columns_and_paths_into_them_alone(template: str) -> None:
    with pytest.raises(ValueError):
        Text(template=template).names  # noqa: B018


def test_missing_and_unreadable_paths_are_told(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    with pytest.raises(KormoError, match="Did you mean 'corpus'"):
        list(folder(FilesParams(path=tmp_path / "corpu")))
    with pytest.raises(KormoError, match="no files"):
        list(folder(FilesParams(path=tmp_path / "corpus")))
    (tmp_path / "corpus" / "a.bin").write_bytes(b"x")
    with pytest.raises(KormoError, match=r"a\.bin"):
        list(folder(FilesParams(path=tmp_path / "corpus")))
    with pytest.raises(KormoError, match="suffix"):
        list(jsonl(FilesParams(path=tmp_path / "corpus" / "a.bin")))


def test_links_out_of_the_folder_are_not_followed_unasked(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("비밀", encoding="utf-8")
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "a.txt").write_text("글", encoding="utf-8")
    (inside / "b.txt").symlink_to(tmp_path / "secret.txt")
    (inside / "c").symlink_to(tmp_path)
    documents, rejects = split(text(FilesParams(path=inside)))
    assert [d.text for d in documents] == ["글"] and sum(rejects.values()) == 2
    (inside / "c").unlink()
    assert len(split(text(FilesParams(path=inside, follow_links=True)))[0]) == 2


@pytest.fixture
def hub_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A dataset of three files, found by `datasets` itself; only its address is ours. Every look for the newest
    commit finds another one."""
    import datasets

    from kormo_plugins.corpus.readers import hub

    files = []
    for number, size in enumerate((5, 0, 7)):
        files.append(tmp_path / f"{number}.jsonl")
        files[-1].write_bytes(b"".join(b'{"content": "%d-%d"}\n' % (number, i) for i in range(size)))
    asked: dict[str, list[str]] = {"looked": [], "read": []}
    load = datasets.load_dataset_builder

    def of_the_hub(name: str, config: str | None, *, revision: str) -> object:
        assert (name, config) == ("KORMo-Team/x", "Korean")
        asked["read"].append(revision)
        return load("json", data_files=[str(file) for file in files if file.stat().st_size])

    def newest(self: object, dataset: str, **_: object) -> object:
        asked["looked"].append(f"{len(asked['looked']):040x}")
        return type("Info", (), {"sha": asked["looked"][-1]})

    monkeypatch.setattr(datasets, "load_dataset_builder", of_the_hub)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", newest)
    hub._newest.cache_clear()
    return asked


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_a_dataset_of_the_hub_is_streamed_at_one_commit(
    tmp_path: Path, components: Registry, hub_dataset: dict[str, list[str]], parts: int
) -> None:
    from kormo_plugins.corpus.build import build_source, source_inputs
    from kormo_plugins.corpus.params import CorpusRecipe
    from kormo_plugins.corpus.readers import hub
    from kormo_plugins.store.corpus_files import read_corpus

    reader = {"name": "hub", "dataset": "KORMo-Team/x", "config": "Korean", "columns": {"text": "content"}}
    source = {"reader": reader, "parts": parts, "license": "CC0-1.0"}
    recipe = CorpusRecipe.model_validate({"sources": {"s": source}, "held_out": {"documents": 0}})
    named = source_inputs("s", recipe.sources["s"], recipe, components)["origin"]["content"]["revision"]
    out = tmp_path / "out"
    out.mkdir()
    read = hub.Hub.__call__

    def elsewhere(*given: object) -> object:  # a worker on another machine has looked nothing up
        hub._newest.cache_clear()
        return read(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub.Hub, "__call__", elsewhere)
        build_source("s", recipe.sources["s"], recipe, components, out)
    assert [d.text for d in read_corpus(out)] == [f"{k}-{i}" for k, size in ((0, 5), (2, 7)) for i in range(size)]
    assert set(hub_dataset["read"]) == {named} and len(hub_dataset["looked"]) == 1


@pytest.mark.parametrize("kind", ["parquet", "json", "csv", "other"])
def test_a_bad_value_of_a_dataset_of_the_hub_costs_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """As in local files: `datasets` alone ends there, or takes the whole group of rows with it."""
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    from kormo_plugins.corpus.readers import hub

    bad, good = b"\xff\xfe", [b"one", b"two", b"three"]
    path = tmp_path / f"data.{'parquet' if kind == 'parquet' else 'csv' if kind == 'csv' else 'json'}"
    if kind == "parquet":
        text = pa.array([good[0], bad, *good[1:]], pa.binary()).view(pa.string())
        pq.write_table(pa.table({"text": text}), path)
    elif kind == "csv":
        path.write_bytes(b"text\n" + b"\n".join([good[0], bad, *good[1:]]) + b"\n")
    else:  # an array on one line
        path.write_bytes(b"[" + b", ".join(b'{"text": "' + one + b'"}' for one in (good[0], bad, *good[1:])) + b"]")
    load = datasets.load_dataset_builder
    builder = {"parquet": "parquet", "csv": "csv"}.get(kind, "json")
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *_, **__: load(builder, data_files=[str(path)]))
    params = hub.HubParams(dataset="KORMo-Team/x", revision="0" * 40)
    if kind == "other":  # what no reader of ours knows is streamed
        monkeypatch.setattr(hub, "kind_of", lambda name: "")
        stream = datasets.load_dataset("json", data_files=[str(path)], split="train", streaming=True)
        monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: stream)
        with pytest.raises(KormoError, match=r"KORMo-Team/x:0-1:\d"):
            list(hub.hub(params))
        return
    found = list(hub.hub(params))
    assert [item.text for item in found if isinstance(item, Document)] == ["one", "two", "three"]
    [reject] = [item for item in found if isinstance(item, Rejected)]
    assert reject.document.id.startswith(f"KORMo-Team/x/{path.name}") and "UTF-8" in reject.reason
    with pytest.raises(KormoError, match="no such split"):
        list(hub.hub(params.model_copy(update={"split": "test"})))


def test_seeds_of_the_hub_are_of_one_commit_too(hub_dataset: dict[str, list[str]]) -> None:
    from kormo_plugins.corpus.synthesis.generate import EndpointParams, endpoint

    params = EndpointParams.model_validate({
        "url": "http://127.0.0.1:9/v1", "model": "m", "style": "rewrite",
        "seeds": {"name": "hub", "dataset": "KORMo-Team/x", "columns": {"text": "content"}},
    })  # fmt: skip
    pinned = endpoint.pinned(params)
    assert pinned.seeds.values["revision"] == hub_dataset["looked"][0]
    assert endpoint.inputs(pinned) == endpoint.inputs(params)


def test_the_hub_needs_a_commit_or_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from kormo_plugins.corpus.readers import hub as hub_module
    from kormo_plugins.corpus.readers.hub import HubParams, hub

    commit = "0" * 40
    assert hub.inputs(HubParams(dataset="KORMo-Team/x", revision=commit))["revision"] == commit

    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("offline")

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", offline)
    hub_module._newest.cache_clear()
    with pytest.raises(KormoError, match="the hub request failed: offline"):
        hub.inputs(HubParams(dataset="KORMo-Team/x"))


@pytest.mark.parametrize(("megabytes", "parts"), [(3, 1), (9, 3), (40, 10), (100, 16), (1000, 60)])
def test_an_input_of_middling_size_has_parts_for_several_processes(tmp_path: Path, megabytes: int, parts: int) -> None:
    """In parts of 16 MB each, 40 MB would keep one of two processes waiting for the other."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n' * 8)
    with path.open("r+b") as file:
        file.truncate(megabytes * 10**6)
    params = FilesParams(path=path)
    assert jsonl.parts(params) == parts
    sizes = [sum(unit.weight for unit in units.share(jsonl.units(params), part, parts)) for part in range(parts)]
    assert sum(sizes) == megabytes * 10**6 and max(sizes) < 1.2 * sum(sizes) / parts
