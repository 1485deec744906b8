"""What the search for near duplicates takes for many documents: memory, disk and processor time for each of them.

    python tests/benchmarks/dedup_scale.py [--documents 250000 1000000] [--seed 1]

Signatures are made up (a tenth of the documents copies an earlier one with one place in ten changed), since signing is
done part by part and is measured by `dedup.py`; the decision needs all of them. Each size is a process of its own, with
its signatures in a mapped file as in a build. Printed for each: seconds of processor, the most memory behind which no
file stands, the bytes of files, and the duplicates found of those that were planted; then what a document takes from
one size to the other, and a billion of them at that rate. Sorting takes longer for each the more there are; the figure
for a billion allows for it (n log n).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import measure
import numpy as np

BILLION = 1_000_000_000
BLOCK = 1 << 14


def made_up(path: Path, documents: int, width: int, seed: int) -> int:
    """Writes the signatures; returns how many are copies."""
    dice = np.random.default_rng(seed)
    header = {"descr": "<u4", "fortran_order": False, "shape": (documents, width)}
    copies = 0
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, documents, BLOCK):
            block = dice.integers(0, 1 << 32, (min(BLOCK, documents - start), width), dtype=np.uint32)
            block[:, -2:] = (0, 300)  # no numbers, 300 words
            for row in range(1, len(block), 10):
                changed = dice.random(width) < 0.1
                changed[-2:] = False
                block[row] = np.where(changed, block[row], block[row - 1])
                copies += 1
            file.write(block.tobytes())
    return copies


def child(folder: Path, documents: int, seed: int) -> None:
    """Finds the duplicates in a process of its own, and prints what that took."""
    from kormo_plugins.corpus.steps.duplicates.minhash import MinhashDedup, MinhashDedupParams

    step = MinhashDedup(MinhashDedupParams())
    path = folder / "signatures.npy"
    copies = made_up(path, documents, step.params.bands * step.params.rows + 26, seed)
    step.decide(np.load(path, mmap_mode="r")[:1000])  # compiled, or read from the cache
    most, over = [anonymous()], threading.Event()
    start = most[0]

    def watch() -> None:
        """The most memory, and the most bytes in the folder."""
        while not over.wait(0.02):
            most[0] = max(most[0], anonymous())
            disk[0] = max(disk[0], path.stat().st_size + unnamed())

    disk = [0]
    watcher = threading.Thread(target=watch)
    watcher.start()
    began, clock = time.process_time(), time.perf_counter()
    decisions, _ = step.decide(np.load(path, mmap_mode="r"))
    spent, clock = time.process_time() - began, time.perf_counter() - clock
    over.set()
    watcher.join()
    found = {"found": int((decisions >= 0).sum()), "planted": copies}
    print(json.dumps({"spent": spent, "clock": clock, "memory": most[0] - start, "disk": disk[0], **found}))


def unnamed() -> int:
    """Bytes of temporary files that this process has open and that no folder lists."""
    total = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one of this list
            status = descriptor.stat()
            total += status.st_size if stat.S_ISREG(status.st_mode) and not status.st_nlink else 0
    return total


def anonymous() -> int:
    """Bytes of this process that no file stands behind."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, nargs="+", default=[250_000, 1_000_000])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child, options.documents[0], options.seed)
    runs = []
    for documents in options.documents:
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, __file__, "--child", folder, "--documents", str(documents)]
            environment = os.environ | {"PYTHONPATH": str(measure.ROOT)}
            printed = subprocess.check_output([*words, "--seed", str(options.seed)], env=environment)
            run = json.loads(printed.splitlines()[-1])
        runs.append((documents, run))
        print(
            f"{documents:>12,} documents: {run['spent']:7.2f} s of processor, {run['clock']:7.2f} s by the clock, "
            f"memory {run['memory'] / 1e6:7.0f} MB, files {run['disk'] / 1e6:8.0f} MB; {run['found']:,} found of "
            f"{run['planted']:,} copies",
            flush=True,
        )
    (few, less), (many, more) = runs[0], runs[-1]
    each = {key: (more[key] - less[key]) / (many - few) for key in ("spent", "memory", "disk")}
    hours = each["spent"] * BILLION * math.log(BILLION) / math.log(many) / 3600
    print(
        f"each document: {each['memory']:.0f} bytes of memory, {each['disk']:.0f} of files, "
        f"{each['spent'] * 1e6:.1f} µs; computed for a billion: {each['memory'] * BILLION / 1e9:.0f} GB, "
        f"{each['disk'] * BILLION / 1e9:,.0f} GB, {hours:.1f} hours of one core"
    )
    print(json.dumps({"benchmark": "dedup_scale", "runs": runs, "each": each}))


if __name__ == "__main__":
    main()
