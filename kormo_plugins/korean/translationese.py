"""Markers of translation in Korean text (번역투): constructions carried over from English or Japanese grammar.

Each occurs in natural text; together they are denser in translations than in text written in Korean, which the rate per
1,000 eojeol measures. The measure is coarse: translated manuals have 17 to 18, sentences of KLUE (news, Wikipedia,
reviews) 10, but those of the KAIST treebank, with its essays, scholarship and translated fiction, 19. Compare a model
with human text of the same kind.

Sources: Kim Jeong-u (김정우), "현대 국어 번역문의 실태" (translation universals in Korean: explicitation, passives,
pronouns); Lee Sang-Ae (이상애), "영한번역에서 복수표지에 관한 연구" (the plural -들, unmarked where Korean writes
freely); Baker 1993, "Corpus linguistics and translation studies" (the universals). The patterns are ours.
"""

from __future__ import annotations

import re
from collections import Counter

from kormo_plugins.korean.text import eojeols, prose

MARKS: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in {
        "double passive": r"(?:되어|보여|쓰여|잊혀|나뉘어)[지졌진질집]|불리워",
        "passive by": r"에 의(?:해|하여|한|해서)(?![가-힣])",
        "have": r"[을를] (?:가지고|갖고) 있|[을를] (?:가집니다|가진다|갖습니다|갖는다)",
        "about": r"에 (?:대한|대해|대하여|관한|관해|관하여)(?![가-힣])",
        "pronoun": r"(?:^|\s)(?:그녀|그것들?|이것들?|그들|이들)(?:은|는|이|가|을|를|의|에게|과|와)?(?=\s|$)",
        "plural with a number": (
            r"(?:많은|여러|모든|다양한|몇몇|수많은|두|세|네|일부) \S*[가-힣]들[은이을의과에로도]?(?=\s|$)"
        ),
        "through": r"[을를] 통(?:해|하여|한|해서)(?![가-힣])",
        "from": r"으?로부터",
        "in spite of": r"에도 불구하고",
        "one of": r"(?:중|가운데)의? 하나",
        "need": r"[을를] 필요로 |할 필요가 (?:있|없)",
        "in": r"에 있어(?:서)?(?=\s)",
        "due to": r"로 인(?:해|하여|한)(?![가-힣])",
        "in order to": r"기 위(?:해|하여|한|해서)(?![가-힣])",
        "possible": r"것(?:이|은|도)? 가능|는 것이 (?:좋|중요)",
        "make": r"[게도록] 만(?:든다|듭니다|들|드는|들어)",
    }.items()
}
"""Marker -> its pattern."""
PER = 1000


def marks(text: str) -> tuple[Counter[str], int]:
    """Counts of each marker in the prose of a text, and the number of eojeol."""
    plain = prose(text)
    counts = Counter({name: len(pattern.findall(plain)) for name, pattern in MARKS.items()})
    return counts, len(eojeols(plain))
