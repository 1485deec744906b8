"""What the benchmarks share: processor time, real text, and the one JSON line that each prints last.

Rates are per second of processor time of this process, all its threads together: on one core that is wall
time, and on a busy machine it is what the work costs and not what the neighbours do. Each measurement is the
best of several.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("AXOLOTL_DO_NOT_TRACK", "1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's second run compiles no module again; ours neither


def seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Processor seconds of the fastest of several runs of `work`, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


LOOP = """
import time
begin, number = time.perf_counter(), 0
for step in range(15_000_000):
    number += step ^ (number & 7)
print(time.perf_counter() - begin)
"""


def ceiling(few: int, many: int) -> float:
    """How many times as much `many` processes do in a time as `few`, if they share nothing but the machine: a loop of
    plain Python in each, by the clock."""

    def at_once(number: int) -> float:
        loops = [subprocess.Popen([sys.executable, "-c", LOOP], stdout=subprocess.PIPE) for _ in range(number)]
        return max(float(loop.communicate()[0]) for loop in loops)

    return many / few * at_once(few) / at_once(many)


def real_text(limit: int = 40_000_000) -> tuple[list[str], str]:
    """Documents, and what they are: real ones from the folder KORMO_TEST_TEXT, or else made-up words."""
    folder = Path(os.environ.get("KORMO_TEST_TEXT") or ROOT.parent / "shared/data")
    texts: list[str] = []
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            texts.append(row.get("text") or row.get("premise", ""))
    if texts:
        return texts, f"{len(texts):,} real documents"
    import numpy as np

    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("etaoinshr가나다라마바사아"), rng.integers(1, 9))) for _ in range(20_000)]
    sizes = rng.lognormal(5, 1.2, limit // 4000).astype(int).clip(1, 20_000)
    return [" ".join(rng.choice(words, size)) for size in sizes], "made-up text: set KORMO_TEST_TEXT for real text"


def result(name: str, unit: str, ours: float, peer: float, peer_name: str, *, lower: bool = False) -> None:
    """Prints the line. `ratio` is how many times better ours is; with `lower`, less is better."""
    ratio = peer / ours if lower else ours / peer
    print(
        json.dumps(
            {
                "name": name,
                "unit": unit,
                "ours": round(ours, 4),
                "peer": round(peer, 4),
                "peer_name": peer_name,
                "ratio": round(ratio, 2),
            }
        )
    )
