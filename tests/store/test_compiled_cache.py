"""What is wrong with the cache of compiled code never ends the work that needs the code."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from kormo_plugins.store.compiled import cache as compile_cache

ROOT = Path(__file__).parents[2]
MODULE = """
import logging
from kormo_plugins.store.compiled.functions import njit

@njit()
def less(number):
    return number - 1

@njit()
def more(number):
    return less(number) + 2

print(more(1), sum(more.stats.cache_hits.values()))
"""


def run(folder: Path) -> tuple[str, str]:
    """What a process prints that calls a compiled function, and its warnings."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": "", "KORMO_CACHE": str(folder / "cache")}
    words = [sys.executable, "-c", "import calls"]
    done = subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", ["empty", "cut", "other bytes"])
def test_a_damaged_file_is_compiled_again(tmp_path: Path, suffix: str, damage: str) -> None:
    (tmp_path / "calls.py").write_text(MODULE, encoding="utf-8")
    assert [run(tmp_path)[0] for _ in range(2)] == ["2 0", "2 1"]
    for path in (tmp_path / "cache").rglob(f"*.{suffix}"):
        whole = path.read_bytes()
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "other bytes": b"\x93" + whole[1:]}[damage])
    said, warned = run(tmp_path)
    assert said == "2 0" and warned.count("compiled again") == 1 and str(tmp_path / "cache") in warned
    assert run(tmp_path) == ("2 1", "")


CALLED = """
from kormo_plugins.store.compiled.functions import njit

@njit()
def last(number):
    return number + 1
"""


def test_a_change_of_a_function_that_another_module_calls_is_seen(tmp_path: Path) -> None:
    """Also through a function between the two; numba looks at the file of the outer one alone."""
    (tmp_path / "last.py").write_text(CALLED, encoding="utf-8")
    middle = CALLED.replace("import njit", "import njit\nfrom last import last").replace("def last", "def between")
    (tmp_path / "middle.py").write_text(middle.replace("number + 1", "last(number)"), encoding="utf-8")
    outer = MODULE.replace("import njit", "import njit\nfrom middle import between").replace(
        "less(number) + 2", "between(number)"
    )
    (tmp_path / "calls.py").write_text(outer, encoding="utf-8")
    assert [run(tmp_path)[0] for _ in range(2)] == ["2 0", "2 1"]
    (tmp_path / "last.py").write_text(CALLED.replace("+ 1", "+ 10"), encoding="utf-8")
    assert [run(tmp_path)[0] for _ in range(2)] == ["11 0", "11 1"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_cache_that_cannot_be_written_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(compile_cache, "_told", set())
    caches = [Mock(save_overload=Mock(side_effect=OSError(code, os.strerror(code)))) for _ in range(2)]
    with caplog.at_level(logging.WARNING):
        for cache in caches:
            compile_cache.guard(cache, "a.function", tmp_path)
            cache.save_overload("signature", "code")
    assert all(cache.disable.called for cache in caches)
    (line,) = caplog.messages
    assert str(tmp_path) in line and os.strerror(code) in line
