"""Speech levels: the politeness of each sentence ending in a Korean text, and whether the text is consistent.

The level is determined from the last word of a sentence (National Institute of Korean Language, 상대 높임법):

    hapsyo   하십시오체, formal and polite      …니다  …니까  …시오
    haeyo    해요체, polite                    …요  …죠
    haera    해라체, plain, also of books       …다  …는가  …느냐  …아라
    hae      해체, intimate                    …어  …야  …지  …네

Sentences that end in a noun, a number or a foreign word have no level. The first two levels are polite and are mixed in
natural speech; `kept` checks for changes between polite and non-polite.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from kormo_plugins.korean.text import prose, sentences

POLITE = frozenset({"hapsyo", "haeyo"})

_QUOTED = re.compile(r"\"[^\"\n]*\"|“[^”\n]*”|‘[^’\n]*’|「[^」\n]*」|『[^』\n]*』|'[^'\n]*'")
_LEVELS = (
    ("hapsyo", re.compile(r"(?:[가-힣]니다|[가-힣]니까|[가-힣]시오|[가-힣]십시다)$")),
    ("haeyo", re.compile(r"(?:[가-힣]요|[가-힣]죠)$")),
    (
        "haera",
        re.compile(r"(?:[가-힣]다|는가|은가|인가|느냐|으냐|[가-힣]거라|[아어해]라|[가-힣]노라|하자|[가-힣]도다)$"),
    ),
    (
        "hae",
        re.compile(
            r"(?:[가-힣](?:어|아|야|지|네|게|거든|잖아|는데|니까|을까|걸)|[해줘봐와가돼켜쳐여워둬써게]|"
            r"[갈할될볼날쓸]까|[가-힣]래)$"
        ),
    ),
)
_NOUNS = frozenset(Path(__file__).with_name("nouns_like_endings.txt").read_text(encoding="utf-8").split())
"""Frequent nouns that end like a verb; at the end of an item they do not indicate politeness."""


@dataclass(frozen=True)
class SpeechLevels:
    """Sentence counts by level.

    Args:
        counts: level -> number of sentences.
        kept: whether all of them are polite, or none; None: fewer than two sentences have a level.
        dominant: the most frequent level; None: no sentence has one.
    """

    counts: dict[str, int]
    kept: bool | None
    dominant: str | None

    @property
    def polite(self) -> bool | None:
        """Whether the most frequent level is polite; None: no sentence has a level."""
        return None if self.dominant is None else self.dominant in POLITE


def level_of(sentence: str) -> str | None:
    """The speech level of one sentence, by its last word; None if it has none."""
    bare = _QUOTED.sub(" 말 ", sentence)
    bare = re.sub(r"\([^()]*\)", "", bare).rstrip(" .!?。！？…~^ㅎㅋㅠㅜ\"'”’」』)]*_")
    words = bare.split()
    if not words or words[-1] in _NOUNS:
        return None
    return next((name for name, ending in _LEVELS if ending.search(words[-1])), None)


def speech_levels(text: str) -> SpeechLevels:
    """Levels of all sentences of a text, ignoring quotations and code."""
    levels = [level for sentence in sentences(prose(text)) if (level := level_of(sentence)) is not None]
    counts = Counter(levels)
    kept = None if len(levels) < 2 else len({level in POLITE for level in levels}) == 1
    return SpeechLevels(dict(sorted(counts.items())), kept, counts.most_common(1)[0][0] if counts else None)
