"""The contents of a mixture and of any of its batches, as JSON values.

Everything is computed from the plan, so it works for past and future steps, without a trainer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kormo_plugins.errors import KormoError
from kormo_plugins.mixture.dataset import MixtureDataset
from kormo_plugins.mixture.row_plans.rows import Rows
from kormo_plugins.mixture.sampling.weights import Group

LEDGER = ("documents", "tokens", "tokens_placed", "tokens_dropped", "rows", "fill")
PROVENANCE = ("languages", "licenses", "generators", "synthetic")
SUMMED = ("documents", "tokens", "weight", "share")


def stats(dataset: MixtureDataset) -> dict[str, Any]:
    """Statistics of the mixture.

    Returns:
        `steps`, `tokens` (positions of the run), `stages`, and `sources`: for each source the counts of its row plan
        (`documents`, `tokens`, `tokens_placed`, `tokens_dropped`, `rows`, `fill`), `weight` and `share` (of the run's
        tokens: requested and actual), `rows_drawn`, `epochs`, and document counts by language, licence, generator and
        kind. For conversations also `trained`, the number of predicted tokens, and `documents_dropped`, those longer
        than a row.
    """
    weights = _weights(dataset)
    drawn = dataset.mixing.counts(dataset.steps)
    placed = {name: int(plan.manifest["tokens_placed"]) for name, plan in dataset.rows.items()}
    got = {
        name: int(count) * placed[name] / plan.rows if plan.rows else 0.0
        for (name, plan), count in zip(dataset.rows.items(), drawn, strict=True)
    }
    total = sum(got.values()) or 1.0
    sources = {}
    for (name, plan), count in zip(dataset.rows.items(), drawn, strict=True):
        sources[name] = {
            **{field: plan.manifest[field] for field in LEDGER},
            **_of_conversations(plan),
            "weight": weights[name],
            "share": got[name] / total,
            "rows_drawn": int(count),
            "epochs": int(count) / plan.rows if plan.rows else 0.0,
            **{field: plan.shards.manifest[field] for field in PROVENANCE},
        }
    return {
        "steps": dataset.steps,
        "tokens": len(dataset) * dataset.row_length,
        "stages": dataset.mixing.stages(),
        "sources": sources,
    }


def _of_conversations(plan: Rows) -> dict[str, int]:
    if not plan.shards.masked:
        return {}
    return {"trained": plan.shards.manifest["trained"], "documents_dropped": plan.manifest["documents_dropped"]}


def _weights(dataset: MixtureDataset) -> dict[str, float]:
    """Share of the run's tokens that the recipe requests, averaged over its stages."""
    stages = dataset.mixing.stages()
    borders = [min(stage["from_step"], dataset.steps) for stage in stages] + [dataset.steps]
    lengths = [end - start for start, end in pairwise(borders)]
    return {
        name: sum(n * stage["shares"].get(name, 0.0) for n, stage in zip(lengths, stages, strict=True))
        / max(dataset.steps, 1)
        for name in dataset.names
    }


def batch(
    dataset: MixtureDataset,
    step: int,
    *,
    rank: int = 0,
    world_size: int = 1,
    micro_batch: int | None = None,
    decode: Callable[[NDArray[np.integer]], str] | None = None,
) -> dict[str, Any]:
    """The samples of one rank in one step.

    Micro-batches are distributed round-robin, as by accelerate: micro-batch m of a step goes to rank m % world_size.

    Args:
        step: step number, from 0.
        rank: rank whose samples are returned; with `world_size` 1, the whole step.
        micro_batch: rows per micro-batch; by default the global batch divided by the ranks, without accumulation.
        decode: converts ids to text; adds `text` to each document.
    Returns:
        `step`, `rank`, `world_size`, `samples`: `index`, `source`, `row`, `epoch`, `documents`: `id`,
        `start`, `end` (in tokens of the document).
    Raises:
        KormoError: the step or rank does not exist, or the global batch is not divisible.
    """
    if not 0 <= step < dataset.steps:
        raise KormoError(
            where="--step",
            found=str(step),
            why=f"the steps of the run are 0 to {dataset.steps - 1}",
            do="choose a step in this range",
        )
    if not 0 <= rank < world_size:
        raise KormoError(
            where="--rank",
            found=str(rank),
            why=f"with {world_size} ranks, the ranks are 0 to {world_size - 1}",
            do="choose a rank in this range",
        )
    size = micro_batch or max(1, dataset.global_batch // world_size)
    if dataset.global_batch % (size * world_size):
        raise KormoError(
            where="--world-size",
            found=f"{world_size} ranks with micro-batches of {size} rows",
            why=f"their product does not divide the global batch of {dataset.global_batch} rows",
            do="choose numbers whose product does; training would refuse these too",
        )
    slots = np.arange(dataset.global_batch)
    rank_slots = slots[slots // size % world_size == rank] + step * dataset.global_batch
    return {
        "step": step,
        "rank": rank,
        "world_size": world_size,
        "samples": [_sample(dataset, int(index), decode) for index in rank_slots],
    }


def _sample(
    dataset: MixtureDataset, index: int, decode: Callable[[NDArray[np.integer]], str] | None
) -> dict[str, object]:
    sample = dataset.sample(index)
    shards = dataset.rows[sample.source].shards
    documents = []
    for document, start, end in sample.documents:
        entry: dict[str, object] = {"id": shards.name(document), "start": start, "end": end}
        if decode is not None:
            entry["text"] = decode(shards.document(document)[start:end])
        documents.append(entry)
    return {
        "index": index,
        "source": sample.source,
        "row": sample.row,
        "epoch": sample.epoch,
        "documents": documents,
    }


def tree(table: Mapping[str, Any], weights: Mapping[str, object] | None) -> list[dict[str, object]]:
    """The mixture as the recipe's tree, for a chart.

    Args:
        table: result of `stats`.
        weights: the recipe's weight tree, as validated by its model; None for a flat mixture.
    Returns:
        One node per source or group: `name`, `documents`, `tokens`, `weight`, `share`, and either `epochs` and `fill`
            (a source) or `children` (a group, with the sums of its members). Sources missing from the tree come last.
    """
    sources, seen = table["sources"], set()

    def node(name: str, value: object) -> dict[str, Any]:
        """A source with its numbers, or a group with its children and their sums."""
        if not isinstance(value, Group):
            seen.add(name)
            return {"name": name, **{field: sources[name][field] for field in (*SUMMED, "epochs", "fill")}}
        children = [node(*item) for item in value.of.items()]
        sums = {field: sum(child[field] for child in children) for field in SUMMED}
        return {"name": name, **sums, "children": children}

    nodes = [node(*item) for item in (weights or dict.fromkeys(sources, 0.0)).items()]
    return nodes + [node(name, 0.0) for name in sources if name not in seen]
