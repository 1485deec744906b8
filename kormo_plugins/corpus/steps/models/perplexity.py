"""KenLM perplexity: how typical a text is under an n-gram language model, with one model per language.

    - name: perplexity
      models: {ko: models/ko.arpa.bin, en: models/en.arpa.bin}
      pieces: {ko: models/ko.sp.model, en: models/en.sp.model}
      at_most: {ko: 1500}

As in CCNet (Wenzek et al., arXiv 1911.00359), which trains on Wikipedia tokenized by SentencePiece, and KORMo's
heuristics (4.1.3). Perplexity depends on the model and its tokenization, so there is no default bound; `keep_top` with
`by: perplexity, lowest: true, share: 0.5` filters by rank, as CCNet's head, middle and tail. Without SentencePiece the
model is taken to be over words or characters.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator, model_validator

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.steps.heuristics.text import lines
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import KormoError
from kormo_plugins.store.fingerprint import file_checksum

if TYPE_CHECKING:
    import kenlm
    import sentencepiece


class PerplexityParams(Strict):
    """The models, and the perplexity bounds."""

    models: dict[str, Path | None] = Field(
        min_length=1,
        description="language -> KenLM model (ARPA or binary); null or empty: no model yet, and documents in that "
        "language pass unchanged",
    )
    pieces: dict[str, Path] = Field(
        default_factory=dict,
        description="language -> SentencePiece model that tokenized the training text of its KenLM model (CCNet)",
    )
    unit: Literal["word", "syllable"] = Field(
        default="word", description="token of a model without `pieces`: a word, or a single character"
    )
    at_most: dict[str, float] = Field(default_factory=dict, description="language -> maximum perplexity")
    at_least: dict[str, float] = Field(
        default_factory=dict, description="language -> minimum perplexity: very predictable text is repetitive"
    )

    @field_validator("models", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        """Removes empty values: `${KORMO_KENLM_KO:-}` is empty if the variable is not set."""
        return {name: path or None for name, path in value.items()} if isinstance(value, dict) else value

    def warnings(self) -> list[str]:
        """Languages without a model."""
        without = [language for language, path in self.models.items() if path is None]
        return (
            [f"there is no model for {', '.join(without)}: documents in these languages pass unchanged"]
            if without
            else []
        )

    def writes(self) -> tuple[str, ...]:
        """The key of `meta` for the score."""
        return ("perplexity",)

    @model_validator(mode="after")
    def _known(self) -> PerplexityParams:
        for name in ("pieces", "at_most", "at_least"):
            if unknown := set(getattr(self, name)) - set(self.models):
                raise ValueError(f"{name} names {sorted(unknown)[0]!r}, but `models` has no such language")
        return self


class Perplexity:
    """Writes `meta.perplexity`; drops documents outside the bounds. Languages without a model pass unchanged."""

    VERSION = 1

    def __init__(self, params: PerplexityParams) -> None:
        self.params = params

    @staticmethod
    def inputs(params: PerplexityParams) -> object:
        """Checksums of the models."""
        files = {
            **{f"model {k}": v for k, v in params.models.items() if v is not None},
            **{f"pieces {k}": v for k, v in params.pieces.items()},
        }
        return {name: file_checksum(_existing(path)) for name, path in sorted(files.items())}

    def __call__(self, document: Document) -> Document | Reject:
        language = document.language
        path = self.params.models.get(language)
        if path is None:
            return document
        value = self._of(document.text, language, path)
        if value > self.params.at_most.get(language, float("inf")):
            return Reject("perplexity too high")
        if value < self.params.at_least.get(language, 0.0):
            return Reject("perplexity too low")
        document.meta["perplexity"] = round(value, 2)
        return document

    def _of(self, text: str, language: str, path: Path) -> float:
        """10 to the mean negative log10 probability per token, counting ends of lines as tokens (CCNet)."""
        model = _model(_existing(path))
        total, count = 0.0, 0
        for line in lines(text):
            pieces = self._cut(line, language)
            total -= model.score(" ".join(pieces), bos=True, eos=True)
            count += len(pieces) + 1
        return float(10 ** (total / max(1, count)))

    def _cut(self, line: str, language: str) -> list[str]:
        if language in self.params.pieces:
            return [str(piece) for piece in _pieces(_existing(self.params.pieces[language])).encode(line, out_type=str)]
        return line.split() if self.params.unit == "word" else [char for char in line if not char.isspace()]


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise KormoError(
            where="step perplexity: models",
            found=str(path),
            why="there is no such file",
            do="name a KenLM model (and its SentencePiece model) for each language",
        )
    return path


@lru_cache(maxsize=8)
def _model(path: Path) -> kenlm.Model:
    try:
        import kenlm
    except ImportError:
        raise KormoError(
            where="step perplexity",
            found="the package kenlm is not installed",
            why="the step scores documents with it",
            do="pip install 'kormo-plugins[kenlm]'",
        ) from None
    try:
        return kenlm.Model(str(path))
    except OSError as error:
        raise KormoError(
            where="step perplexity: models",
            found=str(path),
            why=f"it is not a KenLM model: {str(error).strip().splitlines()[-1]}",
            do="name an ARPA file, or a binary model made by KenLM's build_binary",
        ) from None


@lru_cache(maxsize=8)
def _pieces(path: Path) -> sentencepiece.SentencePieceProcessor:
    import sentencepiece

    return sentencepiece.SentencePieceProcessor(model_file=str(path))
