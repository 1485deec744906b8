"""A record of a wrong shape is told by its name by whoever reads it, and never ends in a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.measures.metrics_file import read_metrics_file
from kormo_plugins.reporting.page import write_report
from kormo_plugins.reporting.run import read_run
from kormo_plugins.runs.publishing.hub_card import scores
from kormo_plugins.store.complete import MARKER, check_marked, fault
from kormo_plugins.store.files import FORMATS, manifest_files
from kormo_plugins.store.json_file import sealed
from kormo_plugins.training.guards import preemption_file
from kormo_plugins.training.telemetry import run_record
from kormo_plugins.training.telemetry.left_behind import check_scores

DAMAGED = [b"", b"[]", b"5", b"null", b'"x"', b"{", b"\xff\xfe{}", b"[" * 100_000, b'{"a": nul}', b"\x00" * 64]

READERS: dict[str, Callable[[Path], Any]] = {
    run_record.FILE: run_record.read_record,
    preemption_file.FILE: preemption_file.read,
    MARKER: check_marked,
    **dict.fromkeys(FORMATS, manifest_files),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", DAMAGED, ids=lambda content: repr(content[:12]))
def test_a_file_that_is_no_record(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(KormoError) as error:
        READERS[name](tmp_path)
    assert name in error.value.where + error.value.found and error.value.do


OTHER: list[Any] = [None, [], {}, "x", -1, True, {"x": []}, [[]]]


@pytest.mark.parametrize("key", sorted({*run_record.SHAPE} - {"format", "checksum"}))
@pytest.mark.parametrize("value", OTHER, ids=repr)
def test_each_key_of_a_run_record_has_its_kind(tmp_path: Path, key: str, value: Any) -> None:
    (tmp_path / run_record.FILE).write_text(json.dumps({key: value}))
    if isinstance(value, run_record.SHAPE[key]):
        assert run_record.read_record(tmp_path) == {key: value}
        return
    with pytest.raises(KormoError, match=f"{run_record.FILE}: {key}"):
        run_record.read_record(tmp_path)


@pytest.mark.parametrize(
    "value", [*OTHER, {"a": {}}, {"a": {"bytes": "1", "xxh3_128": "x"}}, {"../a": {"bytes": 1}}], ids=repr
)
def test_each_shape_of_a_list_of_files(tmp_path: Path, value: Any) -> None:
    (tmp_path / MARKER).write_text(json.dumps({"step": 1, "files": value}))
    assert value == {} or fault(tmp_path) == f"{MARKER} cannot be read"
    for name, kind in FORMATS.items():
        folder = tmp_path / name.split(".")[0]
        folder.mkdir()
        shards = name == "shards.json"
        (folder / name).write_text(json.dumps({"format": kind, "shards": [{"files": value}], "files": value}))
        if value == {}:
            assert manifest_files(folder) == {}
            continue
        with pytest.raises(KormoError, match=name):
            manifest_files(folder)
        if shards:
            (folder / name).write_text(json.dumps({"format": kind, "shards": value}))
            if value != []:
                with pytest.raises(KormoError, match=name):
                    manifest_files(folder)


@pytest.mark.parametrize(
    "line",
    [
        '{"step": null}',
        '{"step": "x", "loss": 1}',
        '{"step": 1, "loss": "x"}',
        '{"step": 1, "held_out/loss": []}',
        '{"step": 1, "time": null}',
        "5",
        "[]",
        "null",
        '{"event": "resume"}',
        '{"event": "resume", "step": "x"}',
        "{",
        "[" * 9999,
    ],
)
def test_a_line_of_metrics_that_is_none_is_counted(tmp_path: Path, line: str) -> None:
    good = json.dumps({"step": 1, "loss": 2.0})
    (tmp_path / "metrics.jsonl").write_text(f"{good}\n{line}\n{good}\n")
    found = read_metrics_file(tmp_path / "metrics.jsonl")
    assert found.broken == [2] and len(found.lines) == 2


@pytest.mark.parametrize("content", DAMAGED, ids=lambda content: repr(content[:12]))
@pytest.mark.parametrize("name", [run_record.FILE, "samples.json", "evaluation.json"])
def test_a_report_names_what_it_cannot_read(tmp_path: Path, name: str, content: bytes) -> None:
    if name == "samples.json" and content == b"[]":
        return
    (tmp_path / run_record.FILE).write_text(json.dumps({"steps": 1}))
    (tmp_path / name).write_bytes(content)
    assert any(name in warning for warning in read_run(tmp_path).warnings)
    told: list[str] = []
    write_report([tmp_path], tmp_path / "report.html", told.append)
    assert told == read_run(tmp_path).warnings


@pytest.mark.parametrize("content", [{}, {"results": []}, {**sealed({"results": []}), "results": [5]}], ids=repr)
def test_scores_that_were_edited_are_shown_by_nobody(tmp_path: Path, content: dict[str, Any]) -> None:
    (tmp_path / run_record.FILE).write_text(json.dumps({"steps": 1}))
    (tmp_path / "evaluation.json").write_text(json.dumps(content))
    assert any("evaluation.json is not shown" in line for line in read_run(tmp_path).warnings)
    with pytest.raises(KormoError, match=r"evaluation\.json"):
        scores(tmp_path)
    with pytest.raises(KormoError, match=r"evaluation\.json"):
        check_scores(tmp_path)


WITHIN: list[tuple[str, Any]] = [
    ("samples.json", ["x", 5, {"prompt": 1, "text": []}]),
    ("samples.jsonl", {"step": "x", "prompt": None}),
    ("evaluation.json", {"results": ["x"]}),
    ("evaluation.json", {"results": [{"task": 5}]}),
    ("evaluation.json", {"results": "x", "needle": []}),
    ("evaluation.json", {"needle": {"cells": [5]}}),
    (run_record.FILE, {"facts": {"mixture": "x", "hardware": 5, "extends": []}}),
    (run_record.FILE, {"steps": "x", "global_batch": [], "facts": "x", "amendments": 5}),
    (run_record.FILE, {"facts": {"parameters": {}, "mixture": {"sources": {"a": 5}}}}),
]


@pytest.mark.parametrize(("name", "value"), WITHIN, ids=repr)
def test_a_report_of_a_record_with_another_shape_within(tmp_path: Path, name: str, value: Any) -> None:
    """What cannot be shown is left out by name; the rest of the page is there."""
    (tmp_path / run_record.FILE).write_text(json.dumps({"steps": 1}))
    (tmp_path / name).write_text(json.dumps(sealed(value) if name == "evaluation.json" else value))
    told: list[str] = []
    page = write_report([tmp_path], tmp_path / "report.html", told.append).read_text(encoding="utf-8")
    assert any(name in line for line in told), told
    assert all(line.split(":")[0] in page for line in told)
