"""A source that comes to a collection: compared with the index of what is there, or with its texts signed again.

    python tests/benchmarks/across.py [--there 20] [--new 2]

`there` is built and signed once. Then two new sources are deduplicated against it, one as a recipe does (the index is
read), one by signing the texts of `there` again, as every build had to before there was an index. Same verdicts, or
the seconds mean nothing. Processor time of the new source's build alone; kernels are compiled before.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import fresh_text
import measure

from kormo_plugins.corpus.build import build_source
from kormo_plugins.corpus.passes import across
from kormo_plugins.pipeline.artifacts.corpora import build_corpora
from kormo_plugins.plugins.registry import registry
from kormo_plugins.recipe.projections import CorpusPlan
from kormo_plugins.recipe.schema.dataset import parse_data
from kormo_plugins.store.artifact import Artifact
from kormo_plugins.store.artifact import build as build_artifact


def recipe(folder: Path, against: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """A dataset recipe of these sources, each deduplicated against the ones named."""
    return {
        "sources": {
            name: {
                "language": "ko",
                "license": "unknown",
                "reader": {"name": "jsonl", "path": str(folder / f"{name}.jsonl")},
                "deduplicate_against": list(others),
            }
            for name, others in against.items()
        },
        "steps": [{"name": "exact_dedup"}, {"name": "minhash_dedup"}],
    }


def write(path: Path, texts: Iterator[str]) -> None:
    """The texts as JSON Lines."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--there", type=float, default=20, help="megabytes of the source that is there")
    parser.add_argument("--new", type=float, default=2, help="megabytes of each that comes")
    options = parser.parse_args()
    texts, kind = fresh_text.korean()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write(folder / "there.jsonl", fresh_text.documents(texts, round(options.there * 1e6)))
        real = sum(len(text.encode()) for text in texts)  # which `documents` gives first: they are there already
        for seed, name in enumerate(("first", "second"), 1):
            made = fresh_text.documents(texts, real + round(options.new * 1e6), seed)
            write(folder / f"{name}.jsonl", islice(made, len(texts), None))
        print(f"{options.there:g} MB there, {options.new:g} MB new, of {kind}")

        def built(against: dict[str, tuple[str, ...]]) -> tuple[float, dict[str, Artifact]]:
            data = parse_data(recipe(folder, against), registry(), "data.yml")
            plan = CorpusPlan(folder / "data.yml", folder / "artifacts", registry(), data.corpus)
            begin = time.process_time()
            corpora = build_corpora(plan, build_artifact)
            return time.process_time() - begin, corpora

        built({"there": ()})
        first, _ = built({"there": (), "first": ("there",)})
        print(f"first source, which signs what is there: {first:.2f} s of processor")
        ours, corpora = built({"there": (), "second": ("there",)})
        data = parse_data(recipe(folder, {"there": (), "second": ("there",)}), registry(), "data.yml").corpus
        begin = time.process_time()
        stats = build_source(
            "second",
            data.sources["second"],
            data,
            registry(),
            folder / "again",
            against=[corpora["there"].path],
            signed=across.sign_all,
        )
        again = time.process_time() - begin
        if stats["documents"] != corpora["second"].stats["documents"]:
            raise SystemExit("the verdicts differ: the seconds mean nothing")
        measure.result("a new source against one that is there", "s", ours, again, "its texts signed again", lower=True)


if __name__ == "__main__":
    main()
