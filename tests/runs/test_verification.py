"""Above a size, data are compared beside the training, and damage ends the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.runs import verification
from kormo_plugins.runs.verification import Expected, verify, wait_for_verification
from kormo_plugins.store.files import FileRecord


def expected(path: Path, damage: str = "") -> list[Expected]:
    path.write_bytes(b"data")
    record = FileRecord.of(path)
    if damage:
        path.write_bytes(damage.encode())
    return [Expected(path, record)]


@pytest.mark.parametrize("at_once", [0, 10])
def test_whole_files_pass(tmp_path: Path, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "AT_ONCE", at_once)
    told: list[str] = []
    verify(expected(tmp_path / "a"), told.append)
    wait_for_verification(told.append)
    assert len(told) == (2 if at_once == 0 else 0)


@pytest.mark.parametrize(("damage", "at_once"), [("dat", 0), ("dat", 10), ("Data", 10)])
def test_damage_that_can_be_seen_at_once_is(
    tmp_path: Path, damage: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "AT_ONCE", at_once)
    with pytest.raises(KormoError, match=str(tmp_path / "a")):
        verify(expected(tmp_path / "a", damage), pytest.fail)


def test_damage_that_is_found_later_ends_the_process(tmp_path: Path) -> None:
    script = """
import sys, time
from pathlib import Path
from kormo_plugins.runs import verification
from tests.runs.test_verification import expected
verification.AT_ONCE = 0
verification.verify(expected(Path(sys.argv[1]), "Data"), print)
time.sleep(60)
print("still here")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a")], capture_output=True, text=True, timeout=50,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 2 and "still here" not in done.stdout
    assert str(tmp_path / "a") in done.stderr and "contents have changed" in done.stderr
