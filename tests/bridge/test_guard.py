"""How a hook ends that fails: four lines and status 2; of a bug, where to report it, before its traceback."""

from __future__ import annotations

import errno
import shutil
from importlib import metadata

import pytest

from kormo_plugins.bridge.guard import guarded
from kormo_plugins.console import bug
from kormo_plugins.errors import KormoError


def failing(error: Exception) -> None:
    @guarded
    def hook() -> None:
        raise error

    hook()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KormoError(where="r.yml", found="x", why="y", do="z"), "r.yml"),
        (OSError(errno.ENOSPC, "No space left on device", "out/model"), "no space left"),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), "no space left"),
        (shutil.Error([("a", "b", "[Errno 27] File too large: 'b'")]), "File too large"),
        (OSError("4096 requested and 1024 written"), "no space left"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), "Permission denied"),
    ],
)
def test_what_the_system_says_is_a_message(error: Exception, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        failing(error)
    said = capsys.readouterr().err
    assert end.value.code == 2 and told in said and "\n  do:     " in said and "bug" not in said


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), RuntimeError("CUDA error 28"), KeyError("28")])
def test_a_bug_is_named_as_ours(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(type(error)):
        failing(error)
    said = capsys.readouterr().err
    assert "this is a bug of kormo-plugins" in said and bug.ELSEWHERE in said and "axolotl" in said


def test_the_place_to_report_is_the_packages_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Named:
        @staticmethod
        def get_all(name: str) -> list[str]:
            return ["Paper, https://a", "Issues, https://b/issues", "Repository, https://b"]

    monkeypatch.setattr(metadata, "metadata", lambda name: Named())
    assert bug.where_to_report() == "https://b/issues"
