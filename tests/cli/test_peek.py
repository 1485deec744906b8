"""`kormo data peek`: the block that it prints reads the file that it looked at."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from kormo_plugins.cli.main import cli
from kormo_plugins.corpus.readers.mapping import guess
from kormo_plugins.store.corpus_files import read_corpus

from .conftest import Made

TURNS = [{"role": "user", "content": "가"}, {"role": "assistant", "content": "나"}]
KOREAN = "옛날 옛적에 호랑이가 담배 피우던 시절, 산골 마을에 한 사람이 살고 있었습니다."


def written(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


FILES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "alpaca.json": (
        written({"name": "x", "data": [{"instruction": "물음", "input": "글", "output": "답", "no": 1}] * 2}),
        {"rows": "data", "columns": {"messages": {"question": "instruction", "answer": "output", "input": "input"},
                                     "ignore": ["no"]}},
    ),
    "sharegpt.jsonl": (
        written({"id": "c", "conversations": [{"from": "human", "value": "가"}, {"from": "gpt", "value": "나"}]}),
        {"columns": {"messages": {"column": "conversations", "role": "from", "content": "value",
                                  "roles": {"human": "user", "gpt": "assistant"}}}},
    ),
    "messages.jsonl": (
        written({"system": "다", "messages": TURNS}),
        {"columns": {"messages": {"column": "messages", "system": "system"}}},
    ),
    "pairs.jsonl": (written({"prompt": "가", "chosen": "나", "rejected": "다"}), {"columns": {"pair": {}}}),
    "nsmc.tsv": (f"id\tdocument\tlabel\n1\t{KOREAN}\t0\n2\t{KOREAN}!\t1\n".encode("cp949"),
                 {"encoding": "cp949", "columns": {"text": "document"}}),
    "nested.json": (written([{"meta": {"guid": n}, "data": {"text": f"글 {n}"}} for n in range(2)]),
                    {"columns": {"text": "data.text"}}),
    "other.jsonl": (written({"a": "짧은", "b": KOREAN}), {"columns": {"text": "b"}}),
    "text.txt": (KOREAN.encode(), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_the_block_reads_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    content, expected = FILES[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    shown = CliRunner().invoke(cli, ["data", "peek", name])
    assert shown.exit_code == 0, shown.output
    printed = shown.stdout.split("A source for a dataset recipe:\n")[1].split("\nIt makes")[0]
    block = yaml.safe_load(printed)
    [source] = block["sources"].values()
    assert {key: value for key, value in source["reader"].items() if key not in ("name", "path")} == expected
    recipe = {"name": "mine", **block, "held_out": {"documents": 0}, "packing": {"name": "best_fit"},
              "mixture": {"name": "weighted", "weights": dict.fromkeys(block["sources"], 1)}}  # fmt: skip
    (tmp_path / "data.yml").write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")
    built = CliRunner().invoke(cli, ["data", "build", "data.yml"])
    assert built.exit_code == 0, built.output
    [corpus] = (tmp_path / "artifacts").glob("corpus-*")
    assert f"It makes {len(list(read_corpus(corpus)))} documents of these rows." in shown.stdout


def test_kinds_that_one_reader_reads_are_one_source(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(written({"text": "글"}))
    (tmp_path / "b.txt").write_bytes(KOREAN.encode("cp949"))
    pq.write_table(pa.table({"text": ["글"]}), tmp_path / "b.parquet")
    (tmp_path / "c.png").write_bytes(b"")
    shown = CliRunner().invoke(cli, ["data", "peek", str(tmp_path), "--json"])
    found = json.loads(shown.stdout)
    [source] = found["sources"]
    assert found["kinds"] == {"jsonl": 1, "text": 1, "parquet": 1} and source["reader"]["name"] == "folder"
    assert source["reader"]["encoding"] == "auto" and len(source["documents"]) == 3
    assert found["faults"] == {"c.png": "unknown kind of file (.png)"}


def test_every_kind_of_a_folder_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One kind is the commonest, the others need other keys: all that is printed reads all that is there."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mixed"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jsonl").write_bytes(written({"body": f"{KOREAN} {number}"}))
    (folder / "reviews.csv").write_bytes(f'id,document\n1,"{KOREAN}!"\n'.encode("cp949"))
    pq.write_table(pa.table({"messages": [TURNS], "n": [1]}), folder / "chat.parquet")
    (folder / "book.txt").write_text(f"{KOREAN} 끝.", encoding="utf-8")
    shown = CliRunner().invoke(cli, ["data", "peek", "mixed"])
    assert shown.exit_code == 0, shown.output
    block = yaml.safe_load(shown.stdout.split("one for each kind of file:\n")[1].split("\nmixed_jsonl makes 3")[0])
    readers = {name: source["reader"] for name, source in block["sources"].items()}
    assert readers["mixed_jsonl"] == {"name": "jsonl", "path": "mixed", "columns": {"text": "body"}}
    assert readers["mixed_csv"]["encoding"] == "cp949" and readers["mixed_csv"]["columns"]["text"] == "document"
    assert readers["mixed_parquet"]["columns"] == {"messages": {"column": "messages"}, "ignore": ["n"]}
    recipe = {"name": "mine", **block, "held_out": {"documents": 0}, "packing": {"name": "best_fit"},
              "mixture": {"name": "weighted", "weights": dict.fromkeys(block["sources"], 1)}}  # fmt: skip
    (tmp_path / "data.yml").write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")
    built = CliRunner().invoke(cli, ["data", "build", "data.yml"])
    assert built.exit_code == 0 and "warning" not in built.output, built.output
    counts = {
        path.name.split("-")[1]: len(list(read_corpus(path))) for path in (tmp_path / "artifacts").glob("corpus-*")
    }
    assert counts == {"mixed_jsonl": 3, "mixed_csv": 1, "mixed_parquet": 1, "mixed_text": 1}


def test_a_folder_whose_files_differ(tmp_path: Path) -> None:
    def table(rows: int) -> str:
        return "body,year\n" + "".join(f'"{KOREAN}",{number}\n' for number in range(rows))

    (tmp_path / "2001.csv").write_bytes(table(30).encode("cp949"))
    (tmp_path / "2002.csv").write_bytes(table(60).encode())
    (tmp_path / "2003.csv").write_bytes(f'body,author\n"{KOREAN}",x\n'.encode())
    found = json.loads(CliRunner().invoke(cli, ["data", "peek", str(tmp_path), "--json"]).stdout)
    [found] = found["sources"]
    assert found["files"] == 3 and found["reader"]["encoding"] == "auto" and not found["rejects"], found
    notes = " | ".join(found["notes"])
    assert "2003.csv also has 'author' and lacks 'year'" in notes
    assert "encodings of 3 files: " in notes and "cp949 (1, as 2001.csv)" in notes and "utf-8 (2, as 2002.csv)" in notes
    assert {column["name"]: column["filled"] for column in found["columns"]}["author"] == 1


def sources_of(folder: Path) -> tuple[dict[str, Any], str]:
    """The sources that `kormo data peek` proposes for a folder, and all that it prints."""
    shown = CliRunner().invoke(cli, ["data", "peek", str(folder)])
    assert shown.exit_code == 0, shown.output
    block = re.split(r"[Ss]ources? for a dataset recipe.*:\n", shown.stdout)[1].split(" makes ")[0].rpartition("\n")[0]
    return yaml.safe_load(block)["sources"], shown.output


def test_files_of_one_kind_with_other_columns_are_sources_of_their_own(tmp_path: Path) -> None:
    """Texts, conversations and texts with a further column: the last need no source of their own."""
    folder = tmp_path / "lab"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.jsonl").write_bytes(b"\n".join(written({"text": f"{KOREAN} {n}"}) for n in range(9)))
    (folder / "c.jsonl").write_bytes(written({"text": KOREAN, "year": 1}))
    (folder / "chat.jsonl").write_bytes(written({"messages": TURNS}))
    sources, shown = sources_of(folder)
    readers = [source["reader"] for source in sources.values()]
    assert [reader["columns"] for reader in readers] == [{"text": "text"}, {"messages": "messages"}]
    assert readers[1]["path"] == str(folder / "chat.jsonl") and "one for each set of columns" in shown
    assert "(a.jsonl, b.jsonl, c.jsonl) into a folder of their own" in shown, "no path names those three"
    (folder / "texts").mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.jsonl").rename(folder / "texts" / f"{name}.jsonl")
    sources, shown = sources_of(folder)
    assert {Path(source["reader"]["path"]).name for source in sources.values()} == {"texts", "chat.jsonl"}
    assert "folder of their own" not in shown and "rejects" not in shown


def test_a_dialect_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.csv").write_text("body,n\n" + f'"{KOREAN}",1\n' * 9, encoding="utf-8")
    (folder / "c.csv").write_text("body;n\n" + f'"{KOREAN}";1\n', encoding="utf-8")
    sources, shown = sources_of(folder)
    assert len(sources) == 1
    assert shown.count("fields separated by ','") == 1 and shown.count("c.csv: fields separated by ';'") == 1
    assert "fields separated" not in caplog.text


def test_what_is_trained_is_marked(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "물음"}, {"role": "assistant", "content": "옛 답", "weight": 0},
             {"role": "user", "content": "또"}, {"role": "assistant", "content": "새 답"}]  # fmt: skip
    (tmp_path / "a.jsonl").write_bytes(written({"messages": turns}))
    shown = CliRunner().invoke(cli, ["data", "peek", str(tmp_path / "a.jsonl")]).stdout
    assert "⟦새 답⟧" in shown and "⟦옛 답⟧" not in shown and "옛 답" in shown and "⟦물음⟧" not in shown


def test_the_template_of_a_tokenizer_says_what_is_trained(made: Made, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "물음"}, {"role": "assistant", "content": "새 답"}]
    (tmp_path / "a.jsonl").write_bytes(written({"messages": turns}))
    words = ["data", "peek", str(tmp_path / "a.jsonl"), "--tokenizer", str(made.path("tokenizer"))]
    shown = CliRunner().invoke(cli, words)
    assert shown.exit_code == 0 and re.search("⟦.*새 답<.EOT.>.*⟧", shown.stdout, re.S), shown.output


def test_nothing_to_look_at_is_one_message(tmp_path: Path) -> None:
    shown = CliRunner().invoke(cli, ["data", "peek", str(tmp_path / "gone.jsonl")])
    assert shown.exit_code == 2 and "there is no such file" in shown.output
    (tmp_path / "numbers.jsonl").write_bytes(b'{"a": 1}\n')
    assert (
        "no column looks like text" in CliRunner().invoke(cli, ["data", "peek", str(tmp_path / "numbers.jsonl")]).output
    )


def test_guesses() -> None:
    rows = [{"id": 1, "text": "가", "language": "ko"}, {"id": 1, "text": "나", "language": "en"}]
    assert guess.guess(rows) == {"text": "text", "language": "language"}
    assert guess.guess([{"n": 1}]) == {}
    assert guess.kind([1, "a", None]) == "integer or text"
