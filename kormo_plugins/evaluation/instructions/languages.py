"""Language identification for the languages that IFEval requests.

A language with a unique script is identified by it; languages that share a script by their most frequent words (Ingle
1976). This is coarse, but reliable for texts of one sentence or more, which is all that IFEval needs.
"""

from __future__ import annotations

import re
import unicodedata

_SCRIPTS = {
    "ko": "HANGUL", "ja": "HIRAGANA KATAKANA CJK", "zh": "CJK", "th": "THAI", "he": "HEBREW", "el": "GREEK",
    "hi": "DEVANAGARI", "mr": "DEVANAGARI", "ne": "DEVANAGARI", "bn": "BENGALI", "pa": "GURMUKHI", "gu": "GUJARATI",
    "ta": "TAMIL", "te": "TELUGU", "kn": "KANNADA", "ml": "MALAYALAM", "ar": "ARABIC", "fa": "ARABIC", "ur": "ARABIC",
    "ru": "CYRILLIC", "bg": "CYRILLIC", "uk": "CYRILLIC",
}  # fmt: skip
_WORDS = {
    "en": "the of and to in is that it for was with as on be at by this are or from have not you",
    "de": "der die das und ist nicht ein eine zu den mit von für auf im sich des dem auch es wir",
    "fr": "le la les de des et est un une que pour dans en du qui pas sur au avec ce il nous",
    "es": "el la los las de que y en un una es por con para del se no su al como más lo",
    "it": "il la di che e un una è per non con in del della i le sono da si gli nel",
    "pt": "o a os as de que e em um uma é para com não do da se por mais no na ao",
    "fi": "ja on ei se että oli hän mutta kun ovat myös tai niin joka sen voi ole tämä",
    "sw": "na ya wa ni kwa katika za la kuwa hii hiyo yake cha ambayo pia au kama watu",
    "vi": "và của là có được trong cho với không một những các này đã để người khi từ",
    "tr": "ve bir bu için ile de da olarak çok daha olan gibi ne kadar ama değil",
    "nl": "de het een en van in is dat op te voor met niet zijn aan er ook maar",
}
HALF = 0.5


def is_language(text: str, language: str) -> bool:
    """Whether most of a text is in the language (ISO 639-1); True for a language that is not supported here.

    False for a text without letters.
    """
    code = language.split("-")[0].lower()
    letters = [character for character in text if unicodedata.category(character)[0] in "LM"]
    if not letters:
        return False
    if code in _SCRIPTS:
        scripts = tuple(_SCRIPTS[code].split())
        share = sum(unicodedata.name(one, "").startswith(scripts) for one in letters) / len(letters)
        kana = any(unicodedata.name(one, "").startswith(("HIRAGANA", "KATAKANA")) for one in letters)
        return share > HALF and not (code == "zh" and kana) and not (code == "ja" and not kana)
    if code not in _WORDS:
        return True
    latin = sum("LATIN" in unicodedata.name(one, "") or one in "'’" for one in letters)
    words = re.findall(r"[^\W\d_]+", text.lower())
    if latin <= HALF * len(letters):
        return False
    counts = {name: sum(word in listed.split() for word in words) for name, listed in _WORDS.items()}
    best = max(counts.values())
    return best == 0 or counts[code] == best
