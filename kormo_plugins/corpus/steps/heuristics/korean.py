"""Detects Korean prose by counting its typical elements: eojeol, particles, endings, sentences.

Rules for English fail on Korean: its words have two to four syllables, its function words are particles and endings
attached to an eojeol, and its word order is free with one strict exception: a dependent word directly follows the
ending that it governs:

    않다 behind -지        수 behind -ㄹ, and 있다/없다 behind 수        것 behind an adnominal ending
    위해 behind 을/를       대해, 의해, 따라 behind 에                     통해 behind 을/를

Such pairs agree nine times in ten in prose and one time in five in shuffled words, so their share separates prose from
word salad without a model. All thresholds are ours, tuned on Korean novels, newspapers, a book and technical pages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from math import comb
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.scan.alphabets import PARTICLES
from kormo_plugins.corpus.scan.dependents import expanded, padded, rule_tables
from kormo_plugins.corpus.scan.text_scan import character_bits, compiled, scan_of
from kormo_plugins.corpus.steps.heuristics.genres import without_stamps
from kormo_plugins.corpus.steps.heuristics.text import lines, prose, words
from kormo_plugins.documents.document import Document, Reject

if TYPE_CHECKING:
    import numpy as np

_ENDS, _FINALS, _CLOSES = ".!?…。", "다요죠까네오함됨음임", "\"'”’)]*_」』"
_SENTENCE_END = re.compile(rf"(?:[{_ENDS}]|[{_FINALS}]\.?)[{re.escape(_CLOSES)}]*$")
_SIGN = re.compile(r"[^\w\s]")
_REPORT_ENDS = (
    "예정|계획|완료|필요|실시|추진|수립|확대|축소|강화|완화|부족|증가|감소|기여|마련|설치|지적|의심|요망|바람|참조|없음|가능|불가|"
    "심화|개선|검토|확정|미달|시행|운영|제출|협의|논의|썰기|넣기|끓이기|하기|되기|것|중|바|점"
)
_REPORT_END = re.compile(rf"(?:{_REPORT_ENDS})[.)]?$")
CLAUSE_WORDS = 5
"""Minimum number of eojeol in a clause; menu entries have fewer."""


class KoreanParams(Strict):
    """Thresholds; documents that are not Korean (language not `ko`, `mul` or `und`) pass unchanged."""

    RENAMED: ClassVar = {
        "fewest_words": "min_words",
        "shortest_mean": "min_mean",
        "longest_mean": "max_mean",
        "fewest_particles": "min_particles",
        "most_told": "min_statements",
        "fewest_sentences": "min_sentences",
        "fewest_agreeing": "min_agreeing",
        "most_symbols": "max_symbols",
    }

    min_words: int = Field(
        default=20,
        ge=0,
        description="minimum eojeol outside code; shorter documents are checked only for their mean word length (ours)",
    )
    min_mean: float = Field(
        default=1.6, ge=0, description="minimum mean syllables per eojeol; prose has 2.7 to 3.5 (ours)"
    )
    max_mean: float = Field(
        default=7.0, ge=0, description="maximum mean syllables per eojeol; above it spaces are missing (ours)"
    )
    min_particles: float = Field(
        default=0.35,
        ge=0,
        le=1,
        description="minimum share of eojeol that end like a particle or an ending; prose has 0.6 to 0.8, lists of "
        "nouns 0.1 to 0.3 (ours)",
    )
    min_statements: float = Field(
        default=0.6,
        ge=0,
        le=1,
        description="share of characters in sentence or clause lines from which half of `min_particles` is enough: "
        "chats and reports in noun style omit particles (ours)",
    )
    min_sentences: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="minimum share of characters in lines that are or contain a sentence or clause; menus have none "
        "(ours)",
    )
    min_agreeing: float = Field(
        default=0.6, ge=0, le=1, description="minimum share of dependent words that follow their required ending (ours)"
    )
    chance: float = Field(
        default=0.03,
        gt=0,
        lt=1,
        description="a share below `min_agreeing` drops a document only if its probability in prose, where nine in "
        "ten agree, is below this (one-sided binomial test; two dependent words that both disagree have 0.01; ours)",
    )
    max_symbols: float = Field(
        default=0.3, ge=0, le=1, description="maximum share of characters that are not letters, digits or spaces (ours)"
    )


class Korean:
    """Drops Korean documents that are lists, menus, word salad, or symbols."""

    VERSION = 3

    def __init__(self, params: KoreanParams) -> None:
        self.params = params

    def __call__(self, document: Document) -> Document | Reject:
        if document.language not in ("ko", "mul", "und"):
            return document
        if compiled(document.text):
            scan = scan_of(document.text).prose
            return self._by_counts(document, counts(scan.bare, scan.lines))
        text = without_stamps(prose(document.text))
        eojeol = [word for word in words(text) if "가" <= word[-1] <= "힣"]
        if not eojeol:
            return Reject("no Korean word") if document.language == "ko" else document
        reason = self._words(eojeol, text) or self._order(text, len(eojeol)) or self._layout(text, len(eojeol))
        return Reject(reason) if reason else document

    def _by_counts(self, document: Document, counts: list[int]) -> Document | Reject:
        """The same checks, in the same order, on the counts of a compiled scan."""
        from kormo_plugins.corpus.scan.kernels import korean_kernel as of

        params, eojeol = self.params, counts[of.EOJEOL]
        if not eojeol:
            return Reject("no Korean word") if document.language == "ko" else document
        if not params.min_mean <= counts[of.SYLLABLES] / eojeol <= params.max_mean:
            return Reject("length of words")
        if eojeol < params.min_words:
            return document
        statements = counts[of.TOLD] / max(1, counts[of.CHARACTERS])
        fewest, particles = params.min_particles * eojeol, counts[of.PARTICLES]
        if particles < fewest / 2 or (particles < fewest and statements < params.min_statements):
            return Reject("few particles and endings")
        agreeing, dependent = counts[of.AGREEING], counts[of.DEPENDENT]
        if agreeing < params.min_agreeing * dependent and _chance(agreeing, dependent) < params.chance:
            return Reject("word order")
        if statements < params.min_sentences:
            return Reject("no sentences")
        return Reject("signs") if counts[of.SIGNS] > params.max_symbols * counts[of.CHARACTERS] else document

    def _words(self, eojeol: Sequence[str], text: str) -> str | None:
        mean = sum(map(len, eojeol)) / len(eojeol)
        if not self.params.min_mean <= mean <= self.params.max_mean:
            return "length of words"
        if len(eojeol) < self.params.min_words:
            return None
        fewest = self.params.min_particles * len(eojeol)
        particles = sum(word[-1] in PARTICLES for word in eojeol)
        if particles < fewest / 2 or (
            particles < fewest and _statement_share(lines(text)) < self.params.min_statements
        ):
            return "few particles and endings"
        return None

    def _order(self, text: str, count: int) -> str | None:
        if count < self.params.min_words:
            return None
        agreeing, dependent = agreement(text)
        if agreeing < self.params.min_agreeing * dependent and _chance(agreeing, dependent) < self.params.chance:
            return "word order"
        return None

    def _layout(self, text: str, count: int) -> str | None:
        if count < self.params.min_words:
            return None
        text_lines = lines(text)
        total = sum(map(len, text_lines))
        if _statement_share(text_lines) < self.params.min_sentences:
            return "no sentences"
        signs = len(_SIGN.findall(text))
        return "signs" if signs > self.params.max_symbols * total else None


def _statement_share(text_lines: Sequence[str]) -> float:
    """Share of the characters that are in sentence lines."""
    return sum(len(line) for line in text_lines if _is_statement(line)) / max(1, sum(map(len, text_lines)))


def _is_statement(line: str) -> bool:
    """Whether a line is or contains a sentence or a clause: it ends like one, also in the noun style of reports, or has
    as many particles and endings as a clause."""
    if _SENTENCE_END.search(line) or ". " in line or len(line) > 120:
        return True
    words_of_line = line.split()
    if len(words_of_line) >= 3 and _REPORT_END.search(line):
        return True
    return len(words_of_line) >= CLAUSE_WORDS and 2 * sum(
        word.rstrip(",;")[-1:] in PARTICLES for word in words_of_line
    ) >= len(words_of_line)


USUAL = 0.9
"""Share of dependent words that agree in prose."""


def _chance(agreeing: int, dependent: int) -> float:
    """Probability that at most `agreeing` of the dependent words agree in prose."""
    return _chances(dependent)[agreeing] if dependent <= 200 else 0.0


@lru_cache(maxsize=201)
def _chances(dependent: int) -> tuple[float, ...]:
    """`_chance` for each number of agreeing words."""
    terms = (comb(dependent, k) * USUAL**k * (1 - USUAL) ** (dependent - k) for k in range(dependent + 1))
    return tuple(accumulate(terms))


# What a dependent word must follow: the end of the preceding word.
_WITH_N = "간건긴난낸던된든란린만본산선신안온운인준진친킨탄한쓴은는"
_WITH_L = "갈걸군길깐날낼들랄릴말볼살설실알올울일줄질칠킬탈할될쓸을"
_ADNOMINAL = f"[{_WITH_N}{_WITH_L}]"
_RULES: tuple[tuple[str, str], ...] = (
    (r"않(?:[았는은을고아도]|습|으|게|다|기|지)", r"지(?:는|도|를|만)?"),
    (r"못(?:하|했|한|합|할)", r"지(?:는|도|를|만)?|을|를|도|에"),
    (r"수(?:도|는|가|밖에)?$", rf"{_ADNOMINAL}|[ㄱ-ㅎ]"),
    (r"(?:것|거|게)(?:은|이|을|도|과|만|으로|이다|입니다|처럼)?(?![가-힣])", rf"{_ADNOMINAL}|[이그저]|아무"),
    (r"때(?:는|에|문|마다|의|도|까지|부터)?(?![가-힣])", rf"{_ADNOMINAL}|[이그저]|제|기"),
    (r"위(?:해|한|하여|해서|해서는)(?![가-힣])", r"[을를]|기"),
    (r"통(?:해|한|하여|해서)(?![가-힣])", r"[을를]"),
    (r"대(?:해|한|하여|해서)(?![가-힣])", r"에"),
    (r"의(?:해|한|하여|해서)(?![가-힣])", r"에"),
    (r"따(?:라|른|르면|라서)(?![가-힣])", r"에|를|을"),
    (r"관(?:한|해|하여|련된)(?![가-힣])", r"에|와|과"),
    (r"때문(?:에|이|입|이다)", r"기|이|그|[가-힣](?<![을를의에다])"),
    (r"같(?:은|이|다|습|아|았|은데)", r"[과와은는것거듯니]|다음|이"),
    (
        r"있(?:습|다|는|었|으|어|고|을|도|지|게|기|던)",
        r"[고어아여해수에가이도은는서게만져혀려라나워내와둬데쳐켜되돼]",
    ),
    (r"없(?:습|다|는|었|으|어|고|을|이|지|게|기|던|음)", r"[수가이도은는에만게던밖]|[가-힣]이"),
)
_DEPENDENT: dict[str, list[tuple[re.Pattern[str], re.Pattern[str]]]] = {}
for _word, _before in _RULES:
    for _first in "것거게" if _word.startswith("(?:것") else _word[0]:
        _DEPENDENT.setdefault(_first, []).append((re.compile(_word), re.compile(rf"(?:{_before})$")))


@lru_cache(maxsize=1)
def _signs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sentence tables for the compiled scan."""
    import numpy as np

    closes, ends = (np.array([*map(ord, chars)], np.uint32) for chars in (_CLOSES, _ENDS + _FINALS))
    reports = [[*map(ord, reversed(end))] for part in _REPORT_ENDS.split("|") for end in expanded(part)]
    return closes, ends, padded(reports, 3)


@lru_cache(maxsize=1)
def _rules() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Dependent-word tables for the compiled scan."""
    return rule_tables(_RULES)


def counts(bare: np.ndarray, lines: np.ndarray) -> list[int]:
    """The counts of the compiled scan (`korean_kernel`)."""
    from kormo_plugins.corpus.scan.kernels.korean_kernel import korean

    counts: list[int] = korean(bare, character_bits(), lines, _signs(), _rules(), CLAUSE_WORDS).tolist()
    return counts


def agreement(text: str) -> tuple[int, int]:
    """Number of dependent words in `text` that follow the required ending, and number of all dependent words.

    A dependent word at the start of a line is not counted: the text before it may have been a heading or a list marker.
    """
    agreeing = dependent = 0
    for line in lines(text):
        words_of_line = line.split()
        for index, word in enumerate(words_of_line):
            if word[0] in _DEPENDENT and index:
                for rule, before in _DEPENDENT[word[0]]:
                    if rule.match(word):
                        dependent += 1
                        agreeing += before.search(words_of_line[index - 1]) is not None
                        break
    return agreeing, dependent
