"""Instruction following for the harness: our Korean prompts, in memory, and the scores of both languages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kormo_plugins.evaluation.generation.scoring import mean_of_lists as mean
from kormo_plugins.evaluation.generation.scoring import score_instructions
from kormo_plugins.evaluation.instructions.prompts import items

if TYPE_CHECKING:
    from datasets import DatasetDict

    from kormo_plugins.evaluation.generation.scoring import Row


def dataset(**_: object) -> DatasetDict:
    """One split, `test`, of our Korean prompts; arguments are JSON text, since their keys differ between rows."""
    from datasets import Dataset, DatasetDict

    rows = [{**item, "kwargs": json.dumps(item["kwargs"], ensure_ascii=False)} for item in items()]
    return DatasetDict({"test": Dataset.from_list(rows)})


def score(doc: Row, results: list[object]) -> dict[str, float | list[bool]]:
    """See `score_instructions`."""
    kwargs = doc["kwargs"]
    return score_instructions({**doc, "kwargs": json.loads(kwargs) if isinstance(kwargs, str) else kwargs}, results)


def mean_of_lists(items: Sequence[Sequence[bool]]) -> float:
    """See `scoring.mean_of_lists`."""
    return mean(items)
