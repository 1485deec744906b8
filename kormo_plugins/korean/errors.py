"""Detects particles and endings in a form that the preceding sound forbids, which native writers rarely get wrong.

Particles (은/는, 이/가, 을/를, 과/와, 으로/로) depend on the final sound of the noun. Three of the wrong forms are
errors after any word (…를, …와 after a consonant, …으로 after a vowel or ㄹ) and, except in a short list of words, so
are …을 and …은 after a vowel. The others look like parts of words (국가, 사이, 효과, 먹는), and are counted only after
a stem that the text itself shows to be a noun (`stems.py`). The count is therefore a lower bound, suited to comparing
texts but not to correcting them: human text has 0.04 to 0.2 per 1,000 words, most of them real errors.

Endings: vowel harmony of 아/어 (막었다, 먹았다), 습니다 after a vowel and 읍니다 after ㅆ or ㅄ, ㄹ께, 되 for 돼
(되요, 되서, 됬다).

Source of the rules: National Institute of Korean Language, 한글 맞춤법 §14-18, §34-35, §53, and 표준어 규정 §17.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kormo_plugins.korean.sounds import is_syllable, split
from kormo_plugins.korean.stems import CHANGING, noun_stems, right_form, words_of
from kormo_plugins.korean.text import prose

_SURE = ("를", "와", "으로", "을", "은")
_REAL_WORDS = re.compile(
    r"(?:가을|마을|노을|고을|[지이나부저그쏘모]을|[지이나부저그모]은|가은|다은|하은|시은|예은|고은|조은|도와|고와|들를)$|"
    r"^(?:와|를|은|을|으로)$"
)
"""Words that look as if they had a wrong particle: nouns, names, and verbs whose ㅅ is dropped or whose stem ends in 으
(지을, 나은, 모을)."""


_PEOPLE = re.compile(
    r"(?:건축|경영|공예|기업|등산|문필|무용|문학|미식|발명|번역|분석|비평|사업|사상|성악|소설|수집|안무|여행|예술|운동|웅변|음악|"
    r"이론|자본|자선|작곡|전략|전문|조각|탐험|탐사|평론|혁명|활동)가$"
)
"""Nouns of people in 家 after a consonant: 자본가 is not 자본 with a wrong particle."""
_VERBS = frozenset("받있없않넣찾읽먹맞놓쌓잡막남얻앉묶뽑씻웃걷듣묻믿닫쏟굽눕입집접높낮깊같많")
"""Last syllables of stems after which …는 is an ending."""


@dataclass(frozen=True)
class Errors:
    """Detected errors.

    Args:
        words: number of eojeol in the text.
        particles: words whose particle has the wrong form.
        endings: words whose ending has a form not allowed after its stem.
    """

    words: int
    particles: tuple[str, ...]
    endings: tuple[str, ...]


def errors(text: str) -> Errors:
    """Wrong particles and endings in the prose of a text."""
    words = words_of(prose(text))
    nouns = noun_stems(words)
    return Errors(
        len(words),
        tuple(word for word in words if _wrong_particle(word, nouns)),
        tuple(word for word in words if _wrong_ending(word)),
    )


def _wrong_particle(word: str, nouns: set[str]) -> bool:
    for particle in sorted(CHANGING, key=len, reverse=True):
        stem = word[: -len(particle)]
        if not word.endswith(particle) or not stem:
            continue
        if particle == "로" and stem.endswith("으"):
            continue
        if not is_syllable(stem[-1]) or right_form(stem, particle):
            return False  # the pronunciation of letters and numbers is too uncertain
        if particle in _SURE:
            return _REAL_WORDS.search(word) is None
        if particle == "가" and _PEOPLE.search(word):
            return False
        return stem in nouns and word not in nouns and not (particle == "는" and stem[-1] in _VERBS)
    return False


_ENDINGS: Sequence[re.Pattern[str]] = tuple(
    re.compile(pattern)
    for pattern in (
        r"됬|됀|되요$|되서$|되써|되도$(?<!이되도)|안되$",
        r"[갈걸길골굴글날널놀늘달덜돌둘말멀몰물밀발벌볼불빌살설술슬알열올울일잘절졸줄질찰철칠탈털틀팔펄풀필할헐홀흘릴될]께요?$",
        r"[있없했겠였았었갔왔됐]읍니다",
    )
)
_BRIGHT = "ㅏㅗ"
_HARMONY = re.compile(r"([가-힣])([았었]|아서$|어서$|아요$|어요$|아라$|어라$)")
_SEUMNIDA = re.compile(r"([가-힣])습니[다까]")


def _wrong_ending(word: str) -> bool:
    if any(pattern.search(word) for pattern in _ENDINGS):
        return True
    for match in _SEUMNIDA.finditer(word):
        if not split(match[1])[2]:
            return True  # 하습니다
    for match in _HARMONY.finditer(word):
        _, vowel, tail = split(match[1])
        if not tail:
            continue  # contracted forms, and stems that dropped their ㅅ
        bright = match[2][0] in "아았"
        if tail == "ㅆ":  # after the past tense always 어: 갔어요
            vowel = "ㅓ"
        if bright != (vowel in _BRIGHT) and not (vowel in "ㅑㅛ" or match[1] in "랗갛"):
            return True
    return False
