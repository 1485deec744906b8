"""Everything that a card is to show, by one command: ceilings, training, SFT, DPO, evaluation, generation.

    python tests/benchmarks/gpu.py                        # on a GPU: at most ten minutes, no network
    python tests/benchmarks/gpu.py --device cpu --tiny    # the same parts at a size for a test
    python tests/benchmarks/gpu.py --only 1b,slice --profile tables/

Each part runs in a process of its own with a time limit: one that fails, or takes too long, is told in the table and
loses nothing of the others. Ours, plain Axolotl and a bare loop follow one another in the same order at each size, and
ours is shown with and without each thing that makes it faster. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from measure import ROOT

FORMAT = 1

TRAININGS: dict[str, dict[str, Any]] = {
    "ours": {},
    "ours, bfloat16 weights with float32 masters": {"precision": "masters"},
    "plain Axolotl": {"ours": False, "precision": "pure"},
    "bare loop": {"bare": True},
    "bare loop, bfloat16, compiled layers": {"bare": True, "precision": "pure", "compiled": True},
    "ours, loss not in one pass": {"one": False},
    "ours, logged at no step": {"logging": 1000},
    "ours, AdamW not fused": {"optimizer": "adamw_torch"},
    "ours, torch_compile": {"compiled": True},
}
"""Name -> how it differs; the most telling first, for a time that runs out."""

CARD_ONLY = {"ours, torch_compile", "bare loop, bfloat16, compiled layers"}
"""Compiling takes minutes of a CPU."""


def parts(tiny: bool, device: str) -> list[tuple[str, dict[str, Any]]]:
    """Names of the parts and what is asked of each, in order."""
    found: list[tuple[str, dict[str, Any]]] = [("ceilings", {"kind": "ceilings"})]
    for size in ("tiny",) if tiny else ("1b", "slice"):
        wanted = [name for name in TRAININGS if device == "cuda" or name not in CARD_ONLY]
        found += [(f"{size}: {name}", {"kind": "training", "size": size, **TRAININGS[name]}) for name in wanted]
    small = "tiny" if tiny else "1b"
    sft = {"kind": "training", "size": small, "answers": True}
    found.append((f"{small}: SFT, a third of the tokens predicted", sft))
    found.append((f"{small}: DPO, packed beside padded", {"kind": "pairs", "size": small}))
    found.append((f"{small}: evaluation and generation", {"kind": "evaluation", "size": small}))
    return found


def measure(asked: dict[str, Any], device: str) -> dict[str, float]:
    """One part, in this process."""
    import gpu_pairs
    import gpu_parts

    asked = dict(asked)
    kind, size = asked.pop("kind"), gpu_parts.SIZES[asked.pop("size", "tiny")]
    if kind == "ceilings":
        return gpu_parts.ceilings(size, device)
    if kind == "pairs":
        return gpu_pairs.pairs(size, device)
    if kind == "evaluation":
        return gpu_parts.evaluation(size, device)
    if "precision" in asked:
        asked["precision"] = {"masters": gpu_parts.MASTERS, "pure": gpu_parts.PURE}[asked["precision"]]
    if asked.pop("bare", False):
        asked.pop("profile", None)
        return gpu_parts.bare(size, device, **asked)
    return gpu_parts.training(size, device, **asked)


def run(name: str, asked: dict[str, Any], device: str, limit: float) -> dict[str, Any]:
    """One part in a process of its own: its values, or under `failed` why it has none."""
    command = [sys.executable, __file__, "--device", device, "--part", json.dumps(asked)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    begin = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env=environment, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return {"name": name, "failed": f"not done after {limit:.0f} s"}
    last = done.stdout.strip().splitlines()[-1:] or [""]
    took = {"name": name, "took": round(time.monotonic() - begin, 1)}
    if done.returncode or not last[0].startswith("{"):
        return {**took, "failed": (done.stderr.strip().splitlines()[-1:] or ["no output"])[0][:300]}
    return {**took, **json.loads(last[0])}


def shown(found: dict[str, Any], width: int) -> str:
    """A line of the table."""
    if "failed" in found:
        return f"{found['name']:{width}}  failed: {found['failed']}"
    values = [f"{key} {value:,.4g}" for key, value in found.items() if key not in ("name", "took")]
    return f"{found['name']:{width}}  " + ", ".join(values)


def machine(device: str) -> dict[str, str]:
    """What it ran on."""
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return {"device": name, "torch": torch.__version__, "cuda": str(torch.version.cuda)}


def main() -> None:
    """Runs the parts and prints a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true", help="a model of 100,000 parameters")
    parser.add_argument("--only", default="", help="beginnings of the parts' names, divided by commas")
    parser.add_argument("--minutes", type=float, default=10, help="for all parts together")
    parser.add_argument("--part-seconds", type=float, default=120, help="for one part")
    parser.add_argument("--profile", type=Path, help="a folder for the profiler's tables of our trainings")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.part:
        print(json.dumps(measure(json.loads(chosen.part), chosen.device)))
        return
    wanted = tuple(filter(None, chosen.only.split(",")))
    asked = [part for part in parts(chosen.tiny, chosen.device) if not wanted or part[0].startswith(wanted)]
    width, end = max(len(name) for name, _ in asked), time.monotonic() + 60 * chosen.minutes
    results: list[dict[str, Any]] = []
    for name, what in asked:
        left = min(chosen.part_seconds, end - time.monotonic())
        if chosen.profile and what["kind"] == "training":
            chosen.profile.mkdir(parents=True, exist_ok=True)
            what = {**what, "profile": str((chosen.profile / f"{len(results):02}.txt").resolve())}
        results.append(
            run(name, what, chosen.device, left) if left > 5 else {"name": name, "failed": "no time was left"}
        )
        print(shown(results[-1], width), flush=True)
    line = {"name": "gpu", "format": FORMAT, **machine(chosen.device), "parts": results}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
