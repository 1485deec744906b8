"""A lock that a killed compilation left is named, and the training goes on when it is removed."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Timer

import pytest
from torch.utils.file_baton import FileBaton

from kormo_plugins.training.compat import build_lock


def test_the_file_that_is_waited_for_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_lock, "AFTER", 0.05)
    monkeypatch.setattr(FileBaton, "wait", FileBaton.wait)  # put back afterwards
    build_lock.tell_of_waiting()
    lock = tmp_path / "lock"
    lock.touch()
    Timer(0.5, lock.unlink).start()
    with caplog.at_level(logging.WARNING):
        FileBaton(str(lock), wait_seconds=0.01).wait()
    assert 1 <= len(caplog.records) <= 5 and str(lock) in caplog.records[0].getMessage()
    assert not lock.exists()
    caplog.clear()
    FileBaton(str(lock)).wait()
    assert not caplog.records
