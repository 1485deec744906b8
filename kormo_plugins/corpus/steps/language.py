"""Which language a document is in, with no model and no network: by script, and for Latin letters by function words.

Hangul, Kana and Han tell Korean, Japanese and Chinese apart at once: Korean prose has almost no Kana, Japanese always
has some, Chinese has neither. Code, tags and addresses are left out before counting, as they are Latin in every
language. A syllable block counts `SYLLABLE` times a Latin letter, about as many as it takes to write the same sounds;
otherwise a few English terms would outweigh a Korean sentence. Whoever has a fastText model (lid.176, GlotLID) names
it under `model`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.steps.text import prose, scripts, words
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import KormoError
from kormo_plugins.store.fingerprint import file_checksum

SYLLABLE = 2.5
SAMPLE = 20_000
"""Characters that are looked at, from the beginning."""
FUNCTION_WORDS: dict[str, frozenset[str]] = {
    code: frozenset(listed.split())
    for code, listed in {
        "en": "the of and to in is that for with as on be are this by from it or was an at you which not have can if",
        "de": "der die das und ist nicht ein eine den dem des mit auf für sich von zu auch wird werden sie oder bei",
        "fr": "le la les des et est une du que dans pour qui sur pas par plus avec ce sont vous nous aux cette ou",
        "es": "el la los las que de del una por con para es se no como más su al lo este son está pero",
        "pt": "o os das dos que uma não para com por mais como se foi ao pela pelo são está você também em",
        "it": "il lo gli che di una per non con del della sono nel alla dei come più questo anche si",
        "nl": "de het een van en dat niet zijn op met voor die aan te ook wordt naar bij worden om",
        "id": "yang dan di untuk dengan dari ini pada adalah itu tidak dalam akan atau oleh juga anda",
        "vi": "và của là có cho không được một các trong để này với những khi người từ đã",
        "tr": "ve bir bu için ile olarak daha çok gibi olan da de sonra kadar ancak değil",
        "pl": "i w na się nie że jest do to przez od dla jak oraz jego są który ale",
        "sv": "och att det som på är av för med inte den ett har till om var kan",
    }.items()
}

_PAIRS = (
    "kor:ko eng:en jpn:ja cmn:zh zho:zh yue:zh deu:de fra:fr spa:es por:pt ita:it nld:nl ind:id vie:vi tur:tr pol:pl "
    "swe:sv rus:ru ell:el arb:ar ara:ar hin:hi tha:th ukr:uk ces:cs"
)
TWO_LETTERS: dict[str, str] = dict(pair.split(":") for pair in _PAIRS.split())
"""ISO 639-3 (labels of GlotLID and NLLB, `kor_Hang`) -> the codes that recipes are written with."""


class LanguageParams(Strict):
    """Which languages stay."""

    keep: tuple[str, ...] | None = Field(
        default=None, description="languages that stay (ko, en, mul, …); null: all, only the label is set"
    )
    label: bool = Field(default=True, description="write the language that was found on the document")
    minority: float = Field(
        default=0.25,
        gt=0,
        lt=0.5,
        description="a document is Korean from this share of Hangul on, so that English "
        "terms may be many (ours; measured on Korean documentation); `mul` down to a third of it",
    )
    model: Path | None = Field(
        default=None, description="a fastText language model (lid.176.bin); null: built-in rules"
    )


class Language:
    """Labels documents with their language and keeps those asked for."""

    VERSION = 2

    def __init__(self, params: LanguageParams) -> None:
        self.params = params

    @staticmethod
    def inputs(params: LanguageParams) -> Any:
        """The model's checksum, if there is one."""
        return file_checksum(_model_path(params.model)) if params.model else None

    def __call__(self, document: Document) -> Document | Reject:
        text = prose(document.text[: SAMPLE * 4])[:SAMPLE]
        found = _by_model(text, self.params.model) if self.params.model else identify(text, self.params.minority)
        if self.params.keep is not None and found not in self.params.keep:
            return Reject(f"language {found}")
        if self.params.label and found != "und":
            document.language = found
        return document


def identify(text: str, minority: float = 0.25) -> str:
    """BCP 47 code of the language of `text` (code removed); `mul`: Korean among others, `und`: too little to tell."""
    count = scripts(text)
    east = {"ko": count.hangul * SYLLABLE, "cjk": (count.kana + count.han) * SYLLABLE}
    weights = {**east, "latin": count.latin, "ru": count.cyrillic, "el": count.greek, "und": count.other}
    total = sum(weights.values())
    if total < 10:
        return "und"
    shares = {name: weight / total for name, weight in weights.items()}
    if shares["ko"] >= minority and shares["ko"] > shares["cjk"] * 0.5:
        return "ko"
    if shares["ko"] >= minority / 3:
        return "mul"
    if shares["cjk"] >= minority:
        return "ja" if count.kana > 0.05 * (count.kana + count.han) else "zh"
    best = max(shares, key=lambda name: shares[name])
    return _latin(words(text)) if best == "latin" else "und" if best == "cjk" else best


def _latin(found: Sequence[str]) -> str:
    """The language whose function words are the most; `und` when hardly any are there (lists, names, tables)."""
    lowered = [word.lower() for word in found[:2000]]
    hits = {code: sum(map(listed.__contains__, lowered)) for code, listed in FUNCTION_WORDS.items()}
    best = max(hits, key=lambda code: hits[code])
    distinct = len(FUNCTION_WORDS[best].intersection(lowered))
    if hits[best] * 25 >= len(lowered) and (distinct >= 3 or best == "en"):  # formulas are full of single letters
        return best
    return "en" if hits["en"] == hits[best] > 0 else "und"


def _model_path(path: Path | None) -> Path:
    if path is None or not path.is_file():
        raise KormoError(
            where="step language: model",
            found=str(path),
            why="there is no such file",
            do="name a fastText model, or leave `model` out to use the built-in rules",
        )
    return path


@lru_cache(maxsize=1)
def _load(path: Path) -> Any:
    import fasttext

    return fasttext.load_model(str(_model_path(path)))


def _by_model(text: str, path: Path) -> str:
    # The pybind object below fasttext's wrapper: the wrapper's predict fails on numpy 2.
    found = _load(path).f.predict(" ".join(text.split()) + "\n", 1, 0.0, "strict")
    if not found:
        return "und"
    code = str(found[0][1]).removeprefix("__label__").split("_")[0]
    return TWO_LETTERS.get(code, code)
