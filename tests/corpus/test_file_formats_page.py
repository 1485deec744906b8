"""The blocks of docs/file-formats.md read files of the kind that they are about."""

from __future__ import annotations

import gzip
import json
import lzma
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from kormo_plugins.corpus.build import build_source
from kormo_plugins.corpus.params import CorpusRecipe, Tokens
from kormo_plugins.corpus.readers import hub
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.store.corpus_files import read_corpus

PAGE = Path(__file__).parents[2] / "docs" / "file-formats.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
SOURCES = {name: source for block in BLOCKS for name, source in yaml.safe_load(block)["sources"].items()}
READ = [name for name, source in SOURCES.items() if "reader" in source]
TEXT = "옛날 옛적에 호랑이가 담배 피우던 시절, 산골 마을에 한 사람이 살고 있었습니다."


def rows(path: Path, *values: object, indent: int | None = None) -> None:
    path.write_text(
        "\n".join(json.dumps(value, ensure_ascii=False, indent=indent) for value in values), encoding="utf-8"
    )


def saved(path: Path) -> None:
    import datasets

    datasets.Dataset.from_dict({"text": [TEXT]}).save_to_disk(path)


def folder(path: Path) -> None:
    path.mkdir()
    (path / "a.txt").write_text(TEXT, encoding="cp949" if path.name == "mixed" else "utf-8")


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("sub/a.jsonl", json.dumps({"text": TEXT}))


def crawled(path: Path) -> Path:
    """An archive with a page, or with the text of one."""
    pytest.importorskip("resiliparse", reason="the extra `crawl` is not installed")
    from .archives import Archive

    path.parent.mkdir(exist_ok=True)
    made = Archive()
    if path.suffixes[0] == ".wet":
        made.record("http://a.kr/1", "conversion", TEXT.encode())
    else:
        made.page("http://a.kr/1", f"<html><body><article><p>{TEXT}</p></article></body></html>".encode())
    path.write_bytes(made.data)
    return path


WRITE: dict[str, Callable[[Path], object]] = {
    "news.jsonl": lambda path: path.write_text(f'{{"body": "{TEXT}", "score": NaN}}', encoding="utf-8"),
    "array.json": lambda path: rows(path, [{"text": TEXT}], indent=1),
    "inner.json": lambda path: rows(path, {"name": "x", "data": [{"text": TEXT}]}),
    "nested.jsonl": lambda path: rows(path, {"meta": {"key": 1}, "title": "옛날", "instances": [{"output": TEXT}]}),
    "reviews.csv": lambda path: path.write_text(f'id,document\n1,"{TEXT}"\n', encoding="utf-8"),
    "plain.tsv": lambda path: path.write_text(f'1\t"{TEXT}\n', encoding="utf-8"),
    "books": folder,
    "comments.txt.gz": lambda path: path.write_bytes(gzip.compress(f"{TEXT}\n{TEXT} 끝.\n".encode())),
    "table.parquet": lambda path: pq.write_table(pa.table({"text": [TEXT], "v": [[0.0]]}), path),
    "saved": saved,
    "packed.jsonl.xz": lambda path: path.write_bytes(lzma.compress(json.dumps({"text": TEXT}).encode())),
    "corpus.zip": zipped,
    "crawl": lambda path: crawled(path / "a.warc.gz"),
    "wet.paths": lambda path: path.write_text(f"{crawled(path.with_name('a.wet.gz'))}\n", encoding="utf-8"),
    "wide.txt": lambda path: path.write_text(TEXT, encoding="utf-16"),
    "old.txt": lambda path: path.write_text(TEXT, encoding="cp949"),
    "mixed": folder,
}


@pytest.mark.parametrize("name", READ)
def test_the_block_reads_such_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, components: Registry, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    reader = SOURCES[name]["reader"]
    if reader["name"] == "hub":
        of_the_hub(tmp_path / "data.jsonl", reader, monkeypatch)
    else:
        path = reader.get("path") or reader["urls"]
        WRITE[path](Path(path))
    recipe = CorpusRecipe.model_validate({"sources": {name: SOURCES[name]}, "held_out": {"documents": 0}})
    (tmp_path / "out").mkdir()
    stats = build_source(name, recipe.sources[name], recipe, components, tmp_path / "out")
    documents = list(read_corpus(tmp_path / "out"))
    assert len(documents) == (2 if name == "comments" else 1) and all(TEXT in d.text for d in documents)
    assert stats["rejected"] == 0


def of_the_hub(path: Path, reader: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The dataset lies here; all but its address is of `datasets` and ours."""
    import datasets

    rows(path, {"text": TEXT})
    load = datasets.load_dataset_builder

    def found(name: str, config: str, *, revision: str) -> object:
        assert (name, config, revision) == (reader["dataset"], reader["config"], "0" * 40)
        return load("json", data_files=[str(path)])

    monkeypatch.setattr(datasets, "load_dataset_builder", found)
    monkeypatch.setattr(hub, "_newest", lambda dataset, revision: "0" * 40)


def test_every_block_is_of_the_schema(components: Registry) -> None:
    """And there is one for every reader, kind of file and form of tokens."""
    recipe = CorpusRecipe.model_validate({"sources": SOURCES})
    assert {source["reader"]["name"] for source in SOURCES.values() if "reader" in source} == set(
        components.names("reader")
    )
    forms = {tokens.format for tokens in recipe.tokens_of.values()}
    assert forms == set(
        get_args(Tokens.model_fields["format"].annotation)
    )  # tests/cli/test_token_sources.py trains on each
