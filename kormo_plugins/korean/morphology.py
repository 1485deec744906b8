"""Korean morphology: particles, and the conjugation of verbs and adjectives.

A particle depends only on the final sound of the preceding word (`sounds.py`). An ending belongs to one of three
families, by what it requires of the stem:

1. plain (고, 지만, 는): appended to the stem; a final ㄹ drops before ㄴ, ㅅ and ㅂ;
2. 으-family (면, ㄴ, ㄹ, 시): 으 is inserted after a consonant, and irregular stems change;
3. 아-family (아서, 았다): vowel harmony selects 아 or 어, then vowels contract.

Source: National Institute of Korean Language, standard grammar (한글 맞춤법 §15-18, 32-40).
"""

from __future__ import annotations

from functools import lru_cache

from kormo_plugins.korean.sounds import TAILS, final_sound, is_syllable, join, split, with_tail

REGISTERS = ("plain", "hae", "haeyo", "hapsyo")
"""Speech levels: 해라체 (written), 해체 (intimate), 해요체 (polite), 하십시오체 (formal)."""

PARTICLES: dict[str, tuple[str, str]] = {
    "은": ("은", "는"),
    "이": ("이", "가"),
    "을": ("을", "를"),
    "과": ("과", "와"),
    "으로": ("으로", "로"),
    "으로서": ("으로서", "로서"),
    "이나": ("이나", "나"),
    "이랑": ("이랑", "랑"),
    "아": ("아", "야"),
    "이라는": ("이라는", "라는"),
    "이라고": ("이라고", "라고"),
    "이며": ("이며", "며"),
    "이고": ("이고", "고"),
    "인데": ("인데", "인데"),
    "이지만": ("이지만", "지만"),
    "이라서": ("이라서", "라서"),
    "이면": ("이면", "면"),
    "이었던": ("이었던", "였던"),
    "인": ("인", "인"),
    "이자": ("이자", "자"),
    "이네": ("이네", "네"),
    "이었고": ("이었고", "였고"),
    "이니까": ("이니까", "니까"),
    "이든": ("이든", "든"),
    "이라도": ("이라도", "라도"),
}
"""Name of a particle or connective copula -> its forms after a consonant and after a vowel."""

_COPULA: dict[tuple[str, str], tuple[str, str]] = {
    ("이다", "plain"): ("이다", "다"),
    ("이다", "hae"): ("이야", "야"),
    ("이다", "haeyo"): ("이에요", "예요"),
    ("이다", "hapsyo"): ("입니다", "입니다"),
    ("이었다", "plain"): ("이었다", "였다"),
    ("이었다", "hae"): ("이었어", "였어"),
    ("이었다", "haeyo"): ("이었어요", "였어요"),
    ("이었다", "hapsyo"): ("이었습니다", "였습니다"),
    ("일까", "plain"): ("일까", "일까"),
    ("일까", "hae"): ("이야", "야"),
    ("일까", "haeyo"): ("인가요", "인가요"),
    ("일까", "hapsyo"): ("입니까", "입니까"),
}
COPULAS = ("이다", "이었다", "일까")
"""Sentence-final copulas: is, was, is it?"""


def particle(word: str, name: str, register: str = "plain") -> str:
    """The form of a particle or copula after `word`: `("책", "은")` -> `은`, `("나무", "은")` -> `는`."""
    forms = PARTICLES.get(name) or _COPULA[name, register]
    tail = final_sound(word)
    if not tail or (tail == "ㄹ" and name.startswith("으로")):
        return forms[1]
    return forms[0]


# ---------------------------------------------------------------------------------------------- conjugation

_REGULAR_B = set("입잡뽑씹좁접꼽집업")
_IRREGULAR_D = set("걷듣묻싣긷컫")
_IRREGULAR_S = set("짓붓낫잇긋젓잣")
_REGULAR_H = set("놓넣쌓낳찧닿땋좋")
_REGULAR_REU = ("따르", "치르", "들르", "다다르", "우러르")
_REO = ("푸르", "이르")
_BRIGHT = "ㅏㅗㅑㅛ"


@lru_cache(maxsize=8192)
def stem_class(stem: str) -> str:
    """The conjugation class of a stem: `여 르 러 으 ㅂ ㄷ ㅅ ㅎ ㄹ vowel consonant`.

    Each homograph has a single reading: 걷다 to walk, 묻다 to ask, 굽다 to roast, 이르다 to reach.
    """
    last = stem[-1]
    _, vowel, tail = split(last)
    if not tail:
        if last == "하":
            return "여"
        if last == "르" and len(stem) > 1 and not stem.endswith(_REGULAR_REU):
            return "러" if stem.endswith(_REO) else "르"
        return "으" if vowel == "ㅡ" else "vowel"
    irregular = {
        "ㅂ": last not in _REGULAR_B and not stem.endswith("수줍"),
        "ㄷ": last in _IRREGULAR_D or stem.endswith("깨닫"),
        "ㅅ": last in _IRREGULAR_S,
        "ㅎ": last not in _REGULAR_H,
    }
    if tail == "ㄹ" or irregular.get(tail, False):
        return tail
    return "consonant"


@lru_cache(maxsize=8192)
def infinitive(stem: str) -> str:
    """The stem with 아 or 어, contracted: 가 -> 가, 보 -> 봐, 돕 -> 도와, 부르 -> 불러, 하 -> 해."""
    kind, last = stem_class(stem), stem[-1]
    lead, vowel, tail = split(last)
    harmony = "아" if vowel in "ㅏㅗ" else "어"
    if kind == "여":
        return stem[:-1] + "해"
    if kind == "러":
        return stem + "러"
    if kind in ("르", "으"):
        before = split(stem[-2])[1] if len(stem) > 1 and is_syllable(stem[-2]) else "ㅓ"
        bright = "ㅏ" if before in _BRIGHT else "ㅓ"
        if kind == "르":
            return with_tail(stem[:-1], "ㄹ") + join(5, bright)
        return stem[:-1] + join(lead, bright)
    if kind == "ㅂ":
        return with_tail(stem, "") + ("와" if stem in ("돕", "곱") else "워")
    if kind == "ㄷ":
        return with_tail(stem, "ㄹ") + harmony
    if kind == "ㅅ":
        return with_tail(stem, "") + harmony
    if kind == "ㅎ":
        dark = "ㅐ" if stem.endswith(("이렇", "그렇", "저렇", "어떻")) else "ㅔ"  # 그래, but 누레
        return stem[:-1] + join(lead, {"ㅏ": "ㅐ", "ㅓ": dark, "ㅑ": "ㅒ", "ㅕ": "ㅖ"}[vowel])
    if tail:
        return stem + harmony
    if last == "푸":
        return stem[:-1] + "퍼"
    if vowel == "ㅣ" and len(stem) == 1 and last in "피비띠미":
        return stem + "어"  # 꽃이 피었다: short stems do not contract
    contracted = {"ㅗ": "ㅘ", "ㅜ": "ㅝ", "ㅣ": "ㅕ", "ㅚ": "ㅙ"}
    if vowel in contracted:
        return stem[:-1] + join(lead, contracted[vowel])
    return stem if vowel in "ㅏㅓㅐㅔㅕ" else stem + harmony


def _append(text: str, ending: str) -> str:
    """Appends an ending that may begin with a tail consonant: 가 + ㄴ다 -> 간다."""
    return with_tail(text, ending[0]) + ending[1:] if ending[0] in TAILS else text + ending


def _eu(stem: str, ending: str) -> str:
    """Appends an ending of the 으-family."""
    kind = stem_class(stem)
    if kind == "ㄹ":
        drops = ending[0] in "ㄴㄹㅂ" or (is_syllable(ending[0]) and split(ending[0])[0] in (2, 9))  # ㄴ, ㅅ
        return _append(with_tail(stem, ""), ending) if drops else stem + ending
    if kind == "ㅂ":
        return _append(with_tail(stem, "") + "우", ending)
    if kind == "ㄷ":
        return _append(with_tail(stem, "ㄹ") + "으", ending)
    if kind == "ㅅ":
        return _append(with_tail(stem, "") + "으", ending)
    if kind == "ㅎ":
        return _append(with_tail(stem, ""), ending)
    return _append(stem + "으" if kind == "consonant" else stem, ending)


def _plain(stem: str, ending: str) -> str:
    """Appends an ending of the plain family."""
    drops = stem_class(stem) == "ㄹ" and is_syllable(ending[0]) and split(ending[0])[0] in (2, 9)
    return (with_tail(stem, "") if drops else stem) + ending


def _formal(stem: str, ending: str) -> str:
    """Appends an ending of the 습니다 type, given without its first sound: `니다`, `니까`."""
    if split(stem[-1])[2] in ("", "ㄹ"):
        return with_tail(stem, "ㅂ") + ending
    return stem + "습" + ending


def honorific(stem: str) -> str:
    """The honorific stem: 가 -> 가시, 읽 -> 읽으시, 먹 -> 드시, 있 -> 계시, 자 -> 주무시."""
    for plain, special in (("먹", "드시"), ("마시", "드시"), ("있", "계시"), ("자", "주무시")):
        if stem == plain or stem.endswith(" " + plain):
            return stem[: -len(plain)] + special
    return _eu(stem, "시")


_PLAIN_ENDINGS = {
    "고",
    "지만",
    "게",
    "기",
    "지",
    "던",
    "도록",
    "거나",
    "자마자",
    "기로",
    "는데",
    "네",
    "다가",
    "고자",
}
_EU_ENDINGS = {
    "면",
    "니",
    "니까",
    "려고",
    "러",
    "면서",
    "며",
    "ㄴ",
    "ㄹ",
    "ㅁ",
    "므로",
    "려면",
    "ㄹ수록",
    "ㄹ지",
}
_A_ENDINGS = {"아", "아서", "아야", "아도", "아라"}
ADNOMINAL = "는"
"""The present form before a noun: 가는, 큰, 있는. (Past and adjectives: `ㄴ`; future: `ㄹ`.)"""


def _exists(stem: str) -> bool:
    return stem.endswith(("있", "없"))


def _present(stem: str, adjective: bool, register: str) -> str:
    if register == "plain":
        if adjective or _exists(stem):
            return stem + "다"
        return _append(with_tail(stem, ""), "ㄴ다") if split(stem[-1])[2] in ("", "ㄹ") else stem + "는다"
    if register == "hapsyo":
        return _formal(stem, "니다")
    return infinitive(stem) + ("요" if register == "haeyo" else "")


def _past(stem: str, register: str) -> str:
    base = with_tail(infinitive(stem), "ㅆ")
    return base + {"plain": "다", "hae": "어", "haeyo": "어요", "hapsyo": "습니다"}[register]


def _final(stem: str, form: str, adjective: bool, register: str) -> str | None:
    """A sentence-final form in a speech level; None if `form` is not sentence-final."""
    index = REGISTERS.index(register)
    if form == "pres":
        return _present(stem, adjective, register)
    if form == "past":
        return _past(stem, register)
    if form == "fut":
        return _eu(stem, "ㄹ") + (" 것이다", " 거야", " 거예요", " 것입니다")[index]
    if form == "will":
        return stem + ("겠다", "겠어", "겠어요", "겠습니다")[index]
    if form == "let":
        return (stem + "자", stem + "자", infinitive(stem) + "요", _eu(stem, "ㅂ시다"))[index]
    if form == "imp":
        return (infinitive(stem) + "라", infinitive(stem), _eu(stem, "세요"), _eu(stem, "십시오"))[index]
    if form == "ask":
        question = _eu(stem, "ㄴ가") if adjective else _plain(stem, "는가")
        return (question, infinitive(stem), infinitive(stem) + "요", _formal(stem, "니까"))[index]
    if form == "askpast":
        base = with_tail(infinitive(stem), "ㅆ")
        return base + ("는가", "어", "어요", "습니까")[index]
    return None


@lru_cache(maxsize=65536)
def conjugate(word: str, form: str, *, adjective: bool = False, register: str = "plain") -> str:
    """Conjugates a verb or adjective.

    Args:
        word: the dictionary form of one word, ending in 다.
        form: an ending (`고`, `면`, `아서`, `ㄴ`, …), `는` (before a noun), `았` with an ending (`았던`, `았지만`),
            or a sentence-final form: `pres past fut will let imp ask askpast`; prefix `h` makes it honorific.
        adjective: whether the word is an adjective (크다, 큰) or a verb (가다, 간다, 가는).
        register: one of `REGISTERS`, for sentence-final forms.
    Raises:
        ValueError: `word` does not end in 다, or the form does not exist.
    """
    if not word.endswith("다") or len(word) < 2:
        raise ValueError(f"{word!r} is not a dictionary form: it does not end in 다")
    stem = word[:-1]
    if form[0] == "h":
        stem, form = honorific(stem), form[1:]
        if register == "haeyo" and form in ("pres", "ask"):
            return stem[:-1] + "세요"
    final = _final(stem, form, adjective, register)
    if final is not None:
        return final
    if form == ADNOMINAL:
        return _eu(stem, "ㄴ") if adjective and not _exists(stem) else _plain(stem, "는")
    if form == "는데" and adjective and not _exists(stem):
        return _eu(stem, "ㄴ데")
    if form.startswith("았"):
        return with_tail(infinitive(stem), "ㅆ") + form[1:]
    if form in _PLAIN_ENDINGS:
        return _plain(stem, form)
    if form in _EU_ENDINGS:
        return _eu(stem, form)
    if form in _A_ENDINGS:
        return infinitive(stem) + form[1:]
    raise ValueError(f"{form!r} is not a form of {word!r}")
