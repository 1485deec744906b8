"""A module that a recipe names is looked at before it is imported, and imported only where the user has allowed it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kormo_plugins.errors import KormoError
from kormo_plugins.plugins import lookup
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.recipe.schema.axolotl_plugins import look_up

ROOT = Path(__file__).parents[2]
PLUGIN = """\
from pathlib import Path
Path({mark!r}).touch()
from kormo_plugins import Component, hookimpl
@hookimpl
def kormo_packings():
    yield Component("found_here", load=len, summary="s")
"""


@pytest.mark.parametrize(
    "module", ["os", "os.path", "antigravity", "this", "sys", "json", "subprocess", "yaml", "pytest"]
)
def test_a_module_without_hooks_is_refused_and_not_imported(module: str) -> None:
    before = set(sys.modules)
    with pytest.raises(KormoError, match="implements no hook"):
        Registry([module])
    assert not {"antigravity", "this"} & (set(sys.modules) - before)


def test_a_module_that_only_talks_of_hooks_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "talks_of_hooks.py").write_text("# hookimpl\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(KormoError, match="implements no hook"):
        Registry(["talks_of_hooks"])


@pytest.mark.parametrize("name", ["os.system", "subprocess.run", "this.s", "builtins.eval", "antigravity.geohash"])
def test_what_axolotl_would_call_is_refused_without_an_import(name: str) -> None:
    with pytest.raises(KormoError, match="no class of that name"):
        look_up(name)


@pytest.mark.parametrize("module", ["..evil", "a b", "", "a..b", "a;b", "évil-x", "kormo_plugins.no.such"])
def test_a_name_that_is_no_module_is_not_found(module: str) -> None:
    assert lookup.find(module) is None


def test_packages_are_not_imported_to_find_what_is_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loud_package").mkdir()
    (tmp_path / "loud_package/__init__.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    (tmp_path / "loud_package/inner.py").write_text("x = 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert lookup.source("loud_package.inner") == "x = 1\n"
    assert "loud_package" not in sys.modules


@pytest.mark.parametrize(
    ("environment", "allowed"),
    [
        ({}, False),
        ({"PYTHONPATH": "."}, True),
        ({lookup.ALLOW: "local_plugin"}, True),
        ({lookup.ALLOW: "other"}, False),
    ],
)
def test_a_module_of_the_current_folder_wants_a_word(
    environment: dict[str, str], allowed: bool, tmp_path: Path
) -> None:
    mark = tmp_path / "it-ran"
    (tmp_path / "local_plugin.py").write_text(PLUGIN.format(mark=str(mark)), encoding="utf-8")
    paths = os.pathsep.join([str(ROOT), *filter(None, [environment.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "kormo_plugins.cli.main", "plugins", "list", "--plugin", "local_plugin"],
        cwd=tmp_path, env={**os.environ, **environment, "PYTHONPATH": paths}, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert (done.returncode == 0, mark.exists(), "found_here" in done.stdout) == (allowed, allowed, allowed), (
        done.stderr
    )
    assert allowed or ("may have come with the recipe" in done.stderr and lookup.ALLOW in done.stderr)


@pytest.mark.parametrize("safe_path", [[], ["-P"]], ids=["python -m", "the console script"])
def test_a_plugin_of_axolotls_in_the_current_folder_is_not_run(safe_path: list[str], tmp_path: Path) -> None:
    """Axolotl's launchers put that folder on the path of their ranks, wherever `kormo` looks."""
    (tmp_path / "came_along.py").write_text("open('it-ran', 'w')\nclass Plugin: pass\n", encoding="utf-8")
    (tmp_path / "recipe.yml").write_text("plugins: [came_along.Plugin, kormo_plugins.KormoPlugin]\nkormo: {}\n")
    done = subprocess.run(
        [sys.executable, *safe_path, "-m", "kormo_plugins.cli.main", "train", "recipe.yml"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2 and "may have come with the recipe" in done.stderr, done.stderr
    assert not (tmp_path / "it-ran").exists()
