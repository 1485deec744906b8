"""A step that looks at many documents at once gives in a build what its call gives."""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kormo_plugins import Component, hookimpl
from kormo_plugins.corpus.build import build_source
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.corpus.passes import batches, clean
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.registry import Registry

from .builds import texts, tree_hash
from .conftest import write_rows


class Shout:
    """Drops every text with 가을, and marks the others."""

    VERSION = 1
    sizes: list[int] = []  # noqa: RUF012

    def __init__(self, params: None) -> None:
        pass

    def __call__(self, document: Document) -> Document | Reject:
        if "가을" in document.text:
            return Reject("autumn")
        document.text += "!"
        return document


class ShoutAll(Shout):
    def batch(self, documents: Sequence[Document]) -> list[Document | Reject]:
        self.sizes.append(len(documents))
        return [self(document) for document in documents]


class Loses(Shout):
    def batch(self, documents: Sequence[Document]) -> list[Document | Reject]:
        return []


def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: type, out: str) -> dict[str, Any]:
    module = types.ModuleType("batch_plugin")
    component = Component("shout", load=make, summary="s")
    module.kormo_corpus_steps = hookimpl(lambda: [component])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "batch_plugin", module)
    path = write_rows(tmp_path / "a.jsonl", texts(300))
    source = {"reader": {"name": "jsonl", "path": str(path)}, "parts": 2}
    steps = [{"name": name} for name in ("normalize", "shout", "length", "exact_dedup", "shout")]
    recipe = CorpusRecipe.model_validate({"sources": {"s": source}, "steps": steps})
    (tmp_path / out).mkdir(exist_ok=True)
    return build_source("s", recipe.sources["s"], recipe, Registry(("batch_plugin",)), tmp_path / out)


def test_a_build_is_the_same_with_batches_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stats = built(tmp_path, monkeypatch, Shout, "alone")
    monkeypatch.setattr(batches, "BATCH", 16)
    monkeypatch.setattr(clean, "CHUNK", 3000)
    monkeypatch.setattr(ShoutAll, "sizes", [])
    assert built(tmp_path, monkeypatch, ShoutAll, "batches") == stats
    assert tree_hash(tmp_path / "alone") == tree_hash(tmp_path / "batches")
    assert len(ShoutAll.sizes) > 10 and max(ShoutAll.sizes) == 16


def test_results_that_are_lost_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KormoError, match="results for"):
        built(tmp_path, monkeypatch, Loses, "out")
