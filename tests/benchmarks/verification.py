"""What it costs that whoever reads a file compares it with its checksum: each stage with and without.

    python tests/benchmarks/verification.py [MEGABYTES]

A corpus of the embedded generator is read, tokenized and packed, as `kormo data build` does it, once as it is and once
with every comparison of contents taken out (sizes are still compared), in processor time. At most 3% are allowed.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from measure import result, seconds

from kormo_plugins.corpus.build import build_source
from kormo_plugins.corpus.params import CorpusRecipe
from kormo_plugins.mixture.params import BestFitParams
from kormo_plugins.mixture.rows import build_rows
from kormo_plugins.plugins.registry import registry
from kormo_plugins.shards.tokenize import tokenize_source
from kormo_plugins.store import files
from kormo_plugins.store.artifact import Artifact, Spec, build
from kormo_plugins.store.corpus_files import part_files, read_corpus
from kormo_plugins.tokenizer.params import TokenizerParams
from kormo_plugins.tokenizer.train import train

ALLOWED = 0.03
REPEATS = 7


@contextmanager
def unverified() -> Iterator[None]:
    """No content is compared; sizes still are."""
    check = files.FileRecord.check

    class Unhashed:
        def update(self, data: object) -> None:
            """Nothing."""

        def hexdigest(self) -> str:
            return ""

    with (
        mock.patch.object(files.FileRecord, "check", lambda self, path, contents=True: check(self, path, False)),
        mock.patch.object(files.FileRecord, "compare", lambda self, path, digest: None),
        mock.patch.object(files, "xxhash", SimpleNamespace(xxh3_128=Unhashed)),
    ):
        yield


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
            without = verified = float("inf")
            for _ in range(REPEATS):  # in turn, as a busy machine is slower at one time than at another
                with unverified():
                    without = min(without, seconds(work, 1))
                verified = min(verified, seconds(work, 1))
            print(f"{stage:<10} {verified:8.4f} s, without {without:8.4f} s: {verified / without - 1:+.1%}")
            result(f"verification: {stage}", "s", verified, without, "without verification", lower=True)
            dear += [stage] if verified > (1 + ALLOWED) * without else []
        if dear:
            sys.exit(f"more than {ALLOWED:.0%}: {', '.join(dear)}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 20)
