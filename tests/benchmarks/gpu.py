"""Everything that a card is to show, by one command: ceilings, training, SFT, DPO, evaluation, generation.

    python tests/benchmarks/gpu.py                        # on a GPU: under ten minutes, no network
    python tests/benchmarks/gpu.py --device cpu --tiny    # the same parts at a size for a test
    python tests/benchmarks/gpu.py --only 1b,slice --profile tables/ --out gpu.json

Each part runs in a process of its own with a time limit: one that fails, or takes too long, is told in the table and
loses nothing of the others. On a GPU the next part's process imports its libraries while the one before it measures.
Ours, plain Axolotl and a bare loop follow one another in the same order at each size, and ours is shown with and
without each thing that makes it faster. On a GPU the goals follow (`gpu_goals.py`), each
with what was measured. The last line is JSON; `--out` has the same after each part, so that nothing is lost when the
whole is ended from outside.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import gpu_goals
from gpu_list import parts
from measure import ROOT

FORMAT = 3
QUIET = {
    "AXOLOTL_DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}
LEAST = 5.0
"""Seconds below which no part is begun."""


def measure(asked: dict[str, Any], device: str) -> dict[str, float]:
    """One part, in this process."""
    import gpu_answers
    import gpu_checks
    import gpu_model
    import gpu_pairs
    import gpu_parts

    asked = dict(asked)
    kind, size = asked.pop("kind"), gpu_model.SIZES[asked.pop("size", "tiny")]
    of_kind = {
        "ceilings": gpu_parts.ceilings,
        "checks": gpu_checks.checks,
        "pairs": gpu_pairs.pairs,
        "evaluation": gpu_answers.evaluation,
    }
    if kind in of_kind:
        return of_kind[kind](size, device)
    if asked.get("checkpointed"):  # -1: all layers, -2: half of them
        asked["checkpointed"] = max(1, size.shape[2] // -asked["checkpointed"])
    if asked.pop("bare", False):
        asked.pop("profile", None)
        return gpu_parts.bare(size, device, **asked)
    return gpu_parts.training(size, device, **asked)


def part(asked: dict[str, Any], device: str, into: Path) -> None:
    """Measures a part in this process, writes its values or what went wrong into a file, and leaves at once."""
    try:
        found: dict[str, Any] = dict(measure(asked, device))
    except BaseException as error:  # told, whatever it was
        lines = traceback.format_exc().strip().splitlines()
        found = {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:300], "trace": lines[-12:]}
    into.write_text(json.dumps(found), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)  # a library's threads, or a process group, are nobody's reason to wait


def child(device: str) -> None:
    """A part's process on a GPU: imports, waits for its turn (a line of JSON), and measures."""
    import gpu_parts

    gpu_parts.preload()
    asked = json.loads(sys.stdin.readline() or "null")
    if asked is not None:
        part(asked, device, Path(asked.pop("into")))


class Started:
    """A part's process on a GPU, started before its turn; it touches the device when its turn has come."""

    def __init__(self, device: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gpu-part-"))
        environment = {**os.environ, **QUIET, "PYTHONPATH": str(ROOT)}
        with (self.folder / "output").open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, __file__, "--child", "--device", device], stdin=subprocess.PIPE, stdout=output,
                stderr=output, env=environment, cwd=ROOT, start_new_session=True,
            )  # fmt: skip

    def run(self, asked: dict[str, Any], limit: float) -> str | None:
        """Lets it measure; returns what went wrong, as far as it is seen from here."""
        try:
            line = json.dumps({**asked, "into": str(self.folder / "values")}) + "\n"
            self.process.communicate(line.encode(), timeout=limit)
        except subprocess.TimeoutExpired:
            return f"not done after {limit:.0f} s"
        except OSError as error:  # it ended while it imported
            return str(error)
        finally:
            self.end()
        return None if self.process.returncode == 0 else f"its process ended with status {self.process.returncode}"

    def end(self) -> None:
        """Ends it, and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Forked:
    """A part's process without a GPU: a copy of this one, which has imported everything once."""

    def __init__(self, device: str) -> None:
        self.folder, self.device = Path(tempfile.mkdtemp(prefix="gpu-part-")), device

    def run(self, asked: dict[str, Any], limit: float) -> str | None:
        """As `Started`."""
        process = multiprocessing.get_context("fork").Process(target=self._part, args=(asked,))
        process.start()
        process.join(limit)
        if process.exitcode is None:
            os.killpg(process.pid or 0, signal.SIGKILL)
            process.join()
            return f"not done after {limit:.0f} s"
        return None if process.exitcode == 0 else f"its process ended with status {process.exitcode}"

    def _part(self, asked: dict[str, Any]) -> None:
        os.setsid()
        with (self.folder / "output").open("wb") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        part(asked, self.device, self.folder / "values")

    def end(self) -> None:
        """Nothing waits."""


def told(process: Started | Forked, name: str, asked: dict[str, Any], limit: float) -> dict[str, Any]:
    """A part's values, or under `failed` why it has none and under `output` the end of what it printed."""
    begin = time.monotonic()
    fault, values = process.run(asked, limit), process.folder / "values"
    found: dict[str, Any] = {} if fault is None else {"failed": fault}
    if values.is_file():
        found = json.loads(values.read_text(encoding="utf-8"))
    if "failed" in found or not found:
        found.setdefault("failed", "no values")
        output = (process.folder / "output").read_text(encoding="utf-8", errors="replace")
        found["output"] = output.splitlines()[-12:]
    return {"name": name, "took": round(time.monotonic() - begin, 1), **found}


def shown(found: dict[str, Any], width: int) -> str:
    """A line of the table."""
    if "failed" in found:
        return f"{found['name']:{width}}  failed: {found['failed']}"
    values = [f"{key} {value:,.4g}" for key, value in found.items() if key not in ("name", "took")]
    return f"{found['name']:{width}}  " + ", ".join(values)


def machine(device: str) -> dict[str, str]:
    """What it runs on, without touching the device in this process."""
    from importlib import metadata

    packages = ("torch", "transformers", "axolotl", "liger-kernel", "deepspeed", "torchao", "bitsandbytes", "triton",
                "flash-attn-3")  # fmt: skip
    found = {"device": f"CPU, {os.cpu_count()} cores"}
    if device == "cuda":
        try:
            asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
            found["device"] = subprocess.run(asked, capture_output=True, text=True, timeout=20).stdout.strip()
        except (OSError, subprocess.SubprocessError) as error:
            found["device"] = f"a GPU (nvidia-smi: {error})"
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


class Report:
    """The results so far, as the line of JSON."""

    def __init__(self, device: str, out: Path | None) -> None:
        self.head, self.out, self.results = machine(device), out, list[dict[str, Any]]()
        self.card, self.begin = device == "cuda", time.monotonic()

    def add(self, found: dict[str, Any], width: int) -> None:
        """One more, printed and kept."""
        self.results.append(found)
        print(shown(found, width), flush=True)
        if self.out is not None:
            self.out.write_text(self.line() + "\n", encoding="utf-8")

    def goals(self) -> list[dict[str, Any]]:
        """What a card is to reach; of a CPU, nothing."""
        return gpu_goals.judged(self.results, (time.monotonic() - self.begin) / 60) if self.card else []

    def line(self) -> str:
        """All of it."""
        whole = {"name": "gpu", "format": FORMAT, **self.head, "parts": self.results, "goals": self.goals()}
        return json.dumps(whole)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true", help="a model of 100,000 parameters")
    parser.add_argument("--only", default="", help="beginnings of the parts' names, divided by semicolons")
    parser.add_argument("--minutes", type=float, default=9.5, help="for all parts together")
    parser.add_argument("--part-seconds", type=float, default=90, help="for one part")
    parser.add_argument("--profile", type=Path, help="a folder for the profiler's tables of our trainings")
    parser.add_argument("--out", type=Path, help="a file for the JSON, written after each part")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Runs the parts and prints a table and the JSON line."""
    chosen = _arguments()
    if chosen.child:
        return child(chosen.device)
    end = time.monotonic() + 60 * chosen.minutes
    wanted = tuple(filter(None, chosen.only.split(";")))
    asked = [part for part in parts(chosen.tiny, chosen.device) if not wanted or part[0].startswith(wanted)]
    width, report = max((len(name) for name, _ in asked), default=0), Report(chosen.device, chosen.out)
    card = chosen.device == "cuda"
    if not card:
        _preload()
    ahead = card and (os.cpu_count() or 1) >= 4
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    start, waiting = (Started if card else Forked), list[Started | Forked]()
    try:
        for number, (name, what) in enumerate(asked):
            left = min(chosen.part_seconds, end - time.monotonic())
            if left < LEAST:
                report.add({"name": name, "failed": "no time was left"}, width)
                continue
            if chosen.profile and what["kind"] == "training" and "bare" not in what:
                chosen.profile.mkdir(parents=True, exist_ok=True)
                what = {**what, "profile": str((chosen.profile / f"{number:02}.txt").resolve())}
            mine = waiting.pop() if waiting else start(chosen.device)
            if ahead and number + 1 < len(asked):
                waiting.append(start(chosen.device))
            report.add(told(mine, name, what, left), width)
    finally:
        for one in waiting:
            one.end()
        for goal in report.goals():
            print(gpu_goals.shown(goal))
        print(report.line(), flush=True)


def _preload() -> None:
    """Imports in this process, for the copies of it that measure."""
    os.environ.update({**QUIET, **os.environ})
    sys.path.insert(0, str(ROOT))
    os.chdir(ROOT)
    import gpu_parts

    gpu_parts.preload()


if __name__ == "__main__":
    main()
