"""What it costs that a training and an evaluation compare what they read with its checksums: its share of each.

    python tests/benchmarks/verification_of_runs.py [STEPS]

The nano model is trained on the embedded corpus, whose data are built before, and scored on the mini suite, each as a
process of its own; what it spends on hashing files is counted where it is spent. In processor time; at most 3% are
allowed. Reading 20 GB, the most that a run compares before its first step, is told as a time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from measure import result

from kormo_plugins.store import fingerprint

ALLOWED = 0.03
AT_ONCE = 20e9
"""Bytes that a run compares before it starts; more are compared while it trains."""
ROOT = Path(__file__).parents[2]


def inside(words: list[str]) -> None:
    """Runs `axolotl WORDS` or `kormo WORDS` in this process, and prints what it spent on comparing as the last line."""
    spent, read, real = 0.0, 0, fingerprint.file_checksum

    def timed(path: Path, *more: Any) -> str:
        nonlocal spent, read
        begin = time.thread_time()
        try:
            return real(path, *more)
        finally:
            spent += time.thread_time() - begin
            read += path.stat().st_size

    fingerprint.file_checksum = timed  # before any module takes it by name
    try:
        if words[0] == "kormo":
            from kormo_plugins.cli.main import cli

            cli(words[1:], prog_name="kormo")
        else:
            from axolotl.cli.main import cli as axolotl

            axolotl(words[1:], prog_name="axolotl")
    except SystemExit as end:
        if end.code:
            raise
    print(json.dumps({"spent": spent, "bytes": read, "whole": time.process_time()}))


def measured(folder: Path, *words: str) -> dict[str, float]:
    """What a command spent."""
    command = [sys.executable, str(Path(__file__)), "--inside", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(steps: int) -> None:
    """Prints a line for each stage, and ends with 1 where one costs more than is allowed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = {
            "extends": str(ROOT / "recipes" / "pretrain.yml"), "plugins": ["kormo_plugins.KormoPlugin"],
            "output_dir": "out", "max_steps": steps,
            "save_steps": steps, "kormo": {"tokens": None, "report": False, "samples": None},
        }  # fmt: skip
        (folder / "recipe.yml").write_text(yaml.safe_dump(recipe))
        measured(folder, "axolotl", "preprocess", "recipe.yml")
        stages = {
            "training": ["axolotl", "train", "recipe.yml", "--launcher", "python"],
            "evaluation": ["kormo", "eval", "out", "--suite", "mini"],
        }
        dear = []
        for stage, words in stages.items():
            found = measured(folder, *words)
            rest = found["whole"] - found["spent"]
            share, speed = found["spent"] / rest, found["bytes"] / max(found["spent"], 1e-9)
            print(
                f"{stage:<10} {found['whole']:8.2f} s, of which comparing {found['bytes'] / 1e6:,.1f} MB "
                f"{found['spent']:.4f} s: {share:+.2%}; 20 GB would take {AT_ONCE / speed:.1f} s of a processor"
            )
            result(f"verification: {stage}", "s", found["whole"], rest, "without verification", lower=True)
            dear += [stage] if share > ALLOWED else []
        if dear:
            sys.exit(f"more than {ALLOWED:.0%}: {', '.join(dear)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2:])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
