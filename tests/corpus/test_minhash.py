"""Near duplicates against a slow, plain reference: the exact similarity of multisets of runs."""

from __future__ import annotations

import random
import re
from collections import Counter

import numpy as np
import pytest

from kormo_plugins.corpus.steps.exact_dedup import ExactDedup, ExactDedupParams
from kormo_plugins.corpus.steps.minhash import MinhashDedup, MinhashDedupParams
from kormo_plugins.documents.document import Document


def words(count: int, dice: random.Random) -> list[str]:
    return ["".join(dice.choices("가나다라마바사아자차카타파하", k=dice.randint(2, 4))) for _ in range(count)]


def change(text: str, share: float, dice: random.Random) -> str:
    """`text` with that share of its words replaced."""
    pieces = re.split(r"(\w+)", text)
    count = len(pieces) // 2
    for i in dice.sample(range(count), round(share * count)):
        pieces[2 * i + 1] = words(1, dice)[0]
    return "".join(pieces)


def jaccard(a: str, b: str, n: int) -> float:
    """Similarity of the multisets of runs of n words."""
    runs = [
        Counter(tuple(w[i : i + n]) for i in range(len(w) - n + 1)) for w in (re.findall(r"\w+", t) for t in (a, b))
    ]
    return sum((runs[0] & runs[1]).values()) / sum((runs[0] | runs[1]).values())


def signatures(texts: list[str], params: MinhashDedupParams) -> np.ndarray:
    step = MinhashDedup(params)
    return np.asarray([step.sign(Document("", text)) for text in texts])


@pytest.mark.parametrize("share", [0.0, 0.03, 0.1, 0.3, 0.9])
def test_signatures_estimate_the_exact_similarity(share: float) -> None:
    dice = random.Random(3)
    params = MinhashDedupParams(bands=64, rows=16)
    errors = []
    for _ in range(12):
        text = " ".join(words(200, dice) * 2)
        other = change(text, share, dice)
        a, b = signatures([text, other], params)
        errors.append(float((a == b).mean()) - jaccard(text, other, params.ngram))
    # 1,024 places: a standard error of at most 0.016 each, so 0.0045 for the mean of 12
    assert abs(sum(errors) / len(errors)) < 0.02 and max(map(abs, errors)) < 0.08


def test_planted_near_duplicates_are_found_and_strangers_stay() -> None:
    dice = random.Random(5)
    texts = [" ".join(words(dice.randint(60, 400), dice)) for _ in range(300)]
    planted = [change(text, 0.1, dice) for text in texts[:150]]
    step = MinhashDedup(MinhashDedupParams())
    fate, reasons = step.decide(signatures(texts + planted, step.params))
    assert reasons == ["near duplicate"]
    assert (fate[:300] == -1).all()
    assert (fate[300:] == 0).mean() >= 0.95


def test_clusters_keep_their_first_whatever_the_chain() -> None:
    dice = random.Random(7)
    chain = [" ".join(words(300, dice))]
    for _ in range(5):
        chain.append(change(chain[-1], 0.05, dice))
    step = MinhashDedup(MinhashDedupParams())
    table = signatures(chain, step.params)
    assert step.decide(table)[0].tolist() == [-1, 0, 0, 0, 0, 0]
    assert step.decide(table[::-1])[0].tolist() == [-1, 0, 0, 0, 0, 0]


def test_short_documents_and_signs_do_not_matter() -> None:
    step = MinhashDedup(MinhashDedupParams())
    short = signatures(["짧은 글", "짧은 글", ""], step.params)
    assert (step.decide(short)[0] == -1).all()
    text = " ".join(words(40, random.Random(1)))
    same = signatures([text, text.replace(" ", ",  "), f"“{text}”…"], step.params)
    assert (same[0] == same[1]).all() and (same[0] == same[2]).all()


@pytest.mark.parametrize(("ignore", "left"), [("nothing", 4), ("space", 3), ("punctuation", 2)])
def test_exact_duplicates(ignore: str, left: int) -> None:
    texts = ["The  one.", "The one.", "the one", "the one", "other"]
    step = ExactDedup(ExactDedupParams(ignore=ignore))
    fate, _ = step.decide(np.asarray([step.sign(Document("", text)) for text in texts]))
    assert (fate == -1).sum() == left
    assert fate[0] == -1
