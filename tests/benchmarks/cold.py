"""The first build on a machine: what compiling the kernels adds to `kormo data build`, once.

    python tests/benchmarks/cold.py [--megabytes 40] [--workers 1 2] [--repeat 3] [--seed 1]

`datasets_recipes/korean_web.yml` with a given tokenizer, each build in a process of its own on the same fresh text, in
turns: with an empty cache of compiled code, the same without `compile_ahead`, and with a full cache. Printed are
seconds by the clock and of processor, medians, and what a first build takes more. A clock tells what a user waits for,
so the machine should be quiet; its load is printed.
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
from pathlib import Path

import measure
import pipeline

HERE = "from kormo_plugins.corpus.passes import compile_ahead; compile_ahead._cores = lambda: 1; "
CHILD = "import pipeline, pathlib; pipeline.ours(pathlib.Path({folder!r}), {workers})"


def build(folder: Path, workers: int, cache: Path, *, ahead: bool = True) -> tuple[float, float]:
    """One build; seconds by the clock and of processor."""
    shutil.rmtree(folder / "artifacts", ignore_errors=True)
    paths = os.pathsep.join([str(measure.ROOT), str(Path(__file__).parent)])
    environment = os.environ | {"PYTHONPATH": paths, "KORMO_CACHE": str(cache), "TOKENIZERS_PARALLELISM": "false"}
    for name in ("PYTHONDONTWRITEBYTECODE", "NUMBA_CACHE_DIR"):
        environment.pop(name, None)
    code = ("" if ahead else HERE) + CHILD.format(folder=str(folder), workers=workers)
    began = time.perf_counter()
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=quiet, stderr=quiet)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the build ended with {status}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=40)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.form = "jsonl"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "text"
        pipeline.prepare(folder, options.megabytes, options.seed, options)
        for workers in options.workers:
            runs: dict[str, list[tuple[float, float]]] = {"warm": [], "cold": [], "cold, compiled where used": []}
            for turn in range(options.repeat):
                cache = Path(temporary) / f"cache-{workers}-{turn}"
                runs["cold"].append(build(folder, workers, cache))
                runs["warm"].append(build(folder, workers, cache))
                runs["cold, compiled where used"].append(build(folder, workers, Path(f"{cache}-here"), ahead=False))
            medians = {
                name: [statistics.median(values) for values in zip(*done, strict=True)] for name, done in runs.items()
            }
            warm = medians["warm"]
            for name, (clock, spent) in medians.items():
                print(
                    f"{workers} workers, {name:26} {clock:6.2f} s by the clock (+{clock - warm[0]:.2f}), "
                    f"{spent:6.2f} s of processor (+{spent - warm[1]:.2f}); load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
            print(json.dumps({"benchmark": "cold", "workers": workers, **medians}))


if __name__ == "__main__":
    main()
