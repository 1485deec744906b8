"""What it costs to come back at step 1,000,000 of a job of 128 ranks, beyond coming back at step 0.

Ours: opening the mixture (20 sources) and taking the first micro-batch of rank 127. The peer is what
    transformers'
Trainer does by default: accelerate counts through the batches of all ranks; it is measured over 2,000 steps
and multiplied. Both without any model.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import measure
import numpy as np

RANKS, MICRO_BATCH, STEP, COUNTED = 128, 8, 1_000_000, 2_000


def main() -> None:
    import torch
    from accelerate.data_loader import BatchSamplerShard, SkipBatchSampler

    from kormo_plugins.mixture.dataset import open_mixture
    from kormo_plugins.mixture.params import MixtureRecipe
    from kormo_plugins.mixture.row_plans.rows import build_rows
    from kormo_plugins.shards.format import id_dtype
    from kormo_plugins.shards.writer import ShardWriter, finish_source

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as root:
        rows, shards = {}, {}
        for number in range(20):
            name = f"source{number:02d}"
            shards[name], rows[name] = Path(root) / name, Path(root) / f"rows-{name}"
            shards[name].mkdir()
            lengths = rng.lognormal(4, 1, 1000).astype(np.int64).clip(1, 5000)
            with ShardWriter(shards[name], "shard-00000", id_dtype(999)) as writer:
                writer.add(rng.integers(0, 1000, lengths.sum()), lengths, [str(n) for n in range(1000)])
                finish_source(shards[name], name, [writer.finish({})], {"tokenizer": "benchmark"})
            build_rows(shards[name], 512, "best_fit", None, rows[name])
        weights = {name: float(rng.uniform(0.1, 5)) for name in rows}

        def open_at(step: int) -> float:
            begin = time.perf_counter()
            data = open_mixture(
                rows,
                shards,
                MixtureRecipe(mixture={"name": "weighted", "weights": weights}),
                seed=0,
                row_length=512,
                steps=2 * STEP,
                global_batch=RANKS * MICRO_BATCH,
                pad_id=0,
            )
            first = step * RANKS * MICRO_BATCH + 127 * MICRO_BATCH
            data.__getitems__(range(first, first + MICRO_BATCH))
            return time.perf_counter() - begin

        open_at(0)
        difference = min(open_at(STEP) for _ in range(3)) - min(open_at(0) for _ in range(3))
        ours = max(difference, 0.01)  # less cannot be told from noise
    sampler = torch.utils.data.BatchSampler(range(4 * COUNTED * RANKS * MICRO_BATCH), MICRO_BATCH, True)
    skipping = SkipBatchSampler(BatchSamplerShard(sampler, RANKS, 127), skip_batches=COUNTED)
    begin = time.perf_counter()
    next(iter(skipping))
    peer = (time.perf_counter() - begin) * STEP / COUNTED
    print(f"extra seconds at step {STEP:,} of {RANKS} ranks")
    measure.result("resume", "s", ours, peer, "accelerate SkipBatchSampler", lower=True)


if __name__ == "__main__":
    main()
