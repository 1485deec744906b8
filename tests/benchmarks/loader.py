"""Tokens per second and core out of a real DataLoader, without workers.

Ours reads three weighted sources of four shards each, 32-bit ids, rows of 4096 packed best-fit, through
`document_mask`: input_ids, labels and position_ids as int64 tensors. The peer, datatrove's
DatatroveFolderDataset, reads rows of 4096 out of one file of as many tokens, with its own shuffle and
positions that restart after each end token; labels are a copy of input_ids. It mixes nothing, and cuts
documents where a row ends.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import measure
import numpy as np

ROW, BATCH, STEPS, TOKENS = 4096, 16, 400, 100_000_000


def sources(root: Path) -> dict[str, Path]:
    """Three sources of random ids with lognormal lengths."""
    from kormo_plugins.shards.format import id_dtype
    from kormo_plugins.shards.writer import ShardWriter, finish_source

    found = {}
    for place, name in enumerate(("korean", "english", "code")):
        folder = root / name
        folder.mkdir()
        rng, records = np.random.default_rng(place), []
        for shard in range(4):
            lengths = rng.lognormal(6.2, 1.1, TOKENS // 12 // 900).astype(np.int64).clip(1, 100_000)
            with ShardWriter(folder, f"shard-{shard:05d}", id_dtype(125_183)) as writer:
                ids = rng.integers(0, 125_184, lengths.sum(), dtype=np.uint32)
                writer.add(ids, lengths, [str(n) for n in range(len(lengths))])
                records.append(writer.finish({}))
        finish_source(folder, name, records, {"tokenizer": "benchmark"})
        found[name] = folder
    return found


def main() -> None:
    import torch
    from datatrove.utils.dataset import DatatroveFolderDataset

    from kormo_plugins.mixture.batches.collators import DocumentMask, DocumentMaskParams
    from kormo_plugins.mixture.dataset import open_mixture
    from kormo_plugins.mixture.params import MixtureRecipe
    from kormo_plugins.mixture.row_plans.rows import build_rows

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        shards = sources(Path(folder))
        rows = {name: Path(folder) / f"rows-{name}" for name in shards}
        for name, path in shards.items():
            build_rows(path, ROW, "best_fit", None, rows[name])
        weights = {
            "korean": {"share": 60, "of": {"korean": 1}},
            "rest": {"share": 40, "of": {"english": 3, "code": 1}},
        }
        data = open_mixture(
            rows,
            shards,
            MixtureRecipe(mixture={"name": "weighted", "weights": weights}),
            seed=0,
            row_length=ROW,
            steps=STEPS // 16,
            global_batch=BATCH * 16,
            pad_id=0,
        )
        loader = torch.utils.data.DataLoader(
            data, batch_size=BATCH, collate_fn=DocumentMask(DocumentMaskParams()), num_workers=0
        )
        ours = STEPS * BATCH * ROW / measure.seconds(lambda: [None for _ in loader])
        stream = np.random.default_rng(9).integers(1, 125_184, TOKENS, dtype=np.uint32)
        stream[::900] = 0
        stream.tofile(f"{folder}/all.ds")
        peer_data = DatatroveFolderDataset(
            folder,
            ROW - 1,
            "*.ds",
            token_size=4,
            shuffle=True,
            recursive=False,
            return_positions=True,
            positions_from_eos_token_id=0,
        )

        def with_labels(rows: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
            batch = torch.utils.data.default_collate(rows)
            return batch | {"labels": batch["input_ids"].clone()}

        peer_loader = torch.utils.data.DataLoader(
            torch.utils.data.Subset(peer_data, range(STEPS * BATCH)), batch_size=BATCH, collate_fn=with_labels
        )
        peer = STEPS * BATCH * ROW / measure.seconds(lambda: [None for _ in peer_loader], 2)
    print(f"{STEPS * BATCH * ROW / 1e6:.0f} million tokens in batches of {BATCH} x {ROW}")
    measure.result("loader", "million tokens/s/core", ours / 1e6, peer / 1e6, "datatrove DatatroveFolderDataset")


if __name__ == "__main__":
    main()
