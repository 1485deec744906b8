"""Lines marked with their language, made of the sentences of `marked_lines.yml`: headlines, sentences and pairs."""

from __future__ import annotations

import random
from pathlib import Path

import yaml

SENTENCES = Path(__file__).with_suffix(".yml")


def lines(each: int = 170) -> list[tuple[str, str]]:
    """`each` different lines of every language, always the same: (line, language)."""
    found: list[tuple[str, str]] = []
    for language, parts in yaml.safe_load(SENTENCES.read_text(encoding="utf-8")).items():
        join = "" if language in ("ja", "zh", "zh-Hant") else " "
        single = [*parts["short"], *parts["whole"], *parts["tail"]]
        pairs = [first + join + after for first in parts["whole"] for after in parts["tail"]]
        pairs += [f"{first} | {second}" for first in parts["short"] for second in parts["short"] if first != second]
        random.Random(language).shuffle(pairs)
        found += [(line, language) for line in [*single, *pairs][:each]]
    return found


def documents(sentences: int = 12) -> list[tuple[str, str]]:
    """Whole documents, of all sentences of a language in several orders: (text, language)."""
    found = []
    for language, parts in yaml.safe_load(SENTENCES.read_text(encoding="utf-8")).items():
        dice = random.Random(language)
        for _ in range(10):
            chosen = dice.sample([*parts["whole"], *parts["tail"]], sentences)
            found.append(("\n".join(chosen), language))
    return found
