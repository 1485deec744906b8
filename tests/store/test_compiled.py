"""Compiled code is kept where it is found again, and never where another user could have put it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from kormo_plugins.store.compiled import cache as compile_cache
from kormo_plugins.store.compiled import functions as compiled

ROOT = Path(__file__).parents[2]
MODULE = """
import numba
from pathlib import Path
from kormo_plugins.store.compiled.functions import holds, njit

here = Path(__file__).parent
before = holds(here)

@njit()
def more(number: int) -> int:
    return number + 1

more(1)
print(sum(more.stats.cache_hits.values()), repr(numba.config.CACHE_DIR), before, holds(here))
"""


def run(folder: Path, **variables: str) -> str:
    (folder / "more.py").write_text(MODULE, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": "", **variables}
    words = [sys.executable, "-c", "import more"]
    return subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    """Where the home cannot be written; numba's own setting is left as it was."""
    blocked = tmp_path / "file"
    blocked.touch()
    kept = {"KORMO_CACHE": str(tmp_path / "cache"), "HOME": str(blocked), "XDG_CACHE_HOME": str(blocked)}
    assert [run(tmp_path, **kept) for _ in range(2)] == ["0 '' False True", "1 '' True True"]
    assert not list(tmp_path.glob("__pycache__/*.nbi"))
    nowhere = {**kept, "KORMO_CACHE": str(blocked), "TMPDIR": str(tmp_path)}
    assert run(tmp_path, **nowhere) == "0 '' False True"


TOGETHER = """
import time
from pathlib import Path
import more

(Path(more.__file__).parent / name).touch()
while len(list(Path(more.__file__).parent.glob("ready-*"))) < 3:
    time.sleep(0.001)
more.more(1.5)
print(sum(more.more.stats.cache_hits.values()))
"""


def test_processes_that_need_a_function_at_once_compile_it_once(tmp_path: Path) -> None:
    """Each waits for the others before it calls the function; two find it in the cache, or three had it compiled."""
    body = "    for a in range(3):\n        for b in range(9):\n            number += a * b % 7\n    return number + 1"
    (tmp_path / "more.py").write_text(MODULE.split("more(1)")[0].replace("    return number + 1", body))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": "", "KORMO_CACHE": str(tmp_path / "cache")}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", f"name = 'ready-{number}'{TOGETHER}"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    assert sorted(process.communicate(timeout=120)[0].strip() for process in started) == ["0", "1", "1"]


@pytest.mark.parametrize("refusal", [OSError(38, "no locks here"), None])
def test_a_lock_that_cannot_be_had_delays_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: OSError | None
) -> None:
    """A file system without locks; a process that keeps its lock for longer than any function is compiled."""
    if refusal is not None:
        monkeypatch.setattr(compile_cache.fcntl, "lockf", Mock(side_effect=refusal))
    else:
        monkeypatch.setattr(compile_cache, "_locked", lambda file: False)
        monkeypatch.setattr(compile_cache, "LONGEST_WAIT", 0.02)
    with (
        compile_cache.alone(tmp_path / "locks" / "one"),
        compile_cache.alone(None),
        compile_cache.alone(tmp_path / "no" / "such" / "f"),
    ):
        pass
    assert (tmp_path / "locks" / "one").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("opened", ["", "kernels", "kernels/*"])
def test_a_folder_that_others_can_write_to_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: str
) -> None:
    """Nor one in a folder where they could put another of its name; where a sticky bit keeps them from that, it is."""
    shared, own = tmp_path / "shared", tmp_path / "own"
    monkeypatch.setattr(compiled, "_bases", lambda: [shared, own])

    def base() -> Path:
        """The base that is used."""
        compiled.folder.cache_clear()
        found = compiled.folder()
        assert found is not None
        return found.parents[1]

    assert base() == shared
    (one,) = [shared] if not opened else shared.glob(opened)
    one.chmod(0o777)
    assert base() == own
    one.chmod(0o1777)
    assert base() == (own if opened else shared)
    monkeypatch.setattr(compiled, "_bases", lambda: [tmp_path / "file" / "in"])
    (tmp_path / "file").touch()
    compiled.folder.cache_clear()
    assert compiled.folder() is None
    compiled.folder.cache_clear()


def test_no_kernel_compiles_a_sort_of_numbas() -> None:
    """numba's sorts take two seconds to compile, more than any kernel of ours; few values are kept in order as they
    come, many are sorted outside."""
    slow, seen = [], 0
    for path in (ROOT / "kormo_plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and any("njit" in ast.unparse(one) for one in node.decorator_list):
                seen += 1
                calls = {
                    ast.unparse(one.func).rpartition(".")[2] for one in ast.walk(node) if isinstance(one, ast.Call)
                }
                slow += [f"{path}: {node.name}"] if calls & {"argsort", "sort", "sorted", "unique", "median"} else []
    assert seen > 80 and not slow


def test_extensions_of_numba_are_loaded_by_the_functions_of_others_alone(tmp_path: Path) -> None:
    """numba imports every installed extension before the first function that it compiles or loads from its cache."""
    (tmp_path / "extension.py").write_text("def init(): print('loaded')", encoding="utf-8")
    (tmp_path / "extension-1.dist-info").mkdir()
    entry = "[numba_extensions]\ninit = extension:init\n"
    (tmp_path / "extension-1.dist-info/entry_points.txt").write_text(entry, encoding="utf-8")
    other = "\nprint('other')\nnumba.njit(lambda number: number)(1)\n"
    kept = {"KORMO_CACHE": str(tmp_path / "cache"), "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    (tmp_path / "before.py").write_text(MODULE + other, encoding="utf-8")
    words = [sys.executable, "-c", "import before"]
    environment = {**os.environ, "NUMBA_CACHE_DIR": "", **kept}
    for hits in (0, 1):
        said = subprocess.run(words, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout
        lines = said.split("\n")
        assert lines[0].startswith(f"{hits} ") and lines[1:] == ["other", "loaded", ""]
