"""The mini suite's items as an in-memory dataset for the harness, selected by `dataset_kwargs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kormo_plugins.evaluation.mini import items

if TYPE_CHECKING:
    from datasets import DatasetDict


def dataset(family: str, language: str, **_: object) -> DatasetDict:
    """One split, `test`. The harness passes a task's metadata together with its `dataset_kwargs`."""
    from datasets import Dataset, DatasetDict

    return DatasetDict({"test": Dataset.from_list(items(family, language))})
