"""A release is found out when one byte of it is another, and a repetition when one step is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.release.collect import read_index, release
from kormo_plugins.release.rebuild import Plan, compare
from kormo_plugins.release.verify import check, differences_here
from kormo_plugins.store.sums import SUMS, files_of, sha256, write_sums

from .made_release import finished_run

LOSSES = [3.0, 2.5, 2.25]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return finished_run(tmp_path / "lab", LOSSES)


@pytest.fixture
def made(run: Path, tmp_path: Path) -> Path:
    release(run, tmp_path / "release", [2])
    return tmp_path / "release"


def test_everything_is_in_it_and_agrees(made: Path) -> None:
    assert check(made) == [] and check(made, sha256(made / SUMS)) == []
    names = set(files_of(made))
    assert {"release.json", "code.json", "lock.txt", "sbom.cdx.json", "licenses.json"} <= names
    assert {"runs/small/model.safetensors", "runs/small/checkpoint-2/complete.json"} <= names
    assert any(name.startswith("runs/small/written/") for name in names)
    assert any(name.startswith("artifacts/corpus-a-") for name in names)
    assert json.loads((made / "licenses.json").read_text()) == {"small": {"a": "CC0-1.0"}}
    assert [entry.checkpoints for entry in read_index(made)] == [(2,)]
    assert "numpy==" in (made / "lock.txt").read_text()
    bill = json.loads((made / "sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX" and any(c["name"] == "numpy" for c in bill["components"])
    assert not list(differences_here(made))


def test_one_byte_changed_anywhere_is_found(made: Path) -> None:
    identity = sha256(made / SUMS)
    for name in [*files_of(made), SUMS]:
        path = made / name
        before = path.read_bytes()
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        try:
            found = check(made, identity)
        except KormoError as error:
            found = [error]  # type: ignore[list-item]
        assert found and name.split("/")[-1] in str(found[0]), name
        path.write_bytes(before)
    assert check(made, identity) == []


def test_a_file_more_or_less_is_found(made: Path) -> None:
    (made / "more.txt").touch()
    assert [str(finding) for finding in check(made)] == ["more.txt: not in the list: added since the release was made"]
    (made / "more.txt").unlink()
    (made / "lock.txt").unlink()
    assert [finding.where for finding in check(made)] == ["lock.txt"]


def _record(made: Path) -> None:
    (made / "runs/small/recipe.yml").write_text("seed: 7\n")


def _artifact(made: Path) -> None:
    (path,) = (made / "artifacts").glob("*/manifest.json")
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))


def _weights(made: Path) -> None:
    (made / "runs/small/model.safetensors").write_bytes(b"another")


@pytest.mark.parametrize("forge", [_record, _artifact, _weights])
def test_a_forger_who_renews_the_list_is_found_by_the_records(made: Path, forge: object) -> None:
    identity = sha256(made / SUMS)
    forge(made)  # type: ignore[operator]
    write_sums(made)
    assert check(made) and check(made, identity)[0].where == SUMS


def test_what_is_not_finished_is_not_released(run: Path, tmp_path: Path) -> None:
    with pytest.raises(KormoError, match="no run has a whole checkpoint"):
        release(run, tmp_path / "out", [7])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis").touch()
    with pytest.raises(KormoError, match="nothing is overwritten"):
        release(run, tmp_path / "full")
    (run / "complete.json").unlink()
    with pytest.raises(KormoError, match="finished run"):
        release(run, tmp_path / "out")
    with pytest.raises(KormoError, match="SHA256SUMS"):
        check(run)


@pytest.mark.parametrize(
    ("losses", "tolerance", "told"),
    [
        (LOSSES, 0.0, None),
        ([3.0, 2.5000001, 2.25], 0.0, "small: step 2: loss 2.5000001 instead of 2.5"),
        ([3.0, 2.5000001, 2.25], 1e-6, None),
        ([3.0, 2.5], 0.0, "small: step 3: loss None instead of 2.25"),
    ],
)
def test_the_first_step_that_differs_is_named(
    made: Path, tmp_path: Path, losses: list[float], tolerance: float, told: str | None
) -> None:
    again = finished_run(tmp_path / "again", losses)
    (tmp_path / "out/runs").mkdir(parents=True)
    shutil.copytree(again, tmp_path / "out/runs/small")
    plan = Plan(made, tmp_path / "out", lambda recipe: [], tolerance, print)
    found = list(compare(plan, read_index(made)[0]))
    assert [str(finding) for finding in found] == ([] if told is None else [told])


def test_the_first_artifact_that_differs_is_named_with_the_reason(made: Path, tmp_path: Path) -> None:
    again = finished_run(tmp_path / "again", LOSSES)
    (tmp_path / "out/runs").mkdir(parents=True)
    shutil.copytree(again, tmp_path / "out/runs/small")
    plan = Plan(made, tmp_path / "out", lambda recipe: [], 0.0, print)
    (manifest,) = (tmp_path / "again/artifacts").glob("*/manifest.json")
    value = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**value, "hash": "0" * 12, "inputs": {"version": 2}}))
    assert [str(f) for f in compare(plan, read_index(made)[0])] == ["corpus/a: its input version is 2 instead of 1"]
    manifest.write_text(json.dumps({**value, "files": {"part.txt": {"bytes": 1}}}))
    assert "part.txt has other bytes" in str(next(iter(compare(plan, read_index(made)[0]))))
