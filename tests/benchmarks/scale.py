"""A real row plan for a billion documents, on disk, over id files of trillions of tokens that take no space.

    python tests/benchmarks/scale.py [--documents 1e9] [--sources 20] [--folder DIR]

Document offsets are real (8 bytes each); the ids are sparse files of the right size, so nothing but the
plan's own reading and writing is measured. Prints the time to build, the peak of memory that is not page
cache (RssAnon), the time to open the mixture, and the time of `sample(i)` and of a whole row for random i of
the run.

Before it is opened, and again before the rows, all that lies in the page cache of its files is dropped. A cold
sample then waits for the disk, so the disk is measured too, on the same files in the same state: single reads
of 4,096 bytes at random places, one after the other. `pages` is how many such pages a sample reads, and `_cpu_`
is processor time: what a busy machine does to the wall time is in neither.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import measure
import numpy as np

ROW, BATCH, MEAN, SAMPLES = 4096, 2048, 3000.0, 2000


def anonymous() -> float:
    """Memory of this process that is not backed by a file, in GB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1e6


def sparse_source(folder: Path, documents: int, seed: int) -> None:
    """One shard of `documents` documents with lognormal lengths, mean 3,000 tokens; ids and names are
    holes."""
    from kormo_plugins.shards.format import IDS, INDEX_EVERY, NAME_OFFSETS, NAMES, OFFSET_INDEX, OFFSETS
    from kormo_plugins.shards.writer import finish_source

    folder.mkdir(parents=True)
    rng, total, name = np.random.default_rng(seed), 0, "shard-00000"
    with (folder / (name + OFFSETS)).open("wb") as file, (folder / (name + OFFSET_INDEX)).open("wb") as index:
        file.write(np.zeros(1, "<i8").tobytes())
        index.write(np.zeros(1, "<i8").tobytes())
        for begin in range(0, documents, 1 << 20):
            count = min(1 << 20, documents - begin)
            lengths = rng.lognormal(np.log(MEAN) - 0.72, 1.2, count).astype(np.int64).clip(1, 1_000_000)
            ends = total + np.cumsum(lengths)
            file.write(ends.tobytes())
            index.write(ends[INDEX_EVERY - 1 :: INDEX_EVERY].tobytes())
            total = int(ends[-1])
    sizes = {IDS: 4 * total, OFFSETS: 8 * (documents + 1), NAMES: 0, NAME_OFFSETS: 8 * (documents + 1)}
    sizes[OFFSET_INDEX] = 8 * (documents // INDEX_EVERY + 1)
    for suffix in (IDS, NAMES, NAME_OFFSETS):
        with (folder / (name + suffix)).open("wb") as file:
            file.truncate(sizes[suffix])
    files = {name + suffix: {"bytes": size, "xxh3_128": f"{seed:032x}"} for suffix, size in sizes.items()}
    record = {"name": name, "documents": documents, "tokens": total, "dtype": "<u4", "files": files}
    finish_source(folder, folder.name, [record], {"tokenizer": "benchmark"})


def forget(root: Path) -> None:
    """Drops the page cache of every file below `root`, so that the next read of each page is the disk's."""
    for path in root.rglob("*.bin"):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def disk(root: Path, count: int) -> list[float]:
    """Seconds of each of `count` reads of 4,096 bytes at random places of the files of the row plans."""
    files = [os.open(path, os.O_RDONLY) for path in sorted(root.glob("rows/*/segments.start.bin"))]
    pages = [os.fstat(descriptor).st_size // 4096 for descriptor in files]
    rng, times = np.random.default_rng(2), []
    for descriptor in files:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
    for number in rng.integers(0, len(files), count).tolist():
        place = 4096 * int(rng.integers(pages[number]))
        begin = time.perf_counter()
        os.pread(files[number], 4096, place)
        times.append(time.perf_counter() - begin)
    for descriptor in files:
        os.close(descriptor)
    return times


def read_bytes() -> int:
    """Bytes that this process has had read from disks."""
    line = next(li for li in Path("/proc/self/io").read_text(encoding="utf-8").splitlines() if li.startswith("read_b"))
    return int(line.split()[1])


def each(what: Callable[[int], object], indices: list[int]) -> tuple[list[float], list[float]]:
    """Seconds of `what(i)` for each index: wall time and processor time."""
    wall, processor = [], []
    for index in indices:
        begin = time.perf_counter(), time.thread_time()
        what(index)
        processor.append(time.thread_time() - begin[1])
        wall.append(time.perf_counter() - begin[0])
    return wall, processor


def spread(name: str, wall: list[float], processor: list[float] | None = None) -> dict[str, float]:
    """Median and 99th percentile, in milliseconds."""
    found = {}
    for kind, seconds in (("", wall), ("_cpu", processor or [])):
        if seconds:
            median, last = 1e3 * np.quantile(seconds, [0.5, 0.99])
            found |= {f"{name}{kind}_ms": round(float(median), 3), f"{name}{kind}_ms_p99": round(float(last), 3)}
    return found


def run(root: Path, documents: int, sources: int) -> dict[str, float]:
    """Builds, opens and samples; the numbers."""
    from kormo_plugins.mixture.dataset import open_mixture
    from kormo_plugins.mixture.params import MixtureRecipe
    from kormo_plugins.mixture.row_plans.rows import build_rows

    shards = {f"s{n:02d}": root / "shards" / f"s{n:02d}" for n in range(sources)}
    rows = {name: root / "rows" / name for name in shards}
    for number, path in enumerate(shards.values()):
        if not (path / "shards.json").exists():
            sparse_source(path, documents // sources, number)
    stats, peak, begin = [], [anonymous()], time.perf_counter()
    for name, path in shards.items():
        if (rows[name] / "rows.json").exists():
            stats.append(json.loads((rows[name] / "rows.json").read_text()))
            continue
        stats.append(
            build_rows(path, ROW, "best_fit", None, rows[name], progress=lambda done, total: peak.append(anonymous()))
        )
    built = time.perf_counter() - begin
    tokens, count = sum(s["tokens"] for s in stats), sum(s["rows"] for s in stats)
    assert tokens == sum(s["tokens_placed"] for s in stats)
    forget(root)
    floor = disk(root, SAMPLES)
    forget(root)
    steps, begin = count // BATCH, time.perf_counter()
    data = open_mixture(
        rows, shards, MixtureRecipe(), seed=0, row_length=ROW, steps=steps, global_batch=BATCH, pad_id=0
    )
    opened = time.perf_counter() - begin
    print(f"{tokens:,} tokens in {count:,} rows ({steps:,} steps), fill {tokens / count / ROW:.5%}")
    first = each(data.sample, [len(data) - 1])[0][0]  # goes through the schedule once, to the end of the run
    data.__getitems__([0])  # compiles
    rng = np.random.default_rng(1)
    some, others = rng.integers(0, len(data), (2, SAMPLES)).tolist()
    before = read_bytes()
    cold = each(data.sample, some)
    pages = (read_bytes() - before) / SAMPLES / 4096
    return {
        "documents": documents,
        "tokens": tokens,
        "build_s": round(built, 1),
        "documents_per_s": round(documents / built),
        "peak_gb": round(max(peak), 3),
        "open_s": round(opened, 3),
        "first_sample_s": round(first, 3),
        "pages": round(pages, 1),
        **spread("disk_read", floor),
        **spread("cold_sample", *cold),
        **spread("warm_sample", *each(data.sample, some)),
        **spread("cold_row", *each(lambda index: data.__getitems__([index]), others)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=float, default=1e9)
    parser.add_argument("--sources", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="kept afterwards, and used if built; a temporary one by default")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        print(
            json.dumps(
                {
                    "name": "scale",
                    **run(options.folder or Path(folder), int(options.documents), options.sources),
                }
            )
        )


assert measure.ROOT

if __name__ == "__main__":
    main()
