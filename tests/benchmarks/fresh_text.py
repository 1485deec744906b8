"""Korean documents of any amount, none of them twice: real ones, and then the same with lines and words exchanged.

A cache that remembers words is only worth what it is worth on a crawl: of every copy after the first, each line is
another document's with a chance of `LINES`, and each word another's with a chance of `WORDS`. Of what was exchanged no
near duplicate is left for a deduplication to drop.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import measure

LINES, WORDS = 0.5, 0.25
_HANGUL = re.compile("[가-힣]")


def korean() -> tuple[list[str], str]:
    """The Korean documents of `measure.real_text`, or else the embedded corpus; and what they are."""
    texts, kind = measure.real_text()
    if not kind.startswith("made-up"):
        return [text for text in texts if len(text) > 200 and len(_HANGUL.findall(text)) * 5 > len(text)], kind
    from kormo_plugins.plugins.registry import registry

    components = registry()
    params = components.params("generator", "embedded", {"megabytes": 4})
    texts = [document.text for document in components.load("generator", "embedded")(params, 0, 1)]
    return texts, "the embedded corpus: set KORMO_TEST_TEXT for real text"


def documents(texts: list[str], size: int, seed: int = 0) -> Iterator[str]:
    """Documents of `size` bytes of UTF-8 together, the same for the same seed."""
    dice = random.Random(seed)
    lines = [line for text in texts for line in text.split("\n") if line.strip()]
    words = [word for line in lines for word in line.split(" ")]
    done, first = 0, True
    while done < size:
        for text in texts:
            made = text if first else _changed(text, dice, lines, words)
            done += len(made.encode())
            yield made
            if done >= size:
                return
        first = False


def _changed(text: str, dice: random.Random, lines: list[str], words: list[str]) -> str:
    def line(old: str) -> str:
        if old.strip() and dice.random() < LINES:
            old = dice.choice(lines)
        return " ".join(dice.choice(words) if word and dice.random() < WORDS else word for word in old.split(" "))

    return "\n".join(map(line, text.split("\n")))
