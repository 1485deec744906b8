"""A file of which (almost) nothing was read is named after the build: what it is, how much, and what to write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from kormo_plugins.cli.main import cli
from kormo_plugins.corpus.passes import clean
from kormo_plugins.corpus.readers import units
from kormo_plugins.corpus.readers.files import FilesParams, jsonl
from kormo_plugins.corpus.reports import unread

Build = Callable[..., dict[str, Any]]
TEXT = "옛날 옛적에 호랑이가 담배 피우던 시절, 산골 마을에 한 사람이 살고 있었습니다."
ENCODING = "not UTF-8: another encoding, or damaged (encoding)"


def rows(good: int, bad: int = 0) -> bytes:
    lines = [json.dumps({"text": f"{TEXT} {number}"}, ensure_ascii=False).encode() for number in range(good)]
    return b"\n".join([*lines, *[b'{"text": "\xb0\xa1"}'] * bad]) + b"\n"


def folder(path: Path) -> Path:
    path.mkdir()
    for number in range(20):
        (path / f"{number}.txt").write_text(f"{TEXT} {number}", encoding="utf-8")
    (path / "old.txt").write_bytes(TEXT.encode("cp949"))
    (path / "half.jsonl").write_bytes(rows(5, 5))
    (path / "most.jsonl").write_bytes(rows(1, 30))
    (path / "none.csv").write_bytes(b"text\n")
    (path / "picture.png").write_bytes(b"\x89PNG")
    return path


def test_such_files_are_in_the_statistics(tmp_path: Path, build: Build) -> None:
    stats = build({"reader": {"name": "folder", "path": str(folder(tmp_path / "in"))}}, held_out={"documents": 0})
    assert stats["documents"] == 26 and stats["unread"] == {
        "files": 4,
        "listed": [
            {"name": "most.jsonl", "documents": 1, "rejects": 30, "reason": ENCODING},
            {"name": "none.csv", "documents": 0, "rejects": 0, "reason": unread.NO_ROW},
            {"name": "old.txt", "documents": 0, "rejects": 1, "reason": ENCODING},
            {"name": "picture.png", "documents": 0, "rejects": 1, "reason": "unknown kind of file (.png)"},
        ],
    }
    of_one_kind = build({"reader": {"name": "text", "path": str(tmp_path / "in")}}, out="text")
    named = [file["name"] for file in of_one_kind["unread"]["listed"]]
    assert named == ["old.txt", "picture.png"], "files of other readers were not asked for"


def test_a_file_that_is_divided_is_judged_as_a_whole(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "UNIT_BYTES", 2000)
    monkeypatch.setattr(clean, "CHUNK", 700)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.jsonl").write_bytes(rows(100, 200))  # whole ranges of it hold nothing
    (tmp_path / "in" / "lost.jsonl").write_bytes(rows(10, 600))
    reader = {"name": "jsonl", "path": str(tmp_path / "in")}
    assert jsonl.parts(FilesParams(path=tmp_path / "in")) > 5
    stats = build({"reader": reader})
    lost = {"name": "lost.jsonl", "documents": 10, "rejects": 600, "reason": ENCODING}
    assert stats["unread"] == {"files": 1, "listed": [lost]}
    assert build({"reader": reader}, out="two", workers=2)["unread"] == stats["unread"]


def test_the_build_ends_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = {
        "license": "CC0-1.0",
        "language": "ko",
        "reader": {"name": "folder", "path": str(folder(tmp_path / "in"))},
    }
    recipe = {"name": "mine", "sources": {"mine": source}, "held_out": {"documents": 0},
              "packing": {"name": "best_fit"}, "mixture": {"name": "weighted", "weights": {"mine": 1}}}  # fmt: skip
    (tmp_path / "data.yml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    for state in ("built", "found"):  # it is told again when nothing is built
        shown = CliRunner().invoke(cli, ["data", "build", "data.yml"])
        assert shown.exit_code == 0 and state in shown.stdout
        warning = shown.stderr[shown.stderr.index("warning: mine: (almost) nothing was read from 4 files") :]
        assert f"most.jsonl, old.txt: 1 of 32 rows: {ENCODING}; set `encoding` of the reader" in warning
        assert "picture.png: 0 of 1 rows: unknown kind of file (.png)" in warning
    reported = CliRunner().invoke(cli, ["data", "report", "data.yml", "--out", "page"])
    assert reported.exit_code == 0, reported.output
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert "Files from which (almost) nothing was read: 4" in page and "old.txt" in page


def test_the_warning_comes_before_the_error_that_it_explains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KORMO_DATA", str(folder(tmp_path / "in")))
    shown = CliRunner().invoke(cli, ["data", "build", "kormo:pretrain_local.yml"])
    assert shown.exit_code == 2, shown.output
    assert "warning: local: (almost) nothing was read from" in shown.stderr


def test_many_files_are_some_lines() -> None:
    files = {f"{number:03d}.txt": {"documents": 0, "rejects": {f"reason {number % 15}": 1}} for number in range(150)}
    found = unread.unread(files)
    assert found["files"] == 150 and len(found["listed"]) == unread.LISTED
    lines = list(unread.warnings("s", {"unread": found}))
    assert (
        len(lines) == unread.LINES + 2
        and "and 4 more" in lines[1]
        and lines[-1].endswith(" and 50 more files: see rejects/")
    )
    one = {"files": 2, "listed": found["listed"][:1]}
    assert list(unread.warnings("s", {"unread": one}))[-1] == "  1 more file: see rejects/"
    assert not list(unread.warnings("s", {}))
