"""What it costs that whoever reads a file compares it with its checksum: its share of each stage.

    python tests/benchmarks/verification.py [MEGABYTES]

A corpus of the embedded generator is read, tokenized and packed, as `kormo data build` does it, and what is
spent on hashing and comparing is measured where it is spent: the difference of two runs, one of them without, is
smaller than what a busy machine makes of either. In processor time; at most 3% are allowed.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import xxhash
from measure import result

from kormo_plugins.corpus.build import build_source
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.mixture.params import BestFitParams
from kormo_plugins.mixture.row_plans.rows import build_rows
from kormo_plugins.plugins.registry import registry
from kormo_plugins.shards.tokenize import tokenize_source
from kormo_plugins.store import files
from kormo_plugins.store.artifact import Artifact, Spec, build
from kormo_plugins.store.corpus_files import part_files, read_corpus
from kormo_plugins.tokenizer.params import TokenizerParams
from kormo_plugins.tokenizer.training.train import train

ALLOWED = 0.03
REPEATS = 7


class Clock:
    """Processor seconds spent on comparing contents."""

    def __init__(self) -> None:
        self.spent = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time counted."""

        def timed(*words: Any, **more: Any) -> Any:
            begin = time.process_time()
            try:
                return function(*words, **more)
            finally:
                self.spent += time.process_time() - begin

        return timed

    def digest(self) -> Any:
        """What `xxhash.xxh3_128` gives, its time counted."""
        real = xxhash.xxh3_128()
        return SimpleNamespace(update=self.around(real.update), hexdigest=real.hexdigest)


@contextmanager
def watched() -> Iterator[Clock]:
    """Whatever is hashed or compared in the block is counted."""
    clock = Clock()
    with (
        mock.patch.object(files, "xxhash", SimpleNamespace(xxh3_128=clock.digest)),
        mock.patch.object(files, "file_checksum", clock.around(files.file_checksum)),
    ):
        yield clock


def corpus(folder: Path, megabytes: float) -> Artifact:
    """Documents as an artifact."""
    source = {"language": "ko", "parts": 4, "generator": {"name": "embedded", "language": "ko", "megabytes": megabytes}}
    recipe = CorpusRecipe.model_validate({"sources": {"s": source}, "steps": [], "held_out": {"documents": 0}})

    def make(out: Path) -> dict[str, object]:
        return build_source("s", recipe.sources["s"], recipe, registry(), out)

    return build(folder, Spec("corpus", "s", {}), make)


def main(megabytes: float) -> None:
    """Prints a line for each stage, and ends with 1 where one costs more than is allowed."""
    logging.disable()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        artifact = corpus(folder, megabytes)
        tokenizer = folder / "tokenizer"
        train(lambda: read_corpus(artifact.path), TokenizerParams(vocab_size=3000, megabytes=2, shares={}), tokenizer)
        records = part_files(artifact.path)
        numbers = iter(range(10_000))

        def tokenized() -> Path:
            out = folder / f"shards-{next(numbers)}"
            tokenize_source(list(records), tokenizer, out, source="s", recorded=records)
            return out

        shards = tokenized()

        def packed() -> None:
            build_rows(shards, 4096, "best_fit", BestFitParams(), folder / f"rows-{next(numbers)}")

        def read() -> None:
            for _ in read_corpus(artifact.path):
                pass

        stages: dict[str, Callable[[], object]] = {
            "read": read,
            "tokenized": tokenized,
            "packed": packed,
        }
        dear = []
        for stage, work in stages.items():
            work()
            shares = []
            for _ in range(REPEATS):
                with watched() as clock:
                    begin = time.process_time()
                    work()
                    whole = time.process_time() - begin
                shares.append((clock.spent / (whole - clock.spent), clock.spent, whole))
            share, spent, whole = sorted(shares)[REPEATS // 2]
            print(f"{stage:<10} {whole:8.4f} s, of which comparing {spent:8.4f} s: {share:+.1%}")
            result(f"verification: {stage}", "s", whole, whole - spent, "without verification", lower=True)
            dear += [stage] if share > ALLOWED else []
        if dear:
            sys.exit(f"more than {ALLOWED:.0%}: {', '.join(dear)}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 20)
