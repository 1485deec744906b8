"""Learning a byte-level BPE of 32,000 entries: our ways (proof included) beside the tokenizers library's.

Ours are gigabpe, with all distinct pieces in memory, and `disk`, for pieces that do not fit there.

Each is a process of its own on the same text, some of which no process has seen before (`fresh_text`), written to a
file first and read from it line by line, so that neither has the text in memory. The merges must be equal. Printed are
processor seconds, start and compiled kernels included, and the peak of memory.

    python tests/benchmarks/bpe.py [--megabytes 12] [--ours-only] [--table 1000]        needs the extra `fast`
    python tests/benchmarks/bpe.py --stream 5000 [--coined 0.15] [--memory 4]

With `--stream` the text is on no disk: a second process makes it while ours learns from it, of lines in another order,
some with a word more (`--coined`) that is put together from the halves of two: a crawl never runs out of new words.
Every gigabyte is printed with memory, distinct pieces and runs on disk, and the slope of memory at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fresh_text
import measure


def read(path: Path) -> Iterator[str]:
    """The texts of a file, one JSON string a line."""
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def make(megabytes: float, coined: float) -> None:
    """In a process of its own: writes fresh text to stdout, a JSON string a line."""
    dice, pick = random.Random(1), random.Random(2).random
    texts, _ = fresh_text.korean()
    words = sorted({word for text in texts for word in text.split() if len(word) > 1})
    lines = [line for text in texts for line in text.split("\n") if line.strip()]
    size = 0
    while size < megabytes * 1e6:
        chosen = [lines[int(pick() * len(lines))] for _ in range(60)]
        for number in range(len(chosen)):
            if pick() < coined:
                left, right = dice.choice(words), dice.choice(words)
                chosen[number] += f" {left[: (len(left) + 1) // 2]}{right[len(right) // 2 :]}"
        text = "\n".join(chosen)
        size += len(text.encode())
        sys.stdout.write(json.dumps(text, ensure_ascii=False) + "\n")


def made_text(megabytes: float, coined: float) -> Iterator[str]:
    """The texts that `make` writes; its process ends with the iterator."""
    command = [sys.executable, __file__, "--make", "--megabytes", str(megabytes), "--coined", str(coined)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(measure.ROOT)}
    ) as process:
        assert process.stdout is not None
        try:
            yield from map(json.loads, process.stdout)
        finally:
            process.kill()


def resident() -> tuple[float, float]:
    """Megabytes of memory that this process has, and the most that it has had."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    found = {line.split(":")[0]: float(line.split()[1]) / 1e3 for line in lines if line.startswith("Vm")}
    return found["VmRSS"], found["VmHWM"]


def stream(options: argparse.Namespace) -> None:
    """Learns from text that is made on the way; prints what memory does."""
    from kormo_plugins.errors import KormoError
    from kormo_plugins.tokenizer.params import TokenizerParams
    from kormo_plugins.tokenizer.training import merges, piece_counts, train
    from kormo_plugins.tokenizer.training.external import learn

    marks: list[tuple[float, float]] = []
    counting: list[piece_counts.PieceCounts] = []
    begin = piece_counts.PieceCounts.__init__

    def begun(counts: piece_counts.PieceCounts, *arguments: object) -> None:
        counting.append(counts)
        begin(counts, *arguments)  # type: ignore[arg-type]

    def watched() -> Iterator[str]:
        size, wanted = 0, 1e9
        for text in made_text(options.stream, options.coined):
            yield text
            size += len(text.encode())
            if size >= wanted:
                wanted += 1e9
                tell(size)

    def tell(size: float) -> None:
        now, peak = resident()
        marks.append((size / 1e6, peak))
        print(
            f"{size / 1e9:.1f} GB: {now:.0f} MB of memory, at most {peak:.0f}; {counting[-1]._used[0]:,} pieces in the "
            f"table, {len(counting[-1].runs)} runs on disk; {time.process_time():.0f} s of processor",
            flush=True,
        )

    def advanced(learner: learn.Learner, *arguments: Any) -> Any:
        began = time.process_time()
        result = advance(learner, *arguments)
        if learner.passes % 50 == 1 and learner._pieces.symbols > 1e6:
            print(
                f"pass {learner.passes}: {len(learner._texts) - 256:,} merges, {learner._pieces.pieces:,} pieces of "
                f"{learner._pieces.symbols:,} symbols, {int(learner._table.used[0]):,} pairs; the pass "
                f"{time.process_time() - began:.2f} s, {time.process_time():.0f} s of processor, "
                f"at most {resident()[1]:.0f} MB",
                flush=True,
            )
        return result

    advance = learn.Learner._advance
    learn.Learner._advance = advanced  # type: ignore[method-assign]
    piece_counts.PieceCounts.__init__ = begun  # type: ignore[method-assign]
    merges.TABLE_MEMORY = options.table * 1e6
    params = TokenizerParams(vocab_size=32_000, shares={}, min_frequency=1, memory_gigabytes=options.memory)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            _, trainer = train._learn(watched, params, Path(scratch))
            print(f"learned: {trainer}")
        except KormoError as error:
            print(error)
    print(f"after learning: at most {resident()[1]:.0f} MB, {time.process_time():.0f} s of processor")
    if len(marks) > 1:
        slope = (marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0])
        print(json.dumps({"name": "bpe, counting", "unit": "MB of memory a MB of text", "slope": round(slope, 4)}))


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
        if way != "tokenizers":
            if way == "disk":
                merges.gigabpe_memory = lambda pieces, size: float("inf")
            tokenizer, trainer = train._learn(lambda: read(path), params, Path(scratch))
            wanted = {"ours": "gigabpe", "disk": "kormo-plugins"}[way]
            assert str(trainer["trainer"]).startswith(wanted), trainer
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
    parser.add_argument("--stream", type=float, help="megabytes of text that is made on the way")
    parser.add_argument("--coined", type=float, default=0.15, help="share of the lines with a word that is new")
    parser.add_argument("--memory", type=float, default=4, help="memory_gigabytes of the streamed run")
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=("ours", "disk", "tokenizers"), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        return one(options.way, options.file, options.table)
    if options.make:
        return make(options.megabytes, options.coined)
    if options.stream:
        return stream(options)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.jsonl"
        texts, kind = fresh_text.korean()
        with path.open("w", encoding="utf-8") as file:
            for text in fresh_text.documents(texts, round(options.megabytes * 1e6)):
                file.write(json.dumps(text, ensure_ascii=False) + "\n")
        print(f"{options.megabytes:g} MB of text made of {kind}")
        for way in ("ours", "disk") if options.ours_only else ("ours", "disk", "tokenizers"):
            command = [sys.executable, __file__, "--way", way, "--file", str(path), "--table", str(options.table)]
            environment = os.environ | {"PYTHONPATH": str(measure.ROOT)}
            found[way] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout)
            told = f"{found[way]['seconds']:.2f} s of processor, peak memory {found[way]['memory']:.0f} MB"
            print(f"{way}: {told}, {found[way]['runs']} runs on disk")
    if len({way["merges"] for way in found.values()}) > 1:
        raise SystemExit("the merges differ: the seconds mean nothing")
    if not options.ours_only:
        for name, way in (("bpe", "ours"), ("bpe, pieces on disk", "disk")):
            ours, peer = found[way]["seconds"], found["tokenizers"]["seconds"]
            measure.result(name, "s of processor", ours, peer, "tokenizers BpeTrainer", lower=True)


if __name__ == "__main__":
    main()
