"""Learning a byte-level BPE of 32,000 entries: our way (gigabpe, proof included) beside the tokenizers library's.

Each is a process of its own on the same text, some of which no process has seen before (`fresh_text`), written to a
file first and read from it line by line, so that neither has the text in memory. The merges must be equal. Printed are
processor seconds, start and compiled kernels included, and the peak of memory.

    python tests/benchmarks/bpe.py [--megabytes 12] [--ours-only] [--table 1000]        needs the extra `fast`
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import fresh_text
import measure


def read(path: Path) -> Iterator[str]:
    """The texts of a file, one JSON string a line."""
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def one(way: str, path: Path, table: float) -> None:
    """In a process of its own: prints seconds, memory, a hash of the merges and how many runs went to disk."""
    from kormo_plugins.tokenizer.params import TokenizerParams
    from kormo_plugins.tokenizer.training import merges, piece_counts, train

    params = TokenizerParams(vocab_size=32_000, shares={}, min_frequency=1)
    made: list[piece_counts.PieceCounts] = []
    count = merges._count

    def counted(*arguments: object) -> piece_counts.PieceCounts:
        made.append(count(*arguments))  # type: ignore[arg-type]
        return made[-1]

    merges._count = counted  # type: ignore[assignment]
    merges.TABLE_MEMORY = table * 1e6
    with tempfile.TemporaryDirectory() as scratch:
        if way == "ours":
            tokenizer, trainer = train._learn(lambda: read(path), params, Path(scratch))
            assert str(trainer["trainer"]).startswith("gigabpe"), trainer
        else:
            tokenizer = train._by_tokenizers(read(path), params, params.vocab_size)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    learned = hashlib.sha256(json.dumps(train._read_merges(tokenizer)).encode()).hexdigest()
    runs = len(made[-1].runs) if made else 0
    print(json.dumps({"seconds": time.process_time(), "memory": peak, "merges": learned, "runs": runs}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=12)
    parser.add_argument("--ours-only", action="store_true", help="leave the library out: it needs 16 bytes a byte")
    parser.add_argument("--table", type=float, default=1000, help="megabytes of pieces counted before they go to disk")
    parser.add_argument("--way", choices=("ours", "tokenizers"), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        return one(options.way, options.file, options.table)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.jsonl"
        texts, kind = fresh_text.korean()
        with path.open("w", encoding="utf-8") as file:
            for text in fresh_text.documents(texts, round(options.megabytes * 1e6)):
                file.write(json.dumps(text, ensure_ascii=False) + "\n")
        print(f"{options.megabytes:g} MB of text made of {kind}")
        for way in ("ours",) if options.ours_only else ("ours", "tokenizers"):
            command = [sys.executable, __file__, "--way", way, "--file", str(path), "--table", str(options.table)]
            environment = os.environ | {"PYTHONPATH": str(measure.ROOT)}
            found[way] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout)
            told = f"{found[way]['seconds']:.2f} s of processor, peak memory {found[way]['memory']:.0f} MB"
            print(f"{way}: {told}" + (f", {found[way]['runs']} runs on disk" if way == "ours" else ""))
    if options.ours_only:
        return
    if found["ours"]["merges"] != found["tokenizers"]["merges"]:
        raise SystemExit("the merges differ: the seconds mean nothing")
    ours, peer = found["ours"]["seconds"], found["tokenizers"]["seconds"]
    measure.result("bpe", "s of processor", ours, peer, "tokenizers BpeTrainer", lower=True)


if __name__ == "__main__":
    main()
