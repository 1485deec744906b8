"""Fixtures of the corpus room: the registry, a small Korean text to work on, and real text where there is some."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins.corpus.build import build_source
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.plugins.registry import Registry, registry

Build = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def components() -> Registry:
    return registry()


@pytest.fixture
def build(tmp_path: Path, components: Registry) -> Build:
    """Builds one source, given as keys of `Source`, into `tmp_path / out`."""

    def run(
        source: dict[str, Any], steps: tuple[dict[str, Any], ...] = (), out: str = "out", **more: Any
    ) -> dict[str, Any]:
        workers = more.pop("workers", 1)
        recipe = CorpusRecipe.model_validate({"sources": {"s": source}, "steps": steps, **more})
        folder = tmp_path / out
        folder.mkdir(exist_ok=True)
        return build_source("s", recipe.sources["s"], recipe, components, folder, workers=workers)

    return run


def write_rows(path: Path, texts: list[str], **columns: Any) -> Path:
    """A JSONL file of rows with `id` and `text`."""
    rows = [{"id": f"d{i}", "text": text, **columns} for i, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def real_text() -> Callable[[str], list[str]]:
    """The texts of a file of real documents; skips where there is none."""
    folder = Path(os.environ.get("KORMO_TEST_TEXT") or Path(__file__).parents[2] / "../shared/data")

    def load(name: str) -> list[str]:
        path = folder / f"{name}.jsonl"
        if not path.exists():
            pytest.skip(f"no real text at {path} (set KORMO_TEST_TEXT to a folder of JSONL)")
        return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]

    return load
