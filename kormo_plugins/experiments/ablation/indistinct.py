"""Variants of an ablation whose trainings were the same run: what they change had no effect.

Two cells with different recipes train separately. When every number that they logged is equal to the last bit, at every
seed that both have, the change did not reach the training (a key that nothing reads, steps that no source takes), and a
comparison of the two says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from kormo_plugins.measures.experiments import CellRecord
from kormo_plugins.measures.metrics_file import FILE as METRICS
from kormo_plugins.measures.metrics_file import read_metrics

TRAINING = ("step", "loss", "grad_norm")
"""Keys of a log line that follow from weights and rows alone; times and rates differ between equal runs."""


def indistinct(runs: Mapping[str, Mapping[int, CellRecord]]) -> list[str]:
    """A warning for each pair of variants that logged the same training and have the same measures.

    Args:
        runs: variant -> seed -> finished cell.
    Returns:
        One sentence per pair, in the order of `runs`; two variants that share no seed, or one cell, are no pair.
    """
    warnings = []
    for first, second in combinations(runs, 2):
        pairs = [(runs[first][seed], runs[second][seed]) for seed in runs[first].keys() & runs[second].keys()]
        separate = [(one, other) for one, other in pairs if one["hash"] != other["hash"]]
        if separate and all(_same(one, other) for one, other in separate):
            warnings.append(
                f"{first} and {second} logged the same losses, to the last bit, at every seed: they are the same "
                "training, and what they change had no effect; remove one, or change a key that the training reads"
            )
    return warnings


def _same(one: CellRecord, other: CellRecord) -> bool:
    return one["measures"] == other["measures"] and _curve(Path(one["folder"])) == _curve(Path(other["folder"]))


def _curve(folder: Path) -> list[dict[str, object]]:
    lines = read_metrics(folder / METRICS)
    return [{key: line[key] for key in TRAINING if key in line} for line in lines if "loss" in line]
