"""The blocks of docs/file-formats.md read files of the kind that they are about."""

from __future__ import annotations

import gzip
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from kormo_plugins.corpus.build import build_source
from kormo_plugins.corpus.params import CorpusRecipe
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
    "corpus.zip": zipped,
    "old.txt": lambda path: path.write_text(TEXT, encoding="cp949"),
    "mixed": folder,
}


@pytest.mark.parametrize("name", READ)
def test_the_block_reads_such_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, components: Registry, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = SOURCES[name]["reader"]["path"]
    WRITE[path](Path(path))
    recipe = CorpusRecipe.model_validate({"sources": {name: SOURCES[name]}, "held_out": {"documents": 0}})
    (tmp_path / "out").mkdir()
    stats = build_source(name, recipe.sources[name], recipe, components, tmp_path / "out")
    documents = list(read_corpus(tmp_path / "out"))
    assert len(documents) == (2 if name == "comments" else 1) and all(TEXT in d.text for d in documents)
    assert stats["rejected"] == 0


def test_every_block_is_of_the_schema() -> None:
    recipe = CorpusRecipe.model_validate({"sources": SOURCES})
    assert len(READ) > 10 and list(recipe.tokens_of) == ["made"]  # tests/cli/test_token_sources.py trains on such
