"""Near duplicates by our step beside rensa, FastSketchLSH and text-dedup: processor seconds, recall and precision.

    pip install rensa FastSketchLSH          (none of the project's dependencies)
    pip install --no-deps text-dedup click-option-group ftfy bitarray pybloom-live

The documents and what is planted among them are those of `dedup.py`. Real clusters are found by comparing all pairs of
the documents as they are: a pair is one from a Jaccard index of 0.57 of their runs of two words on. Recall of pairs is
the share of those that a method has in one cluster, and precision the share of all pairs in one cluster with an index
of at least 0.3 (both planted and real).

rensa and FastSketchLSH take tokens and know no text: they are given ours (runs of two words) as they want them, and the
time to make these is theirs, as it is part of our `sign`. text-dedup takes text; its command reads datasets from a hub,
so that its function for one document is called, and its union of what meets is made here. Ours, rensa and text-dedup
have 112 places; ours and rensa in 28 bands of 4, text-dedup as it computes them for 0.57. What met is no duplicate yet:
with rensa a pair must have a Jaccard of at least 0.57 by its signatures, as with us; FastSketchLSH tells who meets, and
no more; text-dedup takes all that met.
"""

from __future__ import annotations

import collections
import importlib.util
import itertools
import random
import re
import time
from collections.abc import Callable

import dedup
import measure
import numpy as np

DOCUMENTS = 1200
"""Real documents, all pairs of which are compared."""
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


def text_dedup(texts: list[str]) -> np.ndarray:
    """The same, by text-dedup's signatures; all that share a band are one cluster, as in its command."""
    from text_dedup.minhash import RNG, embed_func, optimal_param, xxh3_32hash

    bands, rows = optimal_param(SIMILARITY, PLACES, 0.5, 0.5)
    prime = np.uint64((1 << 61) - 1)  # its default, 64 bits
    places = tuple(RNG.randint(low, prime, size=PLACES, dtype=np.uint64) for low in (1, 0))
    options = {
        "num_perm": PLACES, "ngram_size": 2, "min_length": 5, "permutations": places, "hash_func": xxh3_32hash,
        "hashranges": [(i * rows, (i + 1) * rows) for i in range(bands)],
        "dtype": np.uint64, "max_hash": np.uint32((1 << 32) - 1), "modulo_prime": prime,
    }  # fmt: skip
    first, seen = np.arange(len(texts)), {}
    for number, text in enumerate(texts):
        for band, key in enumerate(embed_func(text, number, **options)["__signatures__"]):
            one, other = (root(first, index) for index in (number, seen.setdefault((band, key), number)))
            first[max(one, other)] = min(one, other)
    return np.array([root(first, number) for number in range(len(texts))])


def root(first: np.ndarray, number: int) -> int:
    """The first document of a cluster."""
    while first[number] != number:
        number = int(first[number])
    return number


def alike(texts: list[str]) -> dict[tuple[int, int], float]:
    """Every pair of documents with a Jaccard index of its runs of two words of at least 0.3."""
    holders: dict[str, list[int]] = {}
    sets = [set(runs(text)) for text in texts]
    for number, one in enumerate(sets):
        for run in one:
            holders.setdefault(run, []).append(number)
    common: collections.Counter[tuple[int, int]] = collections.Counter()
    for together in holders.values():
        common.update(itertools.combinations(together, 2))
    indices = {pair: n / (len(sets[pair[0]]) + len(sets[pair[1]]) - n) for pair, n in common.items()}
    return {pair: index for pair, index in indices.items() if index >= 0.3}


def pairs_of(first: np.ndarray) -> set[tuple[int, int]]:
    """Every pair of documents in one cluster."""
    clusters: dict[int, list[int]] = {}
    for number, one in enumerate(first.tolist()):
        clusters.setdefault(one, []).append(number)
    return {pair for together in clusters.values() for pair in itertools.combinations(together, 2)}


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
    ways: dict[str, Callable[[list[str]], np.ndarray]] = {"ours": ours}
    for peer, module, way in (
        ("rensa", "rensa", rensa),
        ("FastSketchLSH", "FastSketchLSH", fast_sketch),
        ("text-dedup", "text_dedup", text_dedup),
    ):
        if importlib.util.find_spec(module):
            ways[peer] = way
        else:
            print(f"{peer} is not installed")
    close = alike(whole)
    real = {pair for pair, index in close.items() if index >= SIMILARITY and max(pair) < len(sample)}
    for name, way in ways.items():
        way(whole[:20])
        begin = time.process_time()
        first = way(whole)
        spent = time.process_time() - begin
        speeds[name] = size / spent
        recall, precision = dedup.found(whole, len(planted), first)
        together = pairs_of(first)
        told = (
            f"precision {precision:.3f}; of {len(real)} real pairs {len(real & together)}, of {len(together)} in one "
            f"cluster {sum(pair in close for pair in together)} alike"
        )
        told = told if (first >= 0).all() else "clusters are not told"
        dropped = int((first != np.arange(len(first))).sum())
        print(f"{name}: {spent:.2f} s, {size / spent:.1f} MB/s, recall {recall:.3f}, {told}, {dropped} dropped")
    print(f"{len(whole):,} documents, {size:.1f} MB ({kind})")
    for name, speed in speeds.items():
        if name != "ours":
            measure.result("dedup, peers", "MB/s/core", speeds["ours"], speed, name)


if __name__ == "__main__":
    main()
