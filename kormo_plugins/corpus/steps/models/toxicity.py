"""Toxic text: by words of Korean and English, and by a classifier where there is one.

Words as in C4 (Raffel et al., arXiv 1910.10683), but by their share and not by one occurrence: a novel, a court's
ruling and a dictionary hold a curse too. The built-in list is short and ours: words that are hardly ever anything else,
with the spellings by which filters of comment boxes are dodged. A classifier (ours or fastText's, with a label `toxic`)
sees what no word says.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.steps.models.classifier import Classifier, ClassifierParams
from kormo_plugins.corpus.steps.text import words
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import KormoError
from kormo_plugins.store.fingerprint import file_checksum

_KOREAN = (
    r"(?<![가-힣])(?:개|존나게?|좆나)?\s?[씨시쓰][0-9.~*!_]{0,3}[발팔벌](?!점|역|차|전|행|원|굴|표|견|송|생|달|명|급|음|언|령|효)",
    r"ㅅ[0-9.~*!_]{0,3}ㅂ(?=$|[\sㄱ-ㅎ가-힣.,!?~])",
    r"(?<![가-힣])[병븅빙][0-9.~*!_]{0,3}[신싄](?!년|일|월|경|체|을 청|청)",
    r"(?<![가-힣])[개걔][새색][0-9.~*!_]{0,3}[끼키]",
    r"(?<![가-힣])(?:좆|졷)[같까나만]",
    r"(?<![가-힣])지랄(?!탄)",
    r"(?<![가-힣])미친\s?[놈년]",
    r"(?<![가-힣])(?:걸레|창녀|썅|쌍)\s?[년놈]",
    r"엠창|느금마|니애미|니미럴|한남충|김치녀|된장녀|틀딱|맘충|급식충|홍어새끼|짱깨|쪽바리",
)
_ENGLISH = (
    r"\b(?:mother)?f+[u*]+c+k+(?:er|ers|ing|ed|s)?\b",
    r"\bs+h+[i1*]+t+(?:ty|head|s)?\b",
    r"\bb[i1*]tch(?:es|y)?\b",
    r"\bc[u*]nts?\b",
    r"\bass?holes?\b",
    r"\bwh[o0]res?\b",
    r"\bf[a@*]gg?[o0]ts?\b",
    r"\bn[i1*]gg(?:er|a)s?\b",
    r"\bretards?\b",
)
_BUILT_IN = {"ko": re.compile("|".join(_KOREAN)), "en": re.compile("|".join(_ENGLISH), re.IGNORECASE)}
# Cheap looks before the patterns: these begin with sets of letters, which a search skips to, and plain strings.
_KOREAN_KEYS = re.compile(
    r"[씨시쓰][0-9.~*!_]{0,3}[발팔벌]|ㅅ[0-9.~*!_]{0,3}ㅂ|[병븅빙][0-9.~*!_]{0,3}[신싄]|[개걔][새색]|좆|졷|지랄|미친|걸레|창녀|썅|쌍[년놈]|"
    r"엠창|느금|니애미|니미럴|한남충|김치녀|된장녀|틀딱|맘충|급식충|홍어새|짱깨|쪽바리"
)
_ENGLISH_KEYS = (
    "uck",
    "u*ck",
    "f*ck",
    "shit",
    "sh1t",
    "sh*t",
    "tch",
    "cunt",
    "c*nt",
    "hole",
    "whore",
    "wh0re",
    "fag",
    "f@g",
    "f*g",
    "nigg",
    "n1gg",
    "n*gg",
    "retard",
)


class ToxicityParams(Strict):
    """How much is too much."""

    words: Path | None = Field(
        default=None,
        description="a file with further words, one a line (`#` begins a comment): in Korean as the "
        "beginning of an eojeol, in letters of Latin as whole words",
    )
    built_in: bool = Field(default=True, description="the short list that comes with the step")
    at_most: float = Field(default=0.01, ge=0, le=1, description="toxic words per word that stay (ours)")
    allowed: int = Field(default=1, ge=0, description="so many never drop a document, however short (ours)")
    classifier: Path | None = Field(default=None, description="a model: .npz of the step `classifier`, or fastText's")
    label: str = Field(default="toxic", description="label of a fastText model that means toxic")
    threshold: float = Field(default=0.8, gt=0, le=1, description="score of the classifier from which it goes (ours)")


class Toxicity:
    """Writes `meta.toxicity` (the classifier's score, or the share of words); drops what is above the bounds."""

    VERSION = 1

    def __init__(self, params: ToxicityParams) -> None:
        self.params = params
        self.listed = re.compile(_listed(_existing(params.words)), re.IGNORECASE) if params.words else None
        self.classifier = (
            Classifier(ClassifierParams(model=_existing(params.classifier), label=params.label))
            if params.classifier
            else None
        )

    @staticmethod
    def inputs(params: ToxicityParams) -> Any:
        """Checksums of the list and of the model."""
        return [file_checksum(_existing(path)) if path else None for path in (params.words, params.classifier)]

    def __call__(self, document: Document) -> Document | Reject:
        text = document.text
        found = len(self.listed.findall(text)) if self.listed else 0
        found += built_in(text) if self.params.built_in else 0
        share = found / max(1, len(words(text))) if found else 0.0
        if found > self.params.allowed and share > self.params.at_most:
            return Reject("toxic words")
        score = self.classifier.score(text) if self.classifier else share
        if self.classifier and score >= self.params.threshold:
            return Reject("toxic (classifier)")
        document.meta["toxicity"] = round(score, 4)
        return document


def built_in(text: str) -> int:
    """How many words of the built-in list `text` holds."""
    found = len(_BUILT_IN["ko"].findall(text)) if _KOREAN_KEYS.search(text) else 0
    lowered = text.lower()
    return found + (len(_BUILT_IN["en"].findall(text)) if any(key in lowered for key in _ENGLISH_KEYS) else 0)


@lru_cache(maxsize=4)
def _listed(path: Path) -> str:
    """A pattern of the words of a list."""
    entries = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    found = sorted({entry for entry in entries if entry}, key=lambda entry: (-len(entry), entry))
    if not found:
        raise KormoError(
            where="step toxicity: words", found=str(path), why="it holds no word", do="write one word a line"
        )
    return "|".join(
        rf"\b{re.escape(entry)}\b" if entry.isascii() else rf"(?<![가-힣]){re.escape(entry)}" for entry in found
    )


def _existing(path: Path | None) -> Path:
    if path is None or not path.is_file():
        raise KormoError(
            where="step toxicity",
            found=str(path),
            why="there is no such file",
            do="name a list of words, or a model of the step `classifier` or of fastText",
        )
    return path
