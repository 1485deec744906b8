"""What must not change for a run to resume, and what may.

A checkpoint contains the `parts` of its data (`MixtureDataset.parts`) and the step. Before that step, seed, batch, rows
and shares determined which samples were seen; changing any of them would repeat some rows and skip others. After it,
anything may change: other weights from a later step on, a source added or removed, a longer run. No cursors are stored,
since the rows drawn before a step are a sum over the preceding stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kormo_plugins.errors import KormoError

SCALARS = {
    "seed": "the order of all rows",
    "global_batch": "which rows each step holds",
    "row_length": "every row",
    "pad_id": "the padding of every row",
    "tokenizer": "what each id means",
}
"""Part of the data -> what it determines from step 0 on."""

Parts = Mapping[str, Any]


def shares_at(parts: Parts, step: int) -> dict[str, float]:
    """Nonzero shares at `step`."""
    stage = [stage for stage in parts["stages"] if stage["from_step"] <= step][-1]
    return {name: share for name, share in stage["shares"].items() if share}


def differences(old: Parts, new: Parts) -> list[tuple[int, str]]:
    """All differences as (first affected step, text), earliest first.

    Args:
        old, new: `MixtureDataset.parts()` of the run so far and of the current recipe.
    """
    result = [
        (0, f"{name}: {old[name]!r} became {new[name]!r} ({meaning})")
        for name, meaning in SCALARS.items()
        if old[name] != new[name]
    ]
    borders = sorted({stage["from_step"] for parts in (old, new) for stage in parts["stages"]})
    first_use: dict[str, int] = {}
    for step in borders:
        before, after = shares_at(old, step), shares_at(new, step)
        for name in sorted(before.keys() | after.keys()):
            first_use.setdefault(name, step)
        if before != after:
            result.append((step, f"shares from step {step:,}: {_shares(before)} became {_shares(after)}"))
        elif len({step in {stage["from_step"] for stage in parts["stages"]} for parts in (old, new)}) > 1:
            # counting restarts at a stage, so rows may be rounded differently after it
            result.append((step, f"a stage begins at step {step:,} in only one of the two mixtures"))
    for name in sorted(old["sources"].keys() & new["sources"].keys()):
        if old["sources"][name] != new["sources"][name] and name in first_use:
            result.append((first_use[name], f"source {name}: rebuilt with other contents"))
    return sorted(result)


def _shares(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.4g}" for name, share in sorted(shares.items()))


def check_resume(old: Parts, new: Parts, step: int, *, allow: bool = False) -> list[str]:
    """The changes between a checkpoint's data and the recipe's, if the run may resume.

    Args:
        old: the parts stored with the checkpoint.
        new: the parts of the current recipe.
        step: steps trained so far.
        allow: resume even if past steps differ.
    Returns:
        One line per change, for the log; empty if nothing differs.
    Raises:
        KormoError: the recipe would change steps that were already trained; names each such difference and the first
            affected step.
    """
    changes = differences(old, new)
    past = [(first, text) for first, text in changes if first < step]
    if past and not allow:
        raise KormoError(
            where=f"resume at step {step:,}",
            found="; ".join(text for _, text in past),
            why=f"step {past[0][0]:,}, already trained, would change: some rows would repeat and others be skipped",
            do=f"restore the recipe and add a stage from step {step:,} on, or allow the change explicitly",
        )
    return [f"amended from step {first:,}: {text}" for first, text in changes]
