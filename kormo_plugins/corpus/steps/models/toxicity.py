"""Toxic text: by Korean and English word lists, and optionally by a classifier.

Words as in C4 (Raffel et al., arXiv 1910.10683), but by their share instead of a single occurrence: novels, court
rulings and dictionaries contain curses too. The built-in list (`toxic_words.txt`) is ours, by category, and has only
unambiguous words; spellings used to evade comment filters are patterns in this module. A classifier (ours or
fastText's, with a label `toxic`) detects what no word reveals.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.scan.text_scan import compiled, scan_of
from kormo_plugins.corpus.steps.heuristics.text import words
from kormo_plugins.corpus.steps.models.classifier import Classifier, ClassifierParams
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import KormoError
from kormo_plugins.store.fingerprint import file_checksum

if TYPE_CHECKING:
    from kormo_plugins.corpus.scan.kernels.keywords_kernel import Parts

LIST = Path(__file__).with_name("toxic_words.txt")
_KOREAN = (
    r"(?<![가-힣])(?:개|존나게?|좆나)?\s?[씨시쓰][0-9.~*!_]{0,3}[발팔벌](?!점|역|차|전|행|원|굴|표|견|송|생|달|명|급|음|언|령|효)",
    r"ㅅ[0-9.~*!_]{0,3}ㅂ(?=$|[\sㄱ-ㅎ가-힣.,!?~])",
    r"(?<![가-힣])[병븅빙][0-9.~*!_]{0,3}[신싄](?!년|일|월|경|체|을 청|청)",
    r"(?<![가-힣])[개걔][새색][0-9.~*!_]{0,3}[끼키]",
    r"(?<![가-힣])(?:좆|졷)[같까나만]",
    r"(?<![가-힣])지랄(?!탄)",
    r"(?<![가-힣])미친\s?[놈년]",
    r"(?<![가-힣])(?:걸레|창녀|썅|쌍)\s?[년놈]",
)
_ENGLISH = (
    r"\b(?:mother)?(?:f|ph)+[uv*]+c+k+(?:er|ers|ing|ed|s)?\b",
    r"\bf\*{2}k(?:er|ing|ed|s)?\b|\bf\*{3}(?!\*)|\bfck(?:er|ing|ed|n)?\b|\bfuk(?:er|ing|ed)?\b",
    r"\bs+h+[i1*]+t+(?:ty|head|s)?\b",
    r"\bb[i1*]tch(?:es|y)?\b",
    r"\bc[u*]nts?\b",
    r"\ba(?:s{1,2}|\$\$)holes?\b",
    r"\bwh[o0]res?\b",
    r"\bf[a@*4]gg?[o0]ts?\b",
    r"\bn[i1*]gg(?:er|a)s?\b",
    r"\br3tards?\b",
)
# Strings of which every match of these patterns contains at least one.
_ENGLISH_KEYS = (
    "uck", "u*ck", "f*ck", "f**k", "***", "fck", "fuk", "shit", "sh1t", "sh*t", "tch", "cunt", "c*nt", "hole", "whore",
    "wh0re", "fag", "f@g", "f*g", "f4g", "nigg", "n1gg", "n*gg", "retard", "r3tard", "a$$", "phuck", "fvck",
)  # fmt: skip
_BUILT_IN = {"ko": re.compile("|".join(_KOREAN)), "en": re.compile("|".join(_ENGLISH))}
# A cheap check before the Korean patterns, which begin with character sets that a search can skip to.
_KOREAN_KEYS = re.compile(
    r"[씨시쓰][0-9.~*!_]{0,3}[발팔벌]|ㅅ[0-9.~*!_]{0,3}ㅂ|[병븅빙][0-9.~*!_]{0,3}[신싄]|[개걔][새색]|좆|졷|지랄|미친|걸레|창녀|썅|쌍[년놈]"
)
Category = Literal["profanity", "insult", "sexual", "slur", "threat", "adult"]
CATEGORIES: tuple[Category, ...] = get_args(Category)
_PATTERNS_OF = frozenset(("profanity", "insult"))
"""Categories of the patterns."""


class ToxicityParams(Strict):
    """Word lists, classifier, and thresholds."""

    words: Path | None = Field(
        default=None,
        description="file with additional words, one per line (`#` begins a comment): Korean ones match the "
        "beginning of an eojeol, ASCII ones whole words; null: none",
    )
    built_in: bool = Field(default=True, description="use the built-in Korean and English list (ours)")
    categories: tuple[Category, ...] = Field(
        default=CATEGORIES,
        min_length=1,
        description="categories of the built-in list that are used; `adult` is advertising for sex, potency drugs "
        "and gambling",
    )
    at_most: float = Field(default=0.01, ge=0, le=1, description="maximum toxic words per word (ours)")
    allowed: int = Field(
        default=1, ge=0, description="number of toxic words that a document of any length may have (ours)"
    )
    classifier: Path | None = Field(
        default=None, description="classifier model: .npz of the step `classifier`, or fastText's; null: none"
    )
    label: str = Field(default="toxic", description="label of a fastText model for toxic text")
    threshold: float = Field(
        default=0.8, gt=0, le=1, description="classifier score from which a document is dropped (ours)"
    )

    def writes(self) -> tuple[str, ...]:
        """The key of `meta` for the score."""
        return ("toxicity",)


class Toxicity:
    """Writes `meta.toxicity` (the classifier's score, or the share of words); drops documents above the bounds."""

    VERSION = 2

    def __init__(self, params: ToxicityParams) -> None:
        self.params = params
        self.listed = re.compile(_listed(_existing(params.words)), re.IGNORECASE) if params.words else None
        self.classifier = (
            Classifier(ClassifierParams(model=_existing(params.classifier), label=params.label))
            if params.classifier
            else None
        )

    @staticmethod
    def inputs(params: ToxicityParams) -> object:
        """Checksums of the word list and of the model."""
        return [file_checksum(_existing(path)) if path else None for path in (params.words, params.classifier)]

    def __call__(self, document: Document) -> Document | Reject:
        text = document.text
        count = len(self.listed.findall(text)) if self.listed else 0
        count += built_in(text, self.params.categories) if self.params.built_in else 0
        share = count / max(1, len(words(text))) if count else 0.0
        if count > self.params.allowed and share > self.params.at_most:
            return Reject("toxic words")
        score = self.classifier.score(text) if self.classifier else share
        if self.classifier and score >= self.params.threshold:
            return Reject("toxic (classifier)")
        document.meta["toxicity"] = round(score, 4)
        return document


def built_in(text: str, categories: tuple[Category, ...] = CATEGORIES) -> int:
    """Number of words of the built-in list in `text`; two that begin at the same position count once."""
    starts = {match.start() for match in _korean(categories).finditer(text)}
    patterns = bool(_PATTERNS_OF.intersection(categories))
    if patterns and _KOREAN_KEYS.search(text):
        starts.update(match.start() for match in _BUILT_IN["ko"].finditer(text))
    if not _may_hold_english(text):
        return len(starts)
    lowered = text.lower()
    english = {match.start() for match in _english(categories).finditer(lowered)}
    if patterns:
        english.update(match.start() for match in _BUILT_IN["en"].finditer(lowered))
    return len(starts) + len(english)


@lru_cache(maxsize=1)
def word_list() -> dict[tuple[str, str], list[str]]:
    """(language, category) -> entries of the built-in list in `toxic_words.txt`."""
    entries_of: dict[tuple[str, str], list[str]] = {}
    entries: list[str] = []
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            language, _, category = line.strip("[]").partition(" ")
            entries = entries_of.setdefault((language, category), [])
        elif not line.startswith("#"):
            entries += line.split()
    return entries_of


def _entries(language: str, categories: tuple[Category, ...]) -> list[str]:
    return sorted(
        {entry for category in categories for entry in word_list()[language, category]},
        key=lambda entry: (-len(entry), entry),
    )


@lru_cache(maxsize=8)
def _korean(categories: tuple[Category, ...]) -> re.Pattern[str]:
    """The Korean list, grouped by first letters, which a search can skip to; the preceding text is checked by
    lookbehind."""
    by_first: dict[str, list[str]] = {}
    for entry in _entries("ko", categories):
        rest = re.escape(entry[1:].removesuffix("|")).replace("_", r"\s?")
        by_first.setdefault(entry[0], []).append(rest + (r"(?![가-힣])" if entry.endswith("|") else ""))
    return re.compile(
        "|".join(f"{first}(?<![가-힣]{first})(?:{'|'.join(rests)})" for first, rests in sorted(by_first.items()))
    )


@lru_cache(maxsize=8)
def _english(categories: tuple[Category, ...]) -> re.Pattern[str]:
    """The English list, for text in lower case."""
    entries = _entries("en", categories)
    forms = (
        re.escape(entry.removesuffix("~")).replace("_", "[ -]") + ("(?:s|es|ed|er|ers|ing|y)?" * entry.endswith("~"))
        for entry in entries
    )
    return re.compile(rf"\b(?:{'|'.join(forms)})\b")


@lru_cache(maxsize=1)
def _english_keys() -> Parts:
    from kormo_plugins.corpus.scan.kernels.keywords_kernel import automaton

    plain = [entry.removesuffix("~") for entry in _entries("en", CATEGORIES)]
    keys = {entry.replace("_", between) for entry in plain for between in " -"} | set(_ENGLISH_KEYS)
    return automaton({1: "|".join(sorted(keys))}, 0).parts


def _may_hold_english(text: str) -> bool:
    """Whether `text` may contain a form from the English list; False is certain."""
    if not compiled(text):
        return True
    from kormo_plugins.corpus.scan.kernels.keywords_kernel import holds

    codes = scan_of(text).codes
    return bool(holds(codes, 0, len(codes), _english_keys()))


@lru_cache(maxsize=4)
def _listed(path: Path) -> str:
    """A pattern for the words of a list file."""
    entries = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    listed = sorted({entry for entry in entries if entry}, key=lambda entry: (-len(entry), entry))
    if not listed:
        raise KormoError(
            where="step toxicity: words", found=str(path), why="it contains no words", do="write one word per line"
        )
    return "|".join(
        rf"\b{re.escape(entry)}\b" if entry.isascii() else rf"(?<![가-힣]){re.escape(entry)}" for entry in listed
    )


def _existing(path: Path | None) -> Path:
    if path is None or not path.is_file():
        raise KormoError(
            where="step toxicity",
            found=str(path),
            why="there is no such file",
            do="name a word list, or a model of the step `classifier` or of fastText",
        )
    return path
