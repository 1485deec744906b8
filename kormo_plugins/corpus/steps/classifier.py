"""A quality classifier (fastText), trained by the recipe from good and bad examples, and applied.

    - name: classifier
      positive: {path: data/good.jsonl}
      negative: {path: data/bad.jsonl}
      threshold: 0.5

As in DCLM (arXiv 2406.11794) and KORMo: word n-grams, a linear model, a score from 0 to 1. Training is done once per
source build, on one thread with a fixed seed, and the model is kept with the documents that it chose. A model that
exists already is named with `model`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.readers.files import Files, FilesParams
from kormo_plugins.corpus.step import Rejected
from kormo_plugins.corpus.steps.text import words
from kormo_plugins.documents import Document, Reject
from kormo_plugins.errors import KormoError

GOOD, BAD = "__label__good", "__label__bad"


class ClassifierParams(Strict):
    """The examples, or the model, and how strict to be."""

    positive: FilesParams | None = Field(default=None, description="documents to keep the like of")
    negative: FilesParams | None = Field(default=None, description="documents to drop the like of")
    model: Path | None = Field(default=None, description="a trained fastText model, with the labels good and bad")
    threshold: float = Field(
        default=0.5, ge=0, le=1, description="lowest score that stays (ours; the paper names none)"
    )
    word_ngrams: int = Field(default=2, ge=1, le=5, description="longest run of words that is a feature (DCLM: 2)")
    dimension: int = Field(default=32, ge=2, description="size of a feature's vector (ours)")
    epochs: int = Field(default=25, ge=1, description="passes over the examples (ours)")
    learning_rate: float = Field(default=0.1, gt=0, description="of fastText (its default)")
    buckets: int = Field(
        default=200_000, ge=1000, description="hash buckets for n-grams (ours; 2,000,000 is fastText's)"
    )
    seed: int = Field(default=0, description="of the training")

    @model_validator(mode="after")
    def _one(self) -> ClassifierParams:
        both = self.positive is not None and self.negative is not None
        if both == (self.model is not None) or (self.positive is None) != (self.negative is None):
            raise ValueError("give model, or both positive and negative")
        return self


class Classifier:
    """Keeps documents that score high, and writes the score on each (`meta.quality`)."""

    VERSION = 1

    def __init__(self, params: ClassifierParams) -> None:
        assert params.model is not None, "prepare() comes first"
        self.params, self.model = params, _load(params.model)

    @staticmethod
    def inputs(params: ClassifierParams) -> Any:
        """Checksums of the examples or of the model."""
        from kormo_plugins.fingerprint import file_checksum

        if params.model is not None:
            return file_checksum(_existing(params.model))
        return [_EXAMPLES.inputs(side) for side in (params.positive, params.negative) if side]

    @staticmethod
    def prepare(params: ClassifierParams, folder: Path) -> ClassifierParams:
        """Trains the model into `folder`, if there is none to be loaded."""
        if params.model is not None:
            return params
        path = folder / "classifier.bin"
        if not path.exists():
            train(params, path)
        return params.model_copy(update={"model": path, "positive": None, "negative": None})

    def __call__(self, document: Document) -> Document | Reject:
        quality = score(self.model, document.text)
        if quality < self.params.threshold:
            return Reject("low quality score")
        document.meta["quality"] = round(quality, 4)
        return document


_EXAMPLES = Files("jsonl", "parquet", "text", name="classifier")


def line_of(text: str) -> str:
    """A document as fastText reads it: one line of words in lower case."""
    return " ".join(words(text)).lower()


def train(params: ClassifierParams, path: Path) -> None:
    """Trains a model and writes it to `path`; the same examples give the same bytes.

    Raises:
        KormoError: a side without examples.
    """
    import fasttext

    examples = path.with_suffix(".txt")
    with examples.open("w", encoding="utf-8") as file:
        for label, side in ((GOOD, params.positive), (BAD, params.negative)):
            assert side is not None
            count = 0
            for item in _EXAMPLES(side):
                if not isinstance(item, Rejected):
                    file.write(f"{label} {line_of(item.text)}\n")
                    count += 1
            if not count:
                raise KormoError("step classifier", f"no document in {side.path}", "both sides need examples",
                                 "name a file with documents, and its text column")  # fmt: skip
    try:
        model = fasttext.train_supervised(
            str(examples), lr=params.learning_rate, dim=params.dimension, epoch=params.epochs, bucket=params.buckets,
            wordNgrams=params.word_ngrams, minCount=1, thread=1, seed=params.seed, verbose=0,
        )  # fmt: skip
    except RuntimeError as error:
        raise KormoError("step classifier", f"fastText said: {error}", "the training did not converge",
                         "lower learning_rate, or give more examples") from error  # fmt: skip
    examples.unlink()
    temporary = path.with_suffix(".tmp")
    model.save_model(str(temporary))
    temporary.replace(path)


def score(model: Any, text: str) -> float:
    """Probability that `text` is good, from 0 to 1."""
    # The pybind object below fasttext's wrapper: the wrapper's own predict fails on numpy 2.
    found = {label: p for p, label in model.f.predict(line_of(text) + "\n", 2, 0.0, "strict")}
    return min(1.0, float(found.get(GOOD, 0.0)))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise KormoError("step classifier: model", str(path), "there is no such file",
                         "name a trained model, or positive and negative examples")  # fmt: skip
    return path


@lru_cache(maxsize=2)
def _load(path: Path) -> Any:
    import fasttext

    return fasttext.load_model(str(_existing(path)))
