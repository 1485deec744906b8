"""Speech levels: how politely each sentence of a Korean text ends, and whether the text keeps to it.

The level is read from the last word of a sentence (National Institute of Korean Language, standard grammar, 상대 높임법):

    hapsyo   하십시오체, formal and polite      …니다  …니까  …시오
    haeyo    해요체, polite                    …요  …죠
    haera    해라체, plain, also of books       …다  …는가  …느냐  …아라
    hae      해체, intimate                    …어  …야  …지  …네

Sentences that end in a noun, a number or a foreign word have none. The first two are polite, and are mixed in natural
speech; what a reader notices is a change between polite and not polite, which is what `kept` asks.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

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
_NOUNS = frozenset(
    "의지 가지 단지 아버지 강아지 편지 이미지 에너지 페이지 메시지 국가 평가 전문가 작가 물가 증가 분야 시야 언어 영어 국어 "
    "한국어 단어 용어 외국어 네 우리네 동네 미래 노래 아래 거래 모래 유래 본래 오래 과다 바다 수다 판다 필요 중요 주요 수요 "
    "동요 가요 개요 요 치아 유아 고아 동아시아 아시아 개봉가 피아 광어 인어 상어 문어 분해 이해 오해 방해 피해 손해 새해 올해 "
    "지하자 사하자 게 화가 참가 추가 휴가 대가".split()
)
"""Frequent nouns that end as a verb does: as the last word of an item they say nothing of politeness."""


@dataclass(frozen=True)
class SpeechLevels:
    """Sentences of each level.

    Args:
        counts: level -> sentences that have it.
        kept: all of them are polite, or none; None: fewer than two sentences have a level.
        dominant: the commonest level; None: no sentence has one.
    """

    counts: dict[str, int]
    kept: bool | None
    dominant: str | None

    @property
    def polite(self) -> bool | None:
        """Whether the commonest level is a polite one; None: no sentence has a level."""
        return None if self.dominant is None else self.dominant in POLITE


def level_of(sentence: str) -> str | None:
    """The speech level of one sentence, by its last word; None where it has none."""
    bare = _QUOTED.sub(" 말 ", sentence)
    bare = re.sub(r"\([^()]*\)", "", bare).rstrip(" .!?。！？…~^ㅎㅋㅠㅜ\"'”’」』)]*_")
    words = bare.split()
    if not words or words[-1] in _NOUNS:
        return None
    return next((name for name, ending in _LEVELS if ending.search(words[-1])), None)


def speech_levels(text: str) -> SpeechLevels:
    """Levels of all sentences of a text; what is quoted in it, and code, is not of its voice."""
    found = [level for one in sentences(prose(text)) if (level := level_of(one)) is not None]
    counts = Counter(found)
    kept = None if len(found) < 2 else len({level in POLITE for level in found}) == 1
    return SpeechLevels(dict(sorted(counts.items())), kept, counts.most_common(1)[0][0] if counts else None)
