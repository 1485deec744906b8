"""The heuristics on real Korean, whole and damaged: good text stays, the same text damaged goes."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from kormo_plugins.corpus.steps.language import identify
from kormo_plugins.corpus.steps.text import prose
from kormo_plugins.documents import Document, Reject
from kormo_plugins.registry import registry

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


def korean(load: Load) -> dict[str, list[str]]:
    pages = [text for text in load("tech_docs_ko") if identify(prose(text)) == "ko"]
    return {"prose": paragraphs(load) + load("rust_book_ko"), "pages": pages}


@pytest.mark.parametrize(("kind", "share"), [("prose", 0.95), ("pages", 0.90)])
def test_good_text_stays(real_text: Load, kind: str, share: float) -> None:
    texts = korean(real_text)[kind]
    kept = sum(map(stays, texts)) / len(texts)
    print(f"{kind}: {kept:.4f} of {len(texts)} kept")
    assert kept >= share


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_text_goes(real_text: Load, damage: str) -> None:
    texts = [text for group in korean(real_text).values() for text in group]
    texts = [text for text in texts if len(prose(text)) >= 200][::3]
    damaged = [DAMAGES[damage](text, random.Random(i)) for i, text in enumerate(texts)]
    dropped = 1 - sum(stays(text, repair=False) for text in damaged) / len(texts)
    print(f"{damage}: {dropped:.4f} of {len(texts)} dropped")
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
