"""The heuristics on real Korean, whole and damaged: good text stays, the same text damaged goes."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import numpy as np
import pytest

from kormo_plugins.corpus.steps.heuristics.text import prose
from kormo_plugins.corpus.steps.languages.language import identify
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.plugins.registry import registry

from .conftest import write_rows  # noqa: F401  (keeps the folder on the path)
from .damage import DAMAGES

STACK = ("normalize", "mojibake", "html", "errors", "length", "language", "repetition", "korean", "personal_data")
Load = Callable[[str], list[str]]


def stays(text: str, repair: bool = True) -> bool:
    """Whether the whole Korean stack, with its defaults, keeps the document."""
    components = registry()
    document = Document("d", text, language="ko")
    for name in STACK:
        values = {"keep": ["ko", "en", "mul"]} if name == "language" else {}
        values = {"repair": repair} if name == "mojibake" else values
        result = components.load("corpus_step", name)(components.params("corpus_step", name, values))(document)
        if isinstance(result, Reject):
            return False
        document = result
    return True


def paragraphs(load: Load) -> list[str]:
    """Sentences of a treebank, five to a paragraph and three paragraphs to a document."""
    found = load("kaist_sentences_ko")
    return ["\n".join(" ".join(found[i + j : i + j + 5]) for j in (0, 5, 10)) for i in range(0, len(found) - 15, 15)]


def korean(load: Load, kind: str) -> list[str]:
    """Human-written prose of two kinds, and technical pages with code."""
    if kind == "sentences":
        return paragraphs(load)
    if kind == "book":
        return load("rust_book_ko")
    return [text for text in load("tech_docs_ko") if identify(prose(text)) == "ko"]


@pytest.mark.parametrize(("kind", "share"), [("sentences", 0.95), ("book", 0.95), ("pages", 0.90)])
def test_good_text_stays(real_text: Load, kind: str, share: float) -> None:
    texts = korean(real_text, kind)
    kept = sum(map(stays, texts)) / len(texts)
    print(f"{kind}: {kept:.4f} of {len(texts)} kept")
    assert kept >= share


# Of the pages every third, in the quick suite; all of them in the soak.
SETS = [
    ("sentences", 1),
    ("book", 1),
    ("pages", 3),
    pytest.param("pages", 1, marks=pytest.mark.soak),
]


@pytest.mark.parametrize(("kind", "every"), SETS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_text_goes(real_text: Load, damage: str, kind: str, every: int) -> None:
    texts = [text for text in korean(real_text, kind) if len(prose(text)) >= 200][::every]
    damaged = [DAMAGES[damage](text, random.Random(i)) for i, text in enumerate(texts)]
    dropped = 1 - sum(stays(text, repair=False) for text in damaged) / len(texts)
    print(f"{kind}, {damage}: {dropped:.4f} of {len(texts)} dropped")
    assert dropped >= 0.95


@pytest.mark.parametrize(("name", "code"), [("tech_docs_ja", "ja"), ("tech_docs_zh", "zh"), ("tech_docs_ko", "ko")])
def test_neighbours_are_told_from_korean(real_text: Load, name: str, code: str) -> None:
    """Paragraphs of 200 characters, code removed. What holds no Korean, Japanese or Chinese letters is left out."""
    right = total = 0
    for text in real_text(name):
        bare = " ".join(prose(text).split())
        for start in range(0, len(bare) - 199, 200):
            found = identify(bare[start : start + 200])
            if found in ("ko", "ja", "zh", "mul"):
                total += 1
                right += (found in ("ko", "mul")) == (code == "ko")
    print(f"{name}: {right / total:.4f} of {total}")
    assert right / total >= 0.99


def test_planted_duplicates_are_found(real_text: Load) -> None:
    """Exact copies all, copies with a tenth of their words changed at least 95%; what was there before stays."""
    dice = random.Random(0)
    long = [text for text in [*paragraphs(real_text), *real_text("tech_docs_ko")] if len(text.split()) >= 60]
    texts = list({" ".join(text.split()): text for text in long}.values())
    texts = dice.sample(texts, min(200, len(texts)))
    vocabulary = " ".join(texts[:50]).split()
    exact = [f"{text}  \n" for text in texts[:100]]
    near = [changed(text, 0.1, dice, vocabulary) for text in texts[100:]]
    documents = [Document("", text) for text in [*texts, *exact, *near]]
    components = registry()
    fates = {}
    for name in ("exact_dedup", "minhash_dedup"):
        step = components.load("corpus_step", name)(components.params("corpus_step", name, {}))
        fates[name], _ = step.decide(np.asarray([step.sign(document) for document in documents]))
    count = len(texts)
    assert (fates["exact_dedup"][count : count + len(exact)] >= 0).all() and (fates["exact_dedup"][:count] < 0).all()
    assert (fates["minhash_dedup"][count : count + len(exact)] >= 0).all()
    found, lost = (
        (fates["minhash_dedup"][count + len(exact) :] >= 0).mean(),
        (fates["minhash_dedup"][:count] >= 0).sum(),
    )
    print(f"near duplicates: {found:.4f} of {len(near)} found, {lost} of {count} others dropped")
    assert found >= 0.95


def changed(text: str, share: float, dice: random.Random, words: list[str]) -> str:
    """`text` with that share of its words replaced by words of other documents."""
    pieces = re.split(r"(\w+)", text)
    count = len(pieces) // 2
    for i in dice.sample(range(count), round(share * count)):
        pieces[2 * i + 1] = dice.choice(words)
    return "".join(pieces)
