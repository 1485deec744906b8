"""Identifies the language of a document offline: by script, and for Latin and Cyrillic letters by words.

Hangul, Kana and Han separate Korean, Japanese and Chinese: Korean prose has almost no Kana, Japanese always has some,
Chinese has neither. Code, tags and addresses are removed before counting, as they are Latin in every language. A
syllable block counts as several Latin letters; otherwise a few English terms would outweigh a Korean sentence. The
compiled pass and the word weights are in `languages/`.

A fastText model (lid.176, GlotLID, OpenLID) can be given as `model`. `engine: eldc` uses the package eldc, which knows
words of more languages, where scripts do not decide.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.steps.heuristics.text import prose
from kormo_plugins.corpus.steps.languages.models import by_eldc, by_fasttext, eldc_version
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import KormoError
from kormo_plugins.store.fingerprint import file_checksum

SAMPLE = 40_000
"""Characters used, from the beginning of the document."""
CODE = re.compile("(?!(kr|jp|cn|kor|eng|jpn|zho)$)[a-z]{2,3}(-.+)?|other")
"""Language codes of the built-in rules and eldc, never country codes, nor three letters where two exist; fastText
models have their own labels."""


class LanguageParams(Strict):
    """Which languages are kept."""

    keep: tuple[str, ...] | None = Field(
        default=None,
        description="languages that are kept (ko, en, mul, …; zh includes zh-Hant); null: all, and documents are "
        "only labelled",
    )
    label: bool = Field(default=True, description="store the detected language in the document")
    minority: float = Field(
        default=0.25,
        gt=0,
        lt=0.5,
        description="minimum share of Hangul of a Korean document, low so that it may contain many English terms "
        "(ours; measured on Korean documentation); from a third of it on, a document is `mul`",
    )
    model: Path | None = Field(
        default=None,
        description="fastText language model (lid.176.bin, GlotLID's or OpenLID's); null: the built-in rules",
    )
    engine: Literal["built_in", "eldc"] = Field(
        default="built_in",
        description="method that distinguishes languages in Latin and Cyrillic script; eldc: the package eldc (60 "
        "languages)",
    )

    @model_validator(mode="after")
    def _one(self) -> LanguageParams:
        if self.model is not None and self.engine != "built_in":
            raise ValueError("give model or engine, not both")
        wrong = [code for code in self.keep or () if self.model is None and not CODE.fullmatch(code)]
        if wrong:
            raise ValueError(
                f"{wrong[0]!r} is not a language code, so no document would match it; codes are ko, en, ja, "
                "zh, … and mul (Korean with other languages)"
            )
        return self


class Language:
    """Labels documents with their language and keeps the configured ones."""

    VERSION = 3

    def __init__(self, params: LanguageParams) -> None:
        self.params = params

    @staticmethod
    def inputs(params: LanguageParams) -> object:
        """The model's checksum or the engine's version, if set."""
        if params.engine == "eldc":
            return eldc_version()
        return file_checksum(_model_path(params.model)) if params.model else None

    def __call__(self, document: Document) -> Document | Reject:
        language = self._of(document.text[:SAMPLE])
        kept = self.params.keep
        if kept is not None and language not in kept and language.partition("-")[0] not in kept:
            return Reject(f"language {language}")
        if self.params.label and language != "und":
            document.language = language
        return document

    def _of(self, text: str) -> str:
        if self.params.model is not None:
            return by_fasttext(prose(text), _model_path(self.params.model))
        language = identify(text, self.params.minority)
        return by_eldc(prose(text), language) if self.params.engine == "eldc" else language


def identify(text: str, minority: float = 0.25) -> str:
    """`languages.identify.identify`, compiled on first use."""
    from kormo_plugins.corpus.steps.languages.identify import identify as compiled

    return compiled(text, minority)


def _model_path(path: Path | None) -> Path:
    if path is None or not path.is_file():
        raise KormoError(
            where="step language: model",
            found=str(path),
            why="there is no such file",
            do="name a fastText model, or remove `model` to use the built-in rules",
        )
    return path
