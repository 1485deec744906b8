"""What the tests of recipes share: a sound recipe, and a cache of Axolotl's schema that is filled once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the plugin that the recipes name

from .kormo_recipe_stub import DATA, SOUND, Write


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for all processes of a test run, so that Axolotl is read once and nothing of the user's is used."""
    patch = pytest.MonkeyPatch()
    here = tmp_path_factory.getbasetemp()
    patch.setenv("XDG_CACHE_HOME", str((here.parent if "PYTEST_XDIST_WORKER" in os.environ else here) / "schema-cache"))
    patch.setenv("HF_HUB_OFFLINE", "1")
    patch.setenv("AXOLOTL_DO_NOT_TRACK", "1")
    yield
    patch.undo()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the files of one text, divided by lines `#: name`, and returns `recipe.yml`, in the current folder."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        name, files = "recipe.yml", {"sound.yml": SOUND, "data.yml": DATA, "tok/tokenizer.json": "{}"}
        files[name] = ""
        for line in text.splitlines(keepends=True):
            if line.startswith("#: "):
                name = line[3:].strip()
                files[name] = ""
            else:
                files[name] += line
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode("utf-8", "surrogateescape"))
        return Path("recipe.yml")

    return write
