"""Published scores of KORMo-10B and its baselines, for comparison."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

FILE = Path(__file__).with_name("published.yml")


@dataclass(frozen=True)
class Published:
    """The content of published.yml.

    Args:
        source: publication of the scores.
        scores: row -> a value for each of `models`, in percent.
        judged: row -> a value of 10 for each of `judged_models`; None: not reported.
        needle: language -> percent.
    """

    source: str
    models: list[str]
    scores: dict[str, list[float]]
    judged_models: list[str]
    judged: dict[str, list[float | None]]
    needle: dict[str, float]


@lru_cache(maxsize=1)
def published() -> Published:
    """The published scores."""
    values = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    judged = dict(values["judged"])
    return Published(
        values["source"], values["models"], values["scores"], judged.pop("models"), judged, values["needle"]
    )


def scores_of(row: str | None) -> dict[str, float]:
    """Model -> published score in percent, of one row; empty if the row is not published."""
    values = published()
    return dict(zip(values.models, values.scores.get(row or "", ()), strict=False))
