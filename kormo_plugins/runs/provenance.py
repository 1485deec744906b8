"""What a run records about itself besides its identity, for its report.

From the first step on, `run.json` has under `facts` the hardware, what the recipe extends and changes, and the mixture.
`kormo report` therefore needs only the run's folder: not the recipe files, which may have changed since, nor the
workspace, which may be on another machine.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kormo_plugins.console.machine import total_memory
from kormo_plugins.measures.metrics_file import EXTERNAL_EVAL
from kormo_plugins.pipeline.built import Built
from kormo_plugins.pipeline.open import open_rows
from kormo_plugins.recipe.files.reader import EXTENDS
from kormo_plugins.recipe.files.record import record_of
from kormo_plugins.recipe.files.resolve import as_written
from kormo_plugins.recipe.files.shipped import beside
from kormo_plugins.recipe.files.tree import Block, Leaf, merge, plain
from kormo_plugins.recipe.files.yaml_file import read_yaml
from kormo_plugins.recipe.load import Recipe
from kormo_plugins.reporting.recipes import flat
from kormo_plugins.training.compat import cpu_ranks
from kormo_plugins.training.telemetry import run_record

if TYPE_CHECKING:
    from torch import nn


KEY = "facts"


def record(recipe: Recipe, built: Built, model: nn.Module) -> None:
    """Adds the facts to `run.json`. Called by the main process when the model is on its device.

    A run resumed from its own resolved recipe, which extends nothing, keeps the parents that were recorded before.
    """
    before = run_record.read_record(recipe.output_dir)
    facts: dict[str, object] = {
        **before.get(KEY, {}),
        "hardware": hardware(),
        "parameters": sum(getattr(p, "ds_numel", p.numel()) for p in model.parameters()),  # ZeRO-3 holds only a part
        "artifacts": {f"{kind}/{name}": hash for kind, name, hash in hashes(built)},
    }
    if (parents := lineage(recipe)) is not None:
        facts["extends"] = parents
    if recipe.data is not None and built.rows:  # preference pairs have no rows
        facts["mixture"] = mixture(recipe, built)
    run_record.write_record(recipe.output_dir, {**before, KEY: facts})


def hardware() -> dict[str, object]:
    """Description of the machine; memory in bytes."""
    import torch

    cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": total_memory(),
        "accelerators": [{"name": card.name, "memory": card.total_memory} for card in cards],
        "ranks": cpu_ranks.world_size(),
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def hashes(built: Built) -> Iterator[tuple[str, str, str]]:
    """Kind, name and hash of everything that the run reads."""
    yield "tokenizer", "tokenizer", built.tokenizer_hash
    yield "model", "before training", built.weights_hash
    groups = (
        ("corpus", built.corpora),
        ("shards", built.shards),
        ("rows", built.rows),
        (EXTERNAL_EVAL, built.external_eval),
    )
    for kind, group in groups:
        for name, artifact in group.items():
            yield kind, name, artifact.hash


def lineage(recipe: Recipe) -> dict[str, object] | None:
    """What the recipe extends, and each key that it changes: `{files, parents, changed: {key: [before, now]}}`; None
    if it extends nothing.

    A recipe written by `kormo train`, a chain or an ablation is already resolved: its parents are those of the recipe
    that it was made from, or that recipe itself.
    """
    written = record_of(recipe.path)
    first = Path(written["recipe"]) if written else recipe.path
    if not first.is_file():
        return None
    named = read_yaml(first).get(EXTENDS) or ()
    paths = [beside(first.parent, p, str(first)) for p in ([named] if isinstance(named, str) else named)]
    if not paths and written and written["set"]:
        paths = [first]
    if not paths:
        return None
    tree: Block | Leaf = Block({}, "")
    for path in paths:
        tree = merge(tree, as_written(path).tree)
    before, now = flat(plain(tree)), flat(recipe.resolved.values)
    keys = [*now, *(key for key in before if key not in now)]
    changed = {key: [before.get(key), now.get(key)] for key in keys if before.get(key) != now.get(key)}
    files = [str(path) for path in (as_written(first).files if written else recipe.resolved.files)]
    return {"files": files, "parents": [str(path) for path in paths], "changed": changed}


def mixture(recipe: Recipe, built: Built) -> dict[str, object]:
    """The mixture as `kormo data stats` counts it, the recipe's tree of weights, and who wrote each source."""
    from kormo_plugins.mixture.report import stats

    assert recipe.data is not None
    statistics = stats(open_rows(recipe.stream_plan(), built))
    for name, source in recipe.data.corpus.sources.items():
        statistics["sources"][name] |= {"language": source.language, "license": source.license}
    return {**statistics, "name": recipe.data.corpus.name, "weights": recipe.data.mixture.mixture.get("weights")}
