"""What counts as the finished model of a run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kormo_plugins.measures.experiments import CELL
from kormo_plugins.runs import finish
from kormo_plugins.store.complete import fault, read_marker


def test_what_an_ablation_writes_beside_a_model_is_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell that was preempted has a record already when its model is finished, and gets another one afterwards."""
    monkeypatch.setattr(finish, "restore", lambda *words: None)
    monkeypatch.setattr(finish, "special_ids", lambda *words: {})
    for name in ("model.safetensors", "config.json", CELL):
        (tmp_path / name).write_text("{}")
    recipe: Any = SimpleNamespace(steps=8, block=SimpleNamespace(role="base", generation={}))
    built: Any = SimpleNamespace(tokenizer=None)
    finish._complete(recipe, built, tmp_path)
    assert set(read_marker(tmp_path)["files"]) == {"model.safetensors", "config.json"}
    (tmp_path / CELL).write_text('{"seconds": 12}')
    assert fault(tmp_path) is None
