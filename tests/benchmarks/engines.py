"""Text to shards by each engine (`kormo.tokenizer.engine`), and what is more than the engine's own work.

Every figure is of a process of its own that has never seen the text (`fresh_text`). `alone`: the documents of a part
file are read and given to the engine in batches, and its ids are kept in memory. `shards`: `tokenize_source` on the
same file: reading and the engine, each code point and a sample of documents proved by tokenizers, and shards with
their checksums on disk. The ids of all engines must be equal. Starting Python and opening the tokenizer are in neither;
a build does that once.

    python tests/benchmarks/engines.py [--megabytes 8] [--runs 3] [--engines gigatoken tiktoken tokenizers]

Both ways run in turns; rates and shares are of medians. The peer is tokenizers, which encodes the same file.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import fresh_text
import measure


def one(engine: str, way: str, folder: Path) -> None:
    """In a process of its own: prints processor seconds, peak memory and a hash of the ids."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import numpy as np
    import xxhash

    from kormo_plugins.documents.document import read_documents
    from kormo_plugins.shards import tokenize

    part = folder / "part.jsonl.zst"
    job = tokenize.Job("", folder, folder / "tokenizer", None, None, (), engine, ())
    encoder = tokenize._encoder(job)  # opened once in a build
    if encoder.kind != engine:
        raise SystemExit(f"{engine} cannot be used: {encoder.reason}")
    digest = xxhash.xxh3_64()
    if way == "alone":
        encode = encoder._engine.encode if encoder._engine else lambda texts: encoder._by_tokenizers(texts, texts)
        begin = time.process_time()
        batches = tokenize._batches(read_documents(part))
        ids = [encode([document.text for document in batch])[0] for batch in batches]
        seconds = time.process_time() - begin
    else:
        from kormo_plugins.shards.reader import Shards

        begin = time.process_time()
        with tempfile.TemporaryDirectory(dir=folder) as out:
            tokenize.tokenize_source([part], folder / "tokenizer", Path(out), source="fresh", engine=engine)
            seconds = time.process_time() - begin
            ids = [np.array(shard) for shard in Shards(Path(out)).ids]
    for array in ids:
        digest.update(array.astype("<u4").tobytes())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak": peak, "ids": digest.hexdigest()}))


def prepare(folder: Path, size: int) -> float:
    """A tokenizer of 32,000 entries, learned from the texts as they are, and a part file of changed ones; its MB."""
    from kormo_plugins.documents.document import Document, write_documents
    from kormo_plugins.tokenizer.params import TokenizerParams
    from kormo_plugins.tokenizer.training import train

    texts, kind = fresh_text.korean()
    params = TokenizerParams(vocab_size=32_000, shares={}, min_frequency=1)
    train.train(lambda: iter(texts), params, folder / "tokenizer")
    known = sum(len(text.encode()) for text in texts)
    fresh = list(fresh_text.documents(texts, known + size))[len(texts) :]
    write_documents(folder / "part.jsonl.zst", (Document(str(n), text) for n, text in enumerate(fresh)))
    megabytes = sum(len(text.encode()) for text in fresh) / 1e6
    print(f"{megabytes:.1f} MB of fresh text made of {kind}")
    return megabytes


def main() -> None:
    from kormo_plugins.shards.engines import ENGINES

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=8)
    parser.add_argument("--runs", type=int, default=3, help="processes for each engine and way")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return one(*options.one, options.folder)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        megabytes = prepare(folder, round(options.megabytes * 1e6))
        environment = os.environ | {"PYTHONPATH": str(measure.ROOT)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is not compiled at each start
        ids, rates = set(), {}
        for engine in options.engines:
            runs: dict[str, list[dict[str, Any]]] = {"alone": [], "shards": []}
            for way in [*runs] * options.runs:
                command = [sys.executable, __file__, "--one", engine, way, "--folder", str(folder)]
                runs[way].append(json.loads(subprocess.check_output(command, env=environment)))
            seconds = {way: statistics.median(run["seconds"] for run in done) for way, done in runs.items()}
            ids |= {run["ids"] for done in runs.values() for run in done}
            peak = max(run["peak"] for run in runs["shards"])
            rates[engine] = megabytes / seconds["shards"]
            more = seconds["shards"] / seconds["alone"] - 1
            print(
                f"{engine}: alone {megabytes / seconds['alone']:.1f} MB/s, to shards {rates[engine]:.1f} MB/s "
                f"({seconds['alone']:.2f} and {seconds['shards']:.2f} s, {more:+.0%}), peak {peak:.0f} MB",
                flush=True,
            )
        if len(ids) != 1:
            raise SystemExit("the ids differ: the rates mean nothing")
    if {"gigatoken", "tokenizers"} <= rates.keys():
        measure.result("engines", "MB/s/core", rates["gigatoken"], rates["tokenizers"], "tokenizers, to shards")


if __name__ == "__main__":
    main()
