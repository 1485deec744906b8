"""Installed distributions, read without `importlib.metadata`, are what it gives; plugins of pydantic's are found."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections import Counter
from importlib.machinery import ModuleSpec
from pathlib import Path
from unittest.mock import Mock

import pytest

from kormo_plugins.plugins import installed

ROOT = Path(__file__).parents[2]


def distribution(folder: Path, name: str, version: str, entries: str, ending: str = "dist-info") -> None:
    info = folder / f"{name}-{version}.{ending}"
    info.mkdir(parents=True)
    file = {"dist-info": "METADATA", "egg-info": "PKG-INFO"}[ending]
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nVersion: of the description\n"
    (info / file).write_text(text, encoding="utf-8")
    (info / "entry_points.txt").write_text(entries, encoding="utf-8")


def by_the_library() -> Counter[tuple[str, str, str]]:
    groups = {point.group for found in importlib.metadata.distributions() for point in found.entry_points}
    points = [point for group in groups for point in importlib.metadata.entry_points(group=group)]
    return Counter((point.group, point.name, point.value.partition("[")[0].strip()) for point in points)


def test_everything_installed_here_is_found_as_by_the_library() -> None:
    theirs = by_the_library()
    ours = Counter(
        (point.group, point.name, point.value)
        for group in {group for group, _, _ in theirs}
        for point in installed.entry_points(group)
    )
    assert ours == theirs and len(ours) > 20
    for found in importlib.metadata.distributions():
        assert installed.version(found.name) == importlib.metadata.version(found.name)
    assert installed.version("there-is-no-such-distribution") is None


@pytest.mark.parametrize("ending", ["dist-info", "egg-info"])
def test_of_two_distributions_of_a_name_the_first_on_the_path_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    entries = "# a comment\n[other]\nx = y\n\n[kormo_test]\n mine = {0}.module:thing [extra]\n{0}=flat\n"
    distribution(tmp_path / "b", "My.Dist", "1.0", entries.format("later"), ending)
    distribution(tmp_path / "a", "my_dist", "2.0", entries.format("first"), ending)
    for folder in ("b", "a"):
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    found = installed.entry_points("kormo_test")
    assert [(point.distribution, point.name, point.value) for point in found] == [
        ("my-dist", "mine", "first.module:thing"),
        ("my-dist", "first", "flat"),
    ]
    assert installed.version("MY-dist") == "2.0"


class Finder:
    """Gives a distribution that lies in no folder of the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return None

    def find_distributions(self, context: object) -> list[importlib.metadata.Distribution]:
        return [importlib.metadata.PathDistribution(folder) for folder in self.folder.glob("*.dist-info")]


def test_what_lies_elsewhere_is_left_to_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(tmp_path, "hidden", "3.0", "[kormo_test]\nmine = hidden:thing [extra]\n")
    assert installed.version("hidden") is None
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder(tmp_path)])
    assert installed.version("hidden") == "3.0"
    assert [point[:] for point in installed.entry_points("kormo_test")] == [
        ("hidden", "kormo_test", "mine", "hidden:thing")
    ]


def test_the_finder_of_the_backport_looks_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that imports it (a tracker of runs) makes nothing slower."""
    backport = pytest.importorskip("importlib_metadata")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, backport.MetadataPathFinder()])
    monkeypatch.setattr(importlib.metadata, "entry_points", Mock(side_effect=AssertionError))
    assert len(installed.entry_points("console_scripts")) > 20


PLUGIN = """
import pathlib
class Plugin:
    def new_schema_validator(self, schema, schema_type, *more):
        with open("seen.txt", "a") as file:
            file.write(schema_type.__name__ + "\\n")
        return None, None, None
plugin = Plugin()
"""


def validate(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from kormo_plugins.cli.main import main; sys.argv = ['kormo', *sys.argv[1:]]; main()"
    command = [sys.executable, "-c", code, "recipe", "validate", str(ROOT / "recipes/pretrain.yml")]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_plugin_of_pydantics_is_still_asked(tmp_path: Path) -> None:
    assert validate(tmp_path).returncode == 0
    assert not (tmp_path / "seen.txt").exists()
    (tmp_path / "kormo_test_watcher.py").write_text(PLUGIN, encoding="utf-8")
    distribution(tmp_path, "watcher", "1.0", "[pydantic]\nwatcher = kormo_test_watcher:plugin\n")
    done = validate(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "KormoBlock" in (tmp_path / "seen.txt").read_text(encoding="utf-8").split()
