"""A quality classifier in the style of fastText, trained by the recipe from good and bad examples, and applied.

    - name: classifier
      positive: {path: data/good.jsonl}
      negative: {path: data/bad.jsonl}
      threshold: 0.5

As in DCLM (arXiv 2406.11794) and KORMo: hashed word n-grams, a linear model, a score from 0 to 1. It is trained once
per source build and stored beside the documents that it selected (`models/`). An existing model, ours (`.npz`) or
fastText's (`.bin`, with a label `good`), is given as `model`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.readers.files import Files, FilesParams
from kormo_plugins.corpus.step import Rejected
from kormo_plugins.corpus.steps.heuristics.text import words
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.errors import KormoError
from kormo_plugins.store.atomic import replace
from kormo_plugins.store.fingerprint import file_checksum

if TYPE_CHECKING:
    import numpy as np

NAME = "classifier.npz"


class ClassifierParams(Strict):
    """The examples or the model, and the threshold."""

    positive: FilesParams | None = Field(default=None, description="examples of documents to keep")
    negative: FilesParams | None = Field(default=None, description="examples of documents to drop")
    model: Path | None = Field(default=None, description="trained model: .npz (ours) or .bin (fastText)")
    label: str = Field(default="good", description="label of a fastText model for documents to keep")
    threshold: float = Field(
        default=0.5, ge=0, le=1, description="minimum score of a document that is kept (ours; the paper states none)"
    )
    word_ngrams: int = Field(default=2, ge=1, le=5, description="maximum words of an n-gram feature (DCLM: 2)")
    buckets: int = Field(default=1 << 20, ge=1000, description="hash buckets for features (ours; fastText: 2,000,000)")
    epochs: int = Field(default=5, ge=1, description="passes over the examples (fastText: 5)")
    learning_rate: float = Field(default=0.5, gt=0, description="initial learning rate, decayed to zero (ours)")
    seed: int = Field(default=0, ge=0, description="seed of the order of the examples")

    @model_validator(mode="after")
    def _one(self) -> ClassifierParams:
        both = self.positive is not None and self.negative is not None
        if both == (self.model is not None) or (self.positive is None) != (self.negative is None):
            raise ValueError("give model, or both positive and negative; null takes an inherited one away")
        return self

    def writes(self) -> tuple[str, ...]:
        """The key of `meta` for the score."""
        return ("quality",)


class Classifier:
    """Keeps documents with a high score, and stores the score in `meta.quality`."""

    VERSION = 1
    SCORE = "quality"
    """Key of `meta` for the score."""
    LOW = "low quality score"
    """Reject reason."""

    def __init__(self, params: ClassifierParams) -> None:
        self.params, self.model = params, _load(_existing(params.model))

    @staticmethod
    def inputs(params: ClassifierParams) -> object:
        """Checksums of the examples or of the model."""
        if params.model is not None:
            return file_checksum(_existing(params.model))
        return [_EXAMPLES.inputs(side) for side in (params.positive, params.negative) if side]

    @staticmethod
    def prepare(params: ClassifierParams, folder: Path) -> ClassifierParams:
        """Trains the model into `folder`, unless a model is given."""
        if params.model is not None:
            return params
        path = folder / NAME
        if not path.exists():
            train(params, path)
        return params.model_copy(update={"model": path, "positive": None, "negative": None})

    def __call__(self, document: Document) -> Document | Reject:
        quality = self.score(document.text)
        if quality < self.params.threshold:
            return Reject(self.LOW)
        document.meta[self.SCORE] = round(quality, 4)
        return document

    def score(self, text: str) -> float:
        """Similarity of `text` to the good examples, from 0 to 1."""
        import numpy as np

        if not isinstance(self.model, dict):
            # Uses the pybind object of the fasttext wrapper: the wrapper's predict fails on numpy 2.
            found = self.model.f.predict(" ".join(words(text)) + "\n", -1, 0.0, "strict")
            return min(1.0, float({label: p for p, label in found}.get(f"__label__{self.params.label}", 0.0)))
        from kormo_plugins.corpus.steps.models.classifier_kernel import features, predict

        data = np.frombuffer(text.encode(), dtype=np.uint8)
        found = features(data, int(self.model["ngrams"]), len(self.model["weights"]))
        return float(predict(self.model["weights"], float(self.model["bias"]), found))


_EXAMPLES = Files("jsonl", "json", "csv", "text", "parquet", "arrow", name="classifier")


def train(params: ClassifierParams, path: Path) -> None:
    """Trains a model and writes it to `path`; the same examples give the same bytes.

    Raises:
        KormoError: no positive or no negative examples.
    """
    import numpy as np

    from kormo_plugins.corpus.steps.models import classifier_kernel as kernel

    example_features: list[np.ndarray] = []
    labels: list[int] = []
    for label, side in ((1, params.positive), (0, params.negative)):
        assert side is not None
        for item in _EXAMPLES(side):
            if not isinstance(item, Rejected):
                data = np.frombuffer(item.text.encode(), dtype=np.uint8)
                example_features.append(kernel.features(data, params.word_ngrams, params.buckets))
                labels.append(label)
        if label not in labels:
            raise KormoError(
                where="step classifier",
                found=f"no document in {side.path}",
                why="the classifier needs positive and negative examples",
                do="name a file with documents, and map its text column",
            )
    bounds = np.cumsum([0, *map(len, example_features)])
    dice = np.random.Generator(np.random.PCG64(params.seed))
    order = np.stack([dice.permutation(len(labels)) for _ in range(params.epochs)])
    weights, bias = kernel.train(
        np.concatenate(example_features),
        bounds,
        np.array(labels),
        order,
        params.buckets,
        params.epochs,
        params.learning_rate,
    )

    def write(temporary: Path) -> None:
        """Writes weights (float32), bias and n-gram length as npz."""
        with temporary.open("wb") as file:  # given a path, numpy would append .npz
            np.savez_compressed(file, weights=weights.astype(np.float32), bias=bias, ngrams=params.word_ngrams)

    replace(path, write)


def _existing(path: Path | None) -> Path:
    if path is None or not path.is_file():
        raise KormoError(
            where="step classifier: model",
            found=str(path),
            why="there is no such file",
            do="name a trained model, or positive and negative examples",
        )
    return path


@lru_cache(maxsize=2)
def _load(path: Path) -> Any:
    import numpy as np

    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in ("weights", "bias", "ngrams")}
    import fasttext

    return fasttext.load_model(str(path))
