"""Sources made of random documents, written by the real writer."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kormo_plugins.mixture.dataset import MixtureDataset, open_mixture
from kormo_plugins.mixture.params import MixtureRecipe
from kormo_plugins.mixture.row_plans.rows import build_rows
from kormo_plugins.shards.format import id_dtype
from kormo_plugins.shards.writer import ShardWriter, finish_source

PAD = 0


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of small folders would spend their time in fsync, which no test here is about."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def write_source(
    folder: Path,
    lengths: Sequence[int],
    *,
    shards: int = 1,
    seed: int = 0,
    largest_id: int = 999,
    tokenizer: str = "t",
) -> Path:
    """A source of random ids from 1 on, cut into `shards` shards; document n is named `d<n>`."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    records, number = [], 0
    for index, part in enumerate(np.array_split(np.asarray(lengths, np.int64), shards)):
        with ShardWriter(folder, f"shard-{index:05d}", id_dtype(largest_id)) as writer:
            ids = rng.integers(1, largest_id + 1, int(part.sum()))
            writer.add(ids, part, [f"d{number + n}" for n in range(len(part))])
            records.append(writer.finish({}))
        number += len(part)
    finish_source(folder, folder.name, records, {"tokenizer": tokenizer, "largest_id": largest_id})
    return folder


def lognormal(count: int, seed: int, mean: float = 5.0) -> list[int]:
    return np.random.default_rng(seed).lognormal(mean, 1.2, count).astype(int).clip(1, 20_000).tolist()


OpenMixture = Callable[..., MixtureDataset]


@pytest.fixture
def mixture(tmp_path: Path) -> OpenMixture:
    """Builds three sources, or those given as name -> lengths, once per test, and opens a mixture of them."""

    def open_it(
        mixing: dict[str, Any] | None = None,
        *,
        sources: dict[str, list[int]] | None = None,
        packing: dict[str, Any] | None = None,
        row_length: int = 128,
        steps: int = 20,
        global_batch: int = 24,
        seed: int = 1,
        root: str = "data",
    ) -> MixtureDataset:
        packing = packing or {"name": "best_fit"}
        sources = sources or {"en": lognormal(300, 1), "ko": lognormal(400, 2), "web": lognormal(200, 3)}
        rows, shards = {}, {}
        for place, (name, lengths) in enumerate(sources.items()):
            shards[name] = tmp_path / root / "shards" / name
            rows[name] = tmp_path / root / f"rows-{packing['name']}-{row_length}" / name
            if not (shards[name] / "shards.json").exists():
                write_source(shards[name], lengths, shards=1 + place, seed=place)
            if not (rows[name] / "rows.json").exists():
                params = {k: v for k, v in packing.items() if k != "name"}
                build_rows(shards[name], row_length, packing["name"], params, rows[name], window=150)
        recipe = MixtureRecipe(packing=packing, mixture={"name": "weighted", **(mixing or {})})
        return open_mixture(
            rows,
            shards,
            recipe,
            seed=seed,
            row_length=row_length,
            steps=steps,
            global_batch=global_batch,
            pad_id=PAD,
        )

    return open_it
