"""The compiled part of the quality classifier: fastText's features, and a logistic regression on them.

fastText (Joulin et al. 2016, arXiv 1607.01759) averages the vectors of words and hashed word n-grams and applies a
linear layer. For two classes the two layers reduce to one weight per feature, which is what is trained here: by
stochastic gradient descent on one thread, with a learning rate that decays to zero. The same examples therefore give
the same bits, which fastText's trainer with its unsynchronised threads cannot guarantee.
"""

from __future__ import annotations

import numpy as np

from kormo_plugins.corpus.steps.duplicates.minhash_kernel import _final, _words
from kormo_plugins.store.compiled.functions import njit


@njit()
def features(data: np.ndarray, ngrams: int, buckets: int) -> np.ndarray:
    """Buckets of all word n-grams of order 1 to `ngrams` in UTF-8 `data`; int64, in order."""
    words = _words(data)
    found = np.empty(len(words) * ngrams, dtype=np.int64)
    count = 0
    for start in range(len(words)):
        run = np.uint64(0)
        for n in range(min(ngrams, len(words) - start)):
            run = run * np.uint64(0x9E3779B97F4A7C15) + words[start + n]
            found[count] = np.int64(_final(run + np.uint64(n)) % np.uint64(buckets))
            count += 1
    return found[:count]


@njit()
def predict(weights: np.ndarray, bias: float, found: np.ndarray) -> float:
    """Probability that a document with these features is good; 0.5 means undecided."""
    total = 0.0
    for feature in found:
        total += weights[feature]
    # Divided by the square root of the count: a long document is stronger evidence than a short one, but sublinearly.
    return 1.0 / (1.0 + np.exp(-(bias + total / np.sqrt(max(1, len(found))))))


@njit()
def train(
    found: np.ndarray, bounds: np.ndarray, labels: np.ndarray, order: np.ndarray, buckets: int, epochs: int, rate: float
) -> tuple[np.ndarray, float]:
    """Trains weights and bias.

    Args:
        found: features of all examples, concatenated; int64.
        bounds: start of each example's features, and the end; int64, shape [examples + 1].
        labels: 1 for good, 0 for bad; shape [examples].
        order: order of the examples in each epoch; shape [epochs, examples].
    """
    weights, bias, done = np.zeros(buckets, dtype=np.float64), 0.0, 0
    total = epochs * len(labels)
    for epoch in range(epochs):
        for example in order[epoch]:
            mine = found[bounds[example] : bounds[example + 1]]
            error = labels[example] - predict(weights, bias, mine)
            step = rate * (1.0 - done / total) * error
            bias += step * 0.1
            share = step / np.sqrt(max(1, len(mine)))
            for feature in mine:
                weights[feature] += share
            done += 1
    return weights, bias
