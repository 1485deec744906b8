"""MinHash signatures per second and core, and what is found by them.

Ours: the step `minhash_dedup` with its defaults (28 × 4 places over runs of 2 words, numbers apart, notices and menus
left out) and, for the same rule as the peer's, with 14 × 8 over runs of 5 and the whole text.
The peer is datatrove's MinhashDedupSignature, 14 × 8 over runs of 5 words, with its
English word tokenizer (spaCy) for all texts; with the one that it names for Korean (Kiwi), which is slower, it is timed
on Korean texts besides. A quarter of the documents is planted again, once with 3% and once with 10% of the words
changed. Of both the clusters are looked at, where the first of each stays: recall is the share of the planted that are
dropped, precision the share of drops that share at least 30% of the runs of two words with one of their cluster.

    pip install -e '.[benchmarks]'
"""

from __future__ import annotations

import collections
import itertools
import random
import re
import tempfile
from pathlib import Path

import measure
import numpy as np

SAMPLE = 400
"""Documents that the slow peer signs."""
KOREAN_SAMPLE = 40
"""Documents that it signs with the slower tokenizer."""


def changed(text: str, share: float, dice: random.Random, words: list[str]) -> str:
    """`text` with that share of its words replaced by words of other documents."""
    pieces = re.split(r"(\w+)", text)
    count = len(pieces) // 2
    for i in dice.sample(range(count), round(share * count)):
        pieces[2 * i + 1] = dice.choice(words)
    return "".join(pieces)


def overlap(a: str, b: str) -> float:
    """Share of runs of two words that two texts have in common."""
    runs = []
    for text in (a, b):
        words = re.findall(r"\w+", text.lower())
        runs.append(collections.Counter(itertools.pairwise(words)))
    return sum((runs[0] & runs[1]).values()) / max(1, sum((runs[0] | runs[1]).values()))


def found(texts: list[str], planted: int, first: np.ndarray) -> tuple[float, float]:
    """Recall on the last `planted` texts, and precision over all that are dropped."""
    size = len(texts)
    dropped = [i for i in range(size) if first[i] != i]
    recall = sum(first[i] != i for i in range(size - planted, size)) / planted
    by_cluster = collections.defaultdict(list)
    for i in range(size):
        by_cluster[first[i]].append(i)
    right = sum(any(overlap(texts[i], texts[j]) >= 0.3 for j in by_cluster[first[i]] if j < i) for i in dropped)
    return recall, right / max(1, len(dropped))


def trove(texts: list[str]) -> tuple[np.ndarray, float]:
    """datatrove's clusters of `texts` by its own stages 1 to 3, and the processor seconds of stage 1."""
    import time

    from datatrove.data import Document
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.utils.hashing import HashConfig
    from loguru import logger

    logger.remove()
    config = MinhashConfig(hash_config=HashConfig(precision=64))
    first = np.arange(len(texts))
    with tempfile.TemporaryDirectory() as folder:
        signer = MinhashDedupSignature(f"{folder}/sig", config, language="eng")
        signer.get_shingles(texts[0])  # loads the tokenizer
        begin = time.process_time()
        collections.deque(signer.run((Document(t, str(i)) for i, t in enumerate(texts)), 0, 1) or (), maxlen=0)
        spent = time.process_time() - begin
        for bucket in range(config.num_buckets):
            step = MinhashDedupBuckets(f"{folder}/sig", f"{folder}/buckets", config=config)
            collections.deque(step.run(None, bucket, config.num_buckets) or (), maxlen=0)
        step = MinhashDedupCluster(f"{folder}/buckets", f"{folder}/clusters", config=config, save_cluster_id=True)
        collections.deque(step.run(None, 0, 1) or (), maxlen=0)
        for file in Path(f"{folder}/clusters").glob("*.clusters"):
            documents, cluster = np.fromfile(file, dtype="<u4").reshape(-1, 2).T
            for one in np.unique(cluster):
                first[documents[cluster == one]] = documents[cluster == one].min()
    return first, spent


def korean_speed(texts: list[str]) -> float:
    """MB/s of datatrove's signatures of Korean texts with Kiwi."""
    import time

    from datatrove.data import Document
    from datatrove.pipeline.dedup import MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.utils.hashing import HashConfig

    with tempfile.TemporaryDirectory() as folder:
        signer = MinhashDedupSignature(folder, MinhashConfig(hash_config=HashConfig(precision=64)), language="kor")
        signer.get_shingles(texts[0])  # loads the analyser
        begin = time.process_time()
        collections.deque(signer.run((Document(t, str(i)) for i, t in enumerate(texts)), 0, 1) or (), maxlen=0)
        spent = time.process_time() - begin
    return sum(len(text.encode()) for text in texts) / 1e6 / spent


def main() -> None:
    from kormo_plugins.corpus.steps.duplicates.minhash import MinhashDedup, MinhashDedupParams
    from kormo_plugins.corpus.steps.languages.language import identify
    from kormo_plugins.documents.document import Document

    everything, kind = measure.real_text()
    dice = random.Random(0)
    texts = [text for text in everything if len(text.split()) >= 60 and len(text) < 60_000]
    texts = [text for text in texts if identify(text) in ("ko", "en")]
    vocabulary = re.findall(r"\w+", " ".join(dice.sample(texts, min(200, len(texts)))))

    def ours(params: MinhashDedupParams, chosen: list[str]) -> tuple[np.ndarray, float]:
        step = MinhashDedup(params)
        documents = [Document("", text) for text in chosen]
        step.sign(documents[0])
        spent = measure.seconds(lambda: [step.sign(document) for document in documents], 3)
        table = np.asarray([step.sign(document) for document in documents])
        return step.clusters(table), spent

    peers_rule = MinhashDedupParams(
        ngram=5, bands=14, rows=8, similarity=0, short_similarity=0, numbers_from=1, whole=True
    )
    speeds: dict[str, float] = {}
    for share in (0.03, 0.1):
        sample = dice.sample(texts, min(SAMPLE, len(texts)))
        planted = [changed(text, share, dice, vocabulary) for text in sample[: len(sample) // 4]]
        whole = [*sample, *planted]
        size = sum(len(text.encode()) for text in whole) / 1e6
        for name, params in (("ours", MinhashDedupParams()), ("ours, the peer's rule", peers_rule)):
            first, spent = ours(params, whole)
            speeds[name] = max(speeds.get(name, 0), size / spent)
            recall, precision = found(whole, len(planted), first)
            print(
                f"{share:.0%} changed, {name}: recall {recall:.3f}, precision {precision:.3f}, {size / spent:.1f} MB/s"
            )
        first, spent = trove(whole)
        speeds["datatrove"] = max(speeds.get("datatrove", 0), size / spent)
        recall, precision = found(whole, len(planted), first)
        print(
            f"{share:.0%} changed, datatrove: recall {recall:.3f}, precision {precision:.3f}, {size / spent:.2f} MB/s"
        )
    korean = [text for text in texts if identify(text) == "ko"][:KOREAN_SAMPLE]
    if korean:
        print(f"datatrove with Kiwi, {len(korean)} Korean documents: {korean_speed(korean):.2f} MB/s")
    print(kind)
    measure.result("dedup", "MB/s/core", speeds["ours"], speeds["datatrove"], "datatrove MinhashDedupSignature")


if __name__ == "__main__":
    main()
