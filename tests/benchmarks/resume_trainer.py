"""What resuming costs in the trainer: from `train()` to the first batch, at step 1 and at step 1,000,000.

    python tests/benchmarks/resume_trainer.py

A real checkpoint of our trainer on a tiny model, whose step number is then set to 1,000,000; the run is long enough
for it (8 million samples). The peer is Axolotl's own trainer, which counts through every batch. One rank: the time of
the peer grows with the number of ranks, ours does not depend on it.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.training import harness

BATCH, STEPS, FAR = 8, 1_000_001, 1_000_000
REPEATS = 3


class FirstBatch(Exception):
    """Raised when the trainer asks the model for the first step after a resume."""


class LongRows(harness.Rows):
    """The rows of the harness, over and over, for a million steps."""

    def __len__(self) -> int:
        return STEPS * BATCH

    def __getitem__(self, i: int) -> dict[str, Any]:
        return super().__getitem__(i % harness.ROWS)


def seconds(folder: Path, step: int, ours: bool) -> float:
    """From `train()` to the first batch of a run resumed at `step`."""
    state = folder / "checkpoint-1" / "trainer_state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "global_step": step}))
    made = harness.trainer(BATCH, 1, steps=STEPS, ours=ours, out=tempfile.mkdtemp())
    made.train_dataset = LongRows()

    def first(*args: Any, **kwargs: Any) -> Any:
        raise FirstBatch

    made.training_step = first
    start = time.perf_counter()
    try:
        made.train(resume_from_checkpoint=str(state.parent))
    except FirstBatch:
        return time.perf_counter() - start
    raise RuntimeError("the run ended before its first step")


def main() -> None:
    """Measures and prints one JSON line at the end."""
    folders = {ours: Path(tempfile.mkdtemp()) for ours in (True, False)}
    for ours, folder in folders.items():
        harness.trainer(BATCH, 1, steps=1, ours=ours, out=str(folder), save_strategy="steps", save_steps=1).train()
    runs: dict[tuple[bool, int], list[float]] = {(True, 1): [], (True, FAR): [], (False, 1): [], (False, FAR): []}
    for _ in range(REPEATS):
        for (ours, step), found in runs.items():
            found.append(seconds(folders[ours], step, ours))
    near, far, peer_near, peer = (statistics.median(found) for found in runs.values())
    print(f"to the first batch: ours {near:.3f} s at step 1, {far:.3f} s at step 1,000,000")
    print(f"                    peer {peer_near:.3f} s at step 1, {peer:.3f} s at step 1,000,000")
    cost, extra = max(far - near, 0.01), peer - peer_near
    print(
        json.dumps(
            {
                "name": "resume_trainer",
                "unit": "s",
                "ours": round(cost, 4),
                "peer": round(extra, 2),
                "peer_name": "axolotl trainer",
                "ratio": round(extra / cost, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
