"""Stands in for `axolotl train RECIPE`: writes what a training leaves behind, at once, and can be told to fail.

Its "model" is a function of its recipe and of the model before, so that an unchanged stage gives an unchanged model.
What goes wrong is said by a file `NAME.todo` beside the recipe: one word per line, each used once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from kormo_plugins.store.fingerprint import identity
from kormo_plugins.training.checkpoints.complete import mark_complete

RECORD = "stage"


def main(path: Path, out: Path, who: dict[str, object]) -> None:
    todo = path.with_suffix(".todo")
    out.mkdir(parents=True, exist_ok=True)
    marks = out.parent / "calls.txt"
    marks.write_text((marks.read_text() if marks.exists() else "") + f"{path.stem}\n")
    words = todo.read_text().split() if todo.exists() else []
    word = words.pop(0) if words else ""
    todo.write_text("\n".join(words))
    if word == "refuse":
        print("kormo: what was found is not what was wanted")
        sys.exit(2)
    (out / "recipe.yml").write_text(path.read_text())
    (out / "run.json").write_text(json.dumps({"identity": {}, RECORD: who}))
    checkpoint = out / "checkpoint-4"
    if not checkpoint.exists():
        checkpoint.mkdir()
        (checkpoint / "model.safetensors").write_bytes(b"half")
        mark_complete(checkpoint, 4)
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if word in ("preempted", "hidden"):
        (out / "preempted.json").write_text("{}")
        sys.exit(75 if word == "preempted" else 1)
    if word == "wait":
        signal.signal(signal.SIGTERM, lambda *ignored: sys.exit(75))
        (out / "waiting").touch()
        time.sleep(60)
    if word == "nothing":
        sys.exit(0)
    (out / "config.json").write_text(json.dumps({"note": "no model"}))
    (out / "model.safetensors").write_text(identity(who))
    lines = [{"step": step, "loss": 9.0 / step, "tokens": 1024 * step} for step in range(1, 9)]
    (out / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    mark_complete(out, 8, {"config.json", "model.safetensors"})


main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
