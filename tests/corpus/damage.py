"""Ways in which text goes bad, done to good text on purpose: what the heuristics must catch."""

from __future__ import annotations

import random
from collections.abc import Callable


def shuffled_words(text: str, dice: random.Random) -> str:
    """The words of the document in any order; lines keep their number of words."""
    words = text.split()
    dice.shuffle(words)
    rest = iter(words)
    return "\n".join(" ".join(next(rest) for _ in line.split()) for line in text.split("\n"))


def repeated_lines(text: str, dice: random.Random) -> str:
    """A third of the lines, each three times."""
    lines = [line for line in text.split("\n") if line.strip()] or [text]
    return "\n".join(line for line in dice.sample(lines, max(1, len(lines) // 3)) for _ in range(3))


def latin_mojibake(text: str, dice: random.Random) -> str:
    """UTF-8 read as Latin-1."""
    return text.encode().decode("latin-1")


def korean_mojibake(text: str, dice: random.Random) -> str:
    """UTF-8 read as cp949: bytes are lost."""
    return text.encode().decode("cp949", errors="replace")


def euc_kr_mojibake(text: str, dice: random.Random) -> str:
    """EUC-KR read as Latin-1."""
    return text.encode("euc_kr", errors="ignore").decode("latin-1")


def menu(text: str, dice: random.Random) -> str:
    """Words of the document as the entries of a menu, one to three in a line, without sentences."""
    words = [word.strip(".,!?()[]\"'`:;") for word in text.split()]
    words = [word for word in words if word and not word.endswith(("다", "요"))]
    dice.shuffle(words)
    lines, at = [], 0
    while at < len(words):
        count = dice.randint(1, 3)
        lines.append(" ".join(words[at : at + count]))
        at += count
    return "\n".join(lines)


def word_salad(text: str, dice: random.Random) -> str:
    """Words drawn from the document's own frequencies, with full stops thrown in, as a bad generator writes."""
    words = text.split()
    drawn = [dice.choice(words) for _ in words]
    return " ".join(word + ("." if dice.random() < 0.08 else "") for word in drawn)


DAMAGES: dict[str, Callable[[str, random.Random], str]] = {
    "shuffled words": shuffled_words,
    "repeated lines": repeated_lines,
    "mojibake, Latin-1": latin_mojibake,
    "mojibake, cp949": korean_mojibake,
    "mojibake, EUC-KR": euc_kr_mojibake,
    "menu": menu,
    "word salad": word_salad,
}
