"""Documents packed per second and core into rows of 4096, and how full the rows are.

Ours is the whole policy (cutting, packing, placing), on a million documents at a time. The peer is Axolotl's
multipack (first-fit decreasing, compiled by numba too) with its own defaults, on one process. Lengths are
those of real documents where there are some, drawn with replacement and varied by a tenth.
"""

from __future__ import annotations

import measure
import numpy as np

ROW, DOCUMENTS = 4096, 1_000_000


def main() -> None:
    from axolotl.utils.samplers.multipack import pack_parallel

    from kormo_plugins.mixture.row_plans.packing import BestFitParams, best_fit, fill

    texts, kind = measure.real_text()
    rng = np.random.default_rng(0)
    real = np.array([len(text.encode()) / 4 for text in texts if text])
    lengths = (rng.choice(real, DOCUMENTS) * rng.uniform(0.9, 1.1, DOCUMENTS)).astype(np.int64) + 2
    print(f"{DOCUMENTS:,} documents, mean {lengths.mean():.0f} tokens ({kind})")
    ours = DOCUMENTS / measure.seconds(lambda: best_fit(lengths, ROW, BestFitParams()))
    packed = fill(best_fit(lengths, ROW, BestFitParams()), ROW)
    short = np.minimum(lengths[:200_000], ROW)  # the peer cannot cut
    bins = pack_parallel(short, ROW, 100_000, 200, num_processes=1)
    peer_fill = sum(int(short[b].sum()) for b in bins) / (ROW * len(bins))
    peer = len(short) / measure.seconds(lambda: pack_parallel(short, ROW, 100_000, 200, num_processes=1), 1)
    print(f"fill: ours {packed:.4%}, peer {peer_fill:.4%}")
    measure.result("packing", "documents/s/core", ours, peer, "axolotl multipack")


if __name__ == "__main__":
    main()
