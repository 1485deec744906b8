"""A bit flipped in what a finished run left is told by its file's name, by whoever reads it, and nothing is built."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.pipeline.artifacts.initial_model import weights_hash
from kormo_plugins.release.collect import changed_cards, release
from kormo_plugins.release.rebuild import losses
from kormo_plugins.reporting.run import read_run
from kormo_plugins.store.complete import MARKER, fault, read_marker, unchanged
from kormo_plugins.training.checkpoints.complete import mark_complete, mark_records
from kormo_plugins.training.telemetry.run_record import FILE, read_record, write_record

from .made_release import finished_run

RECORDS = ("metrics.jsonl", "samples.jsonl", "samples.json", "README.md")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = finished_run(tmp_path, [3.25, 2.25])
    write_record(run, json.loads((run / FILE).read_text()))
    text = {"prompt": "서울은", "text": "아름답다"}
    (run / "samples.json").write_text(json.dumps([text]))
    (run / "samples.jsonl").write_text(json.dumps({"step": 1, **text}) + "\n")
    (run / "README.md").write_text("# small\n")
    mark_complete(run, 2, {"config.json", "model.safetensors"})
    mark_records(run, RECORDS)
    return run


def flips(path: Path) -> list[bytes]:
    """The file with one bit flipped, at places all over it."""
    whole = path.read_bytes()
    places = range(0, len(whole), max(1, len(whole) // 12))
    return [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in places]


@pytest.mark.parametrize("name", [FILE, MARKER, "metrics.jsonl", "samples.json", "recipe.yml"])
def test_no_release_is_made_of_a_damaged_record(run: Path, tmp_path: Path, name: str) -> None:
    whole = (run / name).read_bytes()
    for damaged in [*flips(run / name), whole[: len(whole) // 2], b"{}", b"[]"]:
        (run / name).write_bytes(damaged)
        try:
            same = json.loads(damaged) == json.loads(whole)  # a blank became another blank
        except ValueError:
            same = False
        if same and name in (FILE, MARKER):
            continue
        with pytest.raises(KormoError) as error:
            release(run, tmp_path / "released")
        assert name in error.value.where + error.value.found, (damaged, error.value.found)
        assert not (tmp_path / "released").exists()
        assert any(name in warning for warning in read_run(run).warnings), damaged
    (run / name).write_bytes(whole)
    release(run, tmp_path / "released")
    assert not read_run(run).warnings


@pytest.mark.parametrize("name", RECORDS)
def test_a_changed_record_is_left_out_of_the_report(run: Path, name: str) -> None:
    for damaged in [*flips(run / name), None]:
        (run / name).unlink() if damaged is None else (run / name).write_bytes(damaged)
        with pytest.raises(KormoError, match=name):
            unchanged(run / name)
        found = read_run(run)
        if name == "README.md":
            assert changed_cards(run) == [run / name] or damaged is None
            continue
        assert any(name in warning for warning in found.warnings)
        shown = {"metrics.jsonl": found.lines, "samples.jsonl": found.written, "samples.json": found.samples}
        assert not shown[name]
    if name == "metrics.jsonl":
        with pytest.raises(KormoError, match=name):
            list(losses(run))


def test_records_are_no_part_of_the_model(run: Path) -> None:
    """Two runs that give the same weights give the same model, whenever each was trained, by any version."""
    marker = {key: read_marker(run)[key] for key in ("step", "files")}
    before = weights_hash(run)
    (run / "metrics.jsonl").write_text(json.dumps({"step": 2, "loss": 2.25, "time": 5.0}) + "\n")
    mark_records(run, RECORDS)
    assert weights_hash(run) == before
    (run / MARKER).write_text(json.dumps(marker, indent=2) + "\n")  # as versions that sealed nothing wrote it
    assert weights_hash(run) == before


def test_a_run_of_an_earlier_version_is_read(run: Path, tmp_path: Path) -> None:
    record = {key: value for key, value in read_record(run).items() if key not in ("format", "checksum")}
    (run / FILE).write_text(json.dumps(record))
    (run / MARKER).write_text(json.dumps({key: read_marker(run)[key] for key in ("step", "files")}))
    assert fault(run) is None and read_record(run) == record
    assert unchanged(run / "metrics.jsonl") and not read_run(run).warnings
    release(run, tmp_path / "released")
