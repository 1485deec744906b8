"""Near duplicates by our step beside rensa and FastSketchLSH: processor seconds, recall and precision on one text.

    pip install rensa FastSketchLSH          (none of the project's dependencies)

The documents and what is planted among them are those of `dedup.py`. Both packages take tokens and know no text: they
are given ours (runs of two words, hashed) as they want them, and the time to make these is theirs, as it is part of our
`sign`. Ours and rensa have 112 places in 28 bands of 4. What met is no duplicate yet: with rensa a pair must have a
Jaccard of at least 0.57 by its signatures, as with us; FastSketchLSH tells who meets, and no more.
"""

from __future__ import annotations

import itertools
import random
import re
import time
from collections.abc import Callable

import dedup
import measure
import numpy as np

DOCUMENTS = 1500
PLACES, BANDS, SIMILARITY = 112, 28, 0.57
POWER = 128
"""Places of FastSketchLSH, which takes powers of two alone; in bands of 4 as well."""


def runs(text: str) -> list[str]:
    """The runs of two words."""
    return [f"{a} {b}" for a, b in itertools.pairwise(re.findall(r"\w+", text.lower()))]


def ours(texts: list[str]) -> np.ndarray:
    """The first of each document's cluster."""
    from kormo_plugins.corpus.steps.duplicates.minhash import MinhashDedup, MinhashDedupParams
    from kormo_plugins.documents.document import Document

    step = MinhashDedup(MinhashDedupParams())
    return step.clusters(np.asarray([step.sign(Document("", text)) for text in texts]))


def rensa(texts: list[str]) -> np.ndarray:
    """The same, by rensa's signatures and index."""
    from rensa import RMinHash, RMinHashLSH

    signatures = []
    for text in texts:
        signature = RMinHash(num_perm=PLACES, seed=1)
        signature.update(runs(text))
        signatures.append(signature)
    index, first = RMinHashLSH(SIMILARITY, PLACES, BANDS), np.arange(len(texts))
    for number, signature in enumerate(signatures):
        met = [other for other in index.query(signature) if signature.jaccard(signatures[other]) >= SIMILARITY]
        first[number] = min((int(first[other]) for other in met), default=number)
        index.insert(number, signature)
    return first


def fast_sketch(texts: list[str]) -> np.ndarray:
    """The same, by FastSketchLSH; of a document that met one before only that is known."""
    from FastSketchLSH import LSH, FastSimilaritySketch

    sketches = FastSimilaritySketch(size=POWER, seed=1).batch([runs(text) for text in texts])
    met = LSH(num_perm=POWER, num_bands=POWER // 4, num_threads=1).insert_and_query_duplicates(sketches)
    return np.where(np.asarray(met, dtype=bool), -1, np.arange(len(texts)))


def main() -> None:
    """Prints a line for each, and the JSON of ours beside rensa."""
    everything, kind = measure.real_text()
    dice = random.Random(0)
    texts = [text for text in everything if len(text.split()) >= 60 and len(text) < 60_000]
    sample = dice.sample(texts, min(DOCUMENTS, len(texts)))
    vocabulary = re.findall(r"\w+", " ".join(sample[:100]))
    planted = [dedup.changed(text, 0.05, dice, vocabulary) for text in sample[: len(sample) // 4]]
    whole = [*sample, *planted]
    size, speeds = sum(len(text.encode()) for text in whole) / 1e6, {}
    ways: dict[str, Callable[[list[str]], np.ndarray]] = {"ours": ours, "rensa": rensa, "FastSketchLSH": fast_sketch}
    for name, way in ways.items():
        way(whole[:20])
        begin = time.process_time()
        first = way(whole)
        spent = time.process_time() - begin
        speeds[name] = size / spent
        recall, precision = dedup.found(whole, len(planted), first)
        told = f"precision {precision:.3f}" if (first >= 0).all() else "clusters are not told"
        dropped = int((first != np.arange(len(first))).sum())
        print(f"{name}: {spent:.2f} s, {size / spent:.1f} MB/s, recall {recall:.3f}, {told}, {dropped} dropped")
    print(f"{len(whole):,} documents, {size:.1f} MB ({kind})")
    measure.result("dedup, peers", "MB/s/core", speeds["ours"], speeds["rensa"], "rensa")


if __name__ == "__main__":
    main()
