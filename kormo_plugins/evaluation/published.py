"""The published scores of KORMo-10B and its baselines, to stand beside ours."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("published.yml")


@lru_cache(maxsize=1)
def published() -> dict[str, Any]:
    """The whole file: `source`, `models`, `scores` (row -> one value per model, percent), `judged`, `needle`."""
    values: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return values


def scores_of(row: str | None) -> dict[str, float]:
    """Model -> published score in percent, of one row; empty when the row is none of the published."""
    values = published()
    return dict(zip(values["models"], values["scores"].get(row or "", ()), strict=False))
