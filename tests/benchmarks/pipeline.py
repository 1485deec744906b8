"""`kormo data build` as a whole, from raw files to a row plan, stage by stage, beside a datatrove pipeline.

    python tests/benchmarks/pipeline.py [--megabytes 10 40] [--form jsonl|zst|parquet] [--workers 1 2] [--no-peer]

Ours is `datasets_recipes/korean_web.yml` with a tokenizer trained on the same text. The peer does the same job with its
own blocks: read, Gopher's repetition and quality filters, C4's, FineWeb's, personal data, MinHash in its four stages,
and tokenizing. It splits words at white space, which is the fastest that it can be given. Its filters see every
document and drop none (`--peer-drops`: they drop, by thresholds that were set for English, two of three Korean
documents, on which nothing more is then spent); its tokenizer is given, ours is trained as well and listed by itself.

Each run is a process of its own on text that no run before has seen (`fresh_text`). Printed are processor seconds of
the process and its workers, megabytes of input per second of them, and the peak of memory; with two sizes also what a
megabyte costs beyond the start, from the difference of the two. With two numbers of workers: the ratio of the times
that a clock shows, and that of the longest ways in processor time, which a busy machine does not change: of the process
that waits (`here`), and of the busiest worker of each pool; without training the tokenizer, which is given.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import fresh_text
import measure

RECIPE = """\
extends: {root}/recipes/pretrain.yml
kormo:
  workspace: {folder}/artifacts
  data: {folder}/data.yml
  tokenizer:
    train: {folder}/tokenizer.yml
output_dir: {folder}/run
sequence_len: 4096
"""
TOKENIZER = "{name: kormo_bpe, vocab_size: 32000, min_frequency: 1, shares: {}, megabytes: 1000}"


def processor() -> float:
    """Processor seconds of this process and of its workers that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def write_input(folder: Path, form: str, texts: Iterator[str]) -> int:
    """Writes the documents as one file of that form; returns the bytes of their text."""
    folder.mkdir()
    rows = [{"id": str(number), "text": text} for number, text in enumerate(texts)]
    if form == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), folder / "crawl.parquet", row_group_size=1000)
    else:
        import zstandard

        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        name = "crawl.jsonl" if form == "jsonl" else "crawl.jsonl.zst"
        (folder / name).write_bytes(data if form == "jsonl" else zstandard.compress(data))
    return sum(len(row["text"].encode()) for row in rows)


def ours(folder: Path, workers: int) -> None:
    """In a process of its own: the build, with a line of JSON for each stage."""
    begin = processor()
    from kormo_plugins.cli.data import artifacts
    from kormo_plugins.console import worker_pool
    from kormo_plugins.pipeline.artifacts import corpora, rows
    from kormo_plugins.store.artifact import build as make

    stages: dict[str, float] = {}
    here: dict[str, float] = {}

    @contextmanager
    def timed(label: str, total: int | None = None, unit: str = "") -> Iterator[Callable[[int], None]]:
        before, own = processor(), time.process_time()
        progress = Silent()
        yield progress
        stages[label], here[label] = processor() - before, time.process_time() - own

    def get(place: Path, spec: Any, write: Callable[[Path], Mapping[str, Any]]) -> Any:
        before, inner, began = processor(), sum(stages.values()), time.perf_counter()
        own, inner_here = time.process_time(), sum(here.values())
        artifact = make(place, spec, write, lambda line: None)
        own = time.process_time() - own - (sum(here.values()) - inner_here)
        rest = processor() - before - (sum(stages.values()) - inner)
        if spec.kind == "tokenizer":
            print(json.dumps({"training": time.perf_counter() - began}))
        label = f"{spec.kind}: all else"
        stages[label], here[label] = stages.get(label, 0.0) + rest, here.get(label, 0.0) + own
        return artifact

    pools: list[list[float]] = []
    shut = worker_pool.Workers.shutdown

    def shutdown(pool: Any, *arguments: Any, **options: Any) -> None:
        if pool._processes:
            pools.append([ticks(pid) for pid in pool._processes])
        shut(pool, *arguments, **options)

    worker_pool.Workers.shutdown = shutdown  # type: ignore[method-assign]
    for module in (corpora, rows):
        module.Progress = timed  # type: ignore[assignment,misc]
    stages["start"] = here["start"] = processor() - begin
    artifacts.provide(folder / "recipe.yml", folder / "artifacts", get, workers)
    for label, spent in stages.items():
        print(json.dumps({"stage": label, "seconds": round(spent, 3), "here": round(here[label], 3)}))
    own = time.process_time() - stages.get("tokenizer: all else", 0.0)
    for pool in pools:
        print(f"  workers   {', '.join(f'{spent:.2f} s' for spent in pool)}", file=sys.stderr)
    print(json.dumps({"longest": own + sum(map(max, pools)), "main": own}))


def ticks(pid: int) -> float:
    """Processor seconds of a process that is there."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Silent:
    """Counts, and shows nothing."""

    done = 0

    def __call__(self, amount: int = 1) -> None:
        self.done += amount


def peer(folder: Path, drops: bool) -> None:
    """In a process of its own: datatrove on the same files."""
    from datatrove.pipeline import filters
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
        minhash,
    )
    from datatrove.pipeline.formatters import PIIFormatter
    from datatrove.pipeline.readers import JsonlReader, ParquetReader
    from datatrove.pipeline.tokens import DocumentTokenizer
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils import word_tokenizers
    from loguru import logger

    logger.remove()

    class WhiteSpace(word_tokenizers.WordTokenizer):
        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            return text.split("\n")

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return list(word_tokenizers.simple_span_tokenize(text, self.sent_tokenize(text)))

    for module in (minhash, word_tokenizers):
        module.load_word_tokenizer = lambda language: WhiteSpace()
    out, tokenizer = folder / "peer", next((folder / "artifacts").glob("tokenizer-*/tokenizer.json"))

    def run(label: str, *blocks: Any, ranks: int = 1) -> None:
        before, number = processor(), 0
        for rank in range(ranks):
            data: Any = None
            for block in blocks:
                data = block(data, rank, ranks)
            number += sum(1 for _ in data or ())
        label += f" ({number} documents)" if number else ""
        print(json.dumps({"stage": label, "seconds": round(processor() - before, 3)}))

    packed = list((folder / "input").glob("*.parquet"))
    read = (ParquetReader if packed else JsonlReader)(str(folder / "input"))
    quality = [
        filters.GopherRepetitionFilter(),
        filters.GopherQualityFilter(min_stop_words=0, min_avg_word_length=1, max_avg_word_length=100),
        filters.C4QualityFilter(filter_no_terminal_punct=False, min_num_sentences=0),
        filters.FineWebQualityFilter(line_punct_thr=0, new_line_ratio=1),
    ]
    for one in quality if not drops else ():
        one.filter_batch = partial(_judged, one.filter)
    run("read, filters, write", read, *quality, PIIFormatter(), JsonlWriter(str(out / "clean")))
    clean = JsonlReader(str(out / "clean"))
    run("minhash: sign", clean, MinhashDedupSignature(str(out / "signatures")))
    run("minhash: meet", MinhashDedupBuckets(str(out / "signatures"), str(out / "buckets")), ranks=14)
    run("minhash: cluster", MinhashDedupCluster(str(out / "buckets"), str(out / "remove")))
    run("minhash: filter, write", clean, MinhashDedupFilter(str(out / "remove")), JsonlWriter(str(out / "kept")))
    kept = JsonlReader(str(out / "kept"))
    tokens = DocumentTokenizer(str(out / "tokens"), str(tokenizer), eos_token="<|EOS|>", shuffle_documents=False)
    run("tokenize", kept, tokens)


def _judged(judge: Callable[[Any], object], batch: list[Any]) -> list[bool]:
    """Every document of the batch stays, whatever the filter says of it."""
    for document in batch:
        judge(document)
    return [True] * len(batch)


def child(arguments: list[str], label: str, megabytes: float) -> tuple[float, dict[str, float], float, float]:
    """Runs this file for one side; prints its stages; returns processor seconds in all, by stage, seconds by the clock
    (without training the tokenizer), and processor seconds of the longest way."""
    environment = os.environ | {"PYTHONPATH": str(measure.ROOT), "TOKENIZERS_PARALLELISM": "false"}
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    lines = [json.loads(line) for line in process.stdout.read().splitlines() if line.startswith(b"{")]
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{label} ended with {status}: run `{' '.join([__file__, *arguments])}`")
    spent, clock = usage.ru_utime + usage.ru_stime, time.perf_counter() - began
    clock -= sum(line.get("training", 0.0) for line in lines)
    longest = sum(line.get("longest", 0.0) for line in lines)
    for line in lines:
        if "stage" in line:
            here = f", {line['here']:.2f} s here" if "here" in line else ""
            print(f"  {label:9} {line['stage'][:60]:60} {line['seconds']:8.2f} s{here}")
    print(
        f"  {label:9} whole: {spent:.2f} s of processor, {megabytes / spent:.2f} MB/s, "
        f"{clock:.1f} s, peak {usage.ru_maxrss / 1024:.0f} MB"
    )
    if longest:
        print(f"  {label:9} longest way: {longest:.2f} s of processor, by the clock {clock:.1f} s, tokenizer given")
    return spent, {line["stage"]: line["seconds"] for line in lines if "stage" in line}, clock, longest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, nargs="+", default=[10, 40])
    parser.add_argument("--form", choices=("jsonl", "zst", "parquet"), default="jsonl")
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--peer-drops", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder that is kept, for a look at what was built")
    parser.add_argument("--child", choices=("ours", "peer"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return (
            ours(options.folder, options.workers[0])
            if options.child == "ours"
            else peer(options.folder, options.peer_drops)
        )
    texts, kind = fresh_text.korean()
    sizes: list[tuple[float, float]] = []
    peer_sizes: list[tuple[float, float]] = []
    clocks: dict[int, float] = {}
    longest: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for number, megabytes in enumerate(options.megabytes):
            folder = (options.keep or Path(temporary)) / f"{number}-{megabytes:g}"
            folder.mkdir(parents=True)
            made = fresh_text.documents(texts, round(megabytes * 1e6), options.seed + number)
            size = write_input(folder / "input", options.form, made) / 1e6
            text = (measure.ROOT / "datasets_recipes/korean_web.yml").read_text(encoding="utf-8")
            (folder / "data.yml").write_text(text.replace("${KORMO_DATA}", f"{folder}/input"), encoding="utf-8")
            (folder / "tokenizer.yml").write_text(TOKENIZER, encoding="utf-8")
            recipe = RECIPE.format(root=measure.ROOT, folder=folder)
            (folder / "recipe.yml").write_text(recipe, encoding="utf-8")
            for workers in options.workers:
                print(f"{size:.1f} MB of text, {options.form}, {workers} workers ({kind})")
                shutil.rmtree(folder / "artifacts", ignore_errors=True)
                arguments = ["--folder", str(folder), "--workers", str(workers)]
                spent, stages, clocks[workers], longest[workers] = child([*arguments, "--child", "ours"], "ours", size)
                training = stages.get("tokenizer: all else", 0.0)
                print(f"  ours      without training the tokenizer: {size / (spent - training):.2f} MB/s")
            if len(clocks) > 1:
                few, many = min(clocks), max(clocks)
                print(
                    f"  ours      {many} workers for {few}: {clocks[few] / clocks[many]:.2f} times by the clock "
                    f"(load {os.getloadavg()[0]:.1f}); {longest[few] / longest[many]:.2f} by the longest way"
                )
            sizes.append((size, spent - training))
            if not options.no_peer:
                more = ["--peer-drops"] if options.peer_drops else []
                peers, *_ = child([*arguments, "--child", "peer", *more], "datatrove", size)
                peer_sizes.append((size, peers))
                measure.result(
                    "pipeline", "MB/s of processor", size / (spent - training), size / peers, "datatrove, white space"
                )
    if len(sizes) > 1:
        ours_beyond = beyond(sizes)
        print(f"  ours      beyond the start: {ours_beyond:.2f} MB/s")
        if peer_sizes:
            measure.result(
                "pipeline beyond the start", "MB/s", ours_beyond, beyond(peer_sizes), "datatrove, white space"
            )


def beyond(sizes: list[tuple[float, float]]) -> float:
    """Megabytes per second beyond the start, from the smallest and the largest of (megabytes, seconds)."""
    (small, quick), (large, slow) = min(sizes), max(sizes)
    return (large - small) / (slow - quick)


if __name__ == "__main__":
    main()
