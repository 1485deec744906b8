"""`kormo data build` as a whole, from raw files to a row plan, stage by stage, beside a datatrove pipeline.

    python tests/benchmarks/pipeline.py [--megabytes 10 40] [--form jsonl|zst|parquet] [--workers 1 2] [--repeat 3]
        [--no-peer]

Ours is `datasets_recipes/korean_web.yml`, with a tokenizer that a build before has trained on the same text (listed by
itself) and left compiled kernels. The peer does the same job with its own blocks: read, Gopher's repetition and quality
filters, C4's, FineWeb's, personal data, MinHash in its four stages, and tokenizing. It splits words at white space,
which is the fastest that it can be given. Its filters see every document and drop none (`--peer-drops`: they drop, by
thresholds that were set for English, two of three Korean documents, on which nothing more is then spent). Its tokenizer
is ours.

Each run is a process of its own, from its start to its end; the text (`fresh_text`) is of no other size. Printed are
processor seconds of the process and its workers, megabytes of input per second of them, and the peak of memory; with
two sizes also what a megabyte costs beyond the start, from the difference of the two. With two numbers of workers, in
turns: the ratio of the times that a clock shows, and that of the longest ways in processor time, which a busy machine
changes less: of the process that waits (`here`), and of the busiest worker of each pool, on as many cores as workers.
Beside them stands what plain loops in as many processes reach on this machine at that time. With `--repeat` all figures
are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fresh_text
import measure
from pipeline_peer import peer, processor

RECIPE = """\
extends: {root}/recipes/pretrain.yml
kormo:
  workspace: {folder}/artifacts
  data: {folder}/data.yml
  tokenizer: {tokenizer}
output_dir: {folder}/run
sequence_len: 4096
"""
TRAINED = "{train: {name: kormo_bpe, vocab_size: 32000, min_frequency: 1, shares: {}, megabytes: 1000}}"
GIVEN = "{{train: null, path: {folder}/tokenizer}}"


def input_of(folder: Path, megabytes: float, seed: int, form: str) -> None:
    """In a process of its own: writes the input; prints its MB of text, and what it was made of."""
    texts, kind = fresh_text.korean()
    size = write_input(folder / "input", form, fresh_text.documents(texts, round(megabytes * 1e6), seed))
    print(json.dumps([size / 1e6, kind]))


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
    from kormo_plugins.console.collector import spare_collections

    spare_collections()  # as `kormo` does
    from kormo_plugins.cli.data import artifacts
    from kormo_plugins.console import worker_pool
    from kormo_plugins.pipeline import build as pipeline
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
            print(json.dumps({"training": time.perf_counter() - began, "tokenizer": str(artifact.path)}))
        label = f"{spec.kind}: all else"
        stages[label], here[label] = stages.get(label, 0.0) + rest, here.get(label, 0.0) + own
        return artifact

    meanwhile = [0.0]
    prepare = pipeline._prepare

    def prepared(plan: Any) -> None:
        before = time.process_time()
        prepare(plan)
        meanwhile[0] += time.process_time() - before

    pipeline._prepare = prepared
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
    own = time.process_time() - meanwhile[0]
    for pool in pools:
        print(f"  workers   {', '.join(f'{spent:.2f} s' for spent in pool)}", file=sys.stderr)
    print(f"  here      {own:.2f} s, and {meanwhile[0]:.2f} s while workers clean", file=sys.stderr)
    while_first = [max(max(pool), (sum(pool) + meanwhile[0]) / len(pool)) for pool in pools[:1]]
    print(json.dumps({"longest": own + sum(while_first) + sum(map(max, pools[1:]))}))


def ticks(pid: int) -> float:
    """Processor seconds of a process that is there."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Silent:
    """Counts, and shows nothing."""

    done = 0

    def __call__(self, amount: int = 1) -> None:
        self.done += amount


@dataclass
class Run:
    """One build: processor seconds, seconds by the clock, processor seconds of the longest way; and what it said."""

    spent: float
    clock: float
    longest: float
    lines: list[dict[str, Any]]


def child(arguments: list[str], label: str, megabytes: float, *, stages: bool = True) -> Run:
    """Runs this file for one side, and prints its stages and what it took."""
    environment = os.environ | {"PYTHONPATH": str(measure.ROOT), "TOKENIZERS_PARALLELISM": "false"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package is not compiled at each start
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    lines = [json.loads(line) for line in process.stdout.read().splitlines() if line.startswith(b"{")]
    _, status, usage = os.wait4(process.pid, 0)
    clock = time.perf_counter() - began
    if status:
        raise SystemExit(f"{label} ended with {status}: run `{' '.join([__file__, *arguments])}`")
    run = Run(usage.ru_utime + usage.ru_stime, clock, sum(line.get("longest", 0.0) for line in lines), lines)
    for line in lines if stages else ():
        if "stage" in line:
            here = f", {line['here']:.2f} s here" if "here" in line else ""
            print(f"  {label:9} {line['stage'][:60]:60} {line['seconds']:8.2f} s{here}")
    longest = f", longest way {run.longest:.2f} s of processor" if run.longest else ""
    print(
        f"  {label:9} whole: {run.spent:.2f} s of processor, {megabytes / run.spent:.2f} MB/s, by the clock "
        f"{clock:.2f} s{longest}, peak {usage.ru_maxrss / 1024:.0f} MB",
        flush=True,
    )
    return run


def prepare(folder: Path, megabytes: float, seed: int, options: argparse.Namespace) -> float:
    """Input and recipe in a new folder, and a tokenizer, which a first build trains; returns the MB of text."""
    made = folder / "made.json"
    asked = {"megabytes": megabytes, "seed": seed, "form": options.form}
    if made.exists() and (known := json.loads(made.read_text(encoding="utf-8")))["asked"] == asked:
        return float(known["size"])
    folder.mkdir(parents=True)
    asked_of_child = ["--megabytes", str(megabytes), "--seed", str(seed), "--form", options.form]
    command = [sys.executable, __file__, "--child", "input", "--folder", str(folder), *asked_of_child]
    size, kind = json.loads(subprocess.check_output(command))  # its memory would count for processes started from here
    text = (measure.ROOT / "datasets_recipes/korean_web.yml").read_text(encoding="utf-8")
    (folder / "data.yml").write_text(text.replace("${KORMO_DATA}", f"{folder}/input"), encoding="utf-8")
    print(f"{size:.1f} MB of text, {options.form} ({kind})")
    recipe(folder, TRAINED)
    arguments = ["--child", "ours", "--folder", str(folder), "--workers", str(max(options.workers))]
    training = next(line for line in child(arguments, "before", size, stages=False).lines if "tokenizer" in line)
    print(f"  before    training the tokenizer: {training['training']:.2f} s by the clock")
    shutil.move(training["tokenizer"], folder / "tokenizer")
    recipe(folder, GIVEN.format(folder=folder))
    made.write_text(json.dumps({"asked": asked, "size": size}), encoding="utf-8")
    return size


def recipe(folder: Path, tokenizer: str) -> None:
    """Writes the recipe of the training that the data is for."""
    text = RECIPE.format(root=measure.ROOT, folder=folder, tokenizer=tokenizer)
    (folder / "recipe.yml").write_text(text, encoding="utf-8")


def rounds(folder: Path, size: float, options: argparse.Namespace) -> float:
    """The builds, numbers of workers in turns; returns the median of the processor seconds with the last of them."""
    runs: dict[int, list[Run]] = {workers: [] for workers in options.workers}
    few, many = min(runs), max(runs)
    ceilings = []
    for turn in range(options.repeat):
        for workers, done in runs.items():
            print(f"{size:.1f} MB of text, {options.form}, {workers} workers")
            shutil.rmtree(folder / "artifacts", ignore_errors=True)
            arguments = ["--child", "ours", "--folder", str(folder), "--workers", str(workers)]
            done.append(child(arguments, "ours", size, stages=turn == 0))
        if few != many:
            ceilings.append(measure.ceiling(few, many))
    clock, longest, spent = (
        {workers: statistics.median(getattr(run, key) for run in done) for workers, done in runs.items()}
        for key in ("clock", "longest", "spent")
    )
    if few != many:
        print(
            f"  ours      {many} workers for {few}, medians of {options.repeat}: by the clock {clock[few]:.2f} and "
            f"{clock[many]:.2f} s, {clock[few] / clock[many]:.2f} times; by the longest way {longest[few]:.2f} and "
            f"{longest[many]:.2f} s, {longest[few] / longest[many]:.2f} times; plain loops "
            f"{statistics.median(ceilings):.2f} times (load {os.getloadavg()[0]:.1f})"
        )
    return spent[options.workers[-1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, nargs="+", default=[10, 40])
    parser.add_argument("--form", choices=("jsonl", "zst", "parquet"), default="jsonl")
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--repeat", type=int, default=1, help="builds with each number of workers")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--peer-drops", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder that is kept; input and tokenizer in it are used again")
    parser.add_argument("--child", choices=("input", "ours", "peer"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child == "ours":
        return ours(options.folder, options.workers[0])
    if options.child == "input":
        return input_of(options.folder, options.megabytes[0], options.seed, options.form)
    if options.child == "peer":
        return peer(options.folder, options.peer_drops)
    sizes: list[tuple[float, float]] = []
    peer_sizes: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as temporary:
        for number, megabytes in enumerate(options.megabytes):
            folder = (options.keep or Path(temporary)).absolute() / f"{number}-{megabytes:g}"
            size = prepare(folder, megabytes, options.seed + number, options)
            spent = rounds(folder, size, options)
            sizes.append((size, spent))
            if not options.no_peer:
                more = ["--peer-drops"] if options.peer_drops else []
                shutil.rmtree(folder / "peer", ignore_errors=True)
                peers = child(["--folder", str(folder), "--child", "peer", *more], "datatrove", size).spent
                peer_sizes.append((size, peers))
                measure.result("pipeline", "MB/s of processor", size / spent, size / peers, "datatrove, white space")
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
