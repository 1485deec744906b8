"""Run folders as training leaves them, without a training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from kormo_plugins.store.json_file import sealed

EVIL = "<script>alert('x')</script>"
"""What must stay text wherever it stands."""


def source(share: float, language: str = "ko") -> dict[str, Any]:
    counts = {"documents": 100, "tokens": 12345, "rows": 50, "rows_drawn": 10, "epochs": 0.2, "fill": 0.9987654321}
    writers = {"generators": {"embedded": 100}, "synthetic": {"yes": 50, "no": 50}}
    return {**counts, **writers, "weight": share, "share": share, "language": language, "license": "Apache-2.0"}


def write_run(folder: Path, steps: int = 20, *, rate: float = 0.003, name: str = "ko_web", **record: Any) -> Path:
    """A finished run of `steps` steps of 1,024 tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = {"learning_rate": rate, "output_dir": str(folder), "kormo": {"tokens": steps * 1024, "note": EVIL}}
    (folder / "recipe.yml").write_text(yaml.safe_dump(recipe))
    lines: list[dict[str, Any]] = []
    for step in range(steps + 1):
        loss, now = 8 - step / 7 + 0.123456789012345, 1000.0 + 2 * step
        if step:
            lines.append({"step": step, "loss": loss, "grad_norm": 1.0, "learning_rate": rate, "time": now})
            lines[-1] |= {f"loss/source/{name}": loss, "odd/metric": 3.14159265358979}
        if step % 10 == 0:
            lines.append({"step": step, "held_out/loss": loss, "held_out/bits_per_byte": loss / 3, "time": now + 1})
            lines[-1] |= {"held_out/bits_per_byte/ko": loss / 3, "held_out/bits_per_byte/en": loss / 4}
            lines[-1] |= {f"held_out/bits_per_byte/source/{name}": loss / 3, "collapse/entropy/ko": 5.0}
            lines[-1] |= {"mini/acc": 0.25, "mini/acc/ko": 0.3, "mini/acc/reading": 0.2}
            lines[-1] |= {"collapse/distinct_2/ko": 1.0}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    mixture = {
        "name": "mix", "weights": {"korean": {"share": 60, "of": {name: 1}}, "en_web": 40},
        "sources": {name: source(0.6), "en_web": source(0.4, "en")},
    }  # fmt: skip
    card = {"name": "H200", "memory": 141 * 2**30}
    facts = {
        "parameters": 2_031_744, "mixture": mixture, "artifacts": {"tokenizer/tokenizer": "abc123"},
        "hardware": {"system": "Linux", "processor": "EPYC", "cores": 2, "memory": 2**35, "accelerators": [card, card],
                     "ranks": 2, "threads": 1},
        "extends": {"files": ["a.yml", "b.yml"], "parents": ["a.yml"], "changed": {"learning_rate": [0.001, rate]}},
    }  # fmt: skip
    about = {"recipe": "b.yml", "steps": steps, "global_batch": 8, "sequence_len": 128, "facts": facts,
             "identity": {"seed": 7, "weights": "w1"}, "versions": {"torch": "2.13.0"}, **record}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(about))
    (folder / "samples.json").write_text(json.dumps([{"prompt": "서울은", "text": f"아름답다 {EVIL}"}]))
    written = [{"step": s, "language": "ko", "prompt": "서울은", "text": f"글 {s}"} for s in (0, 10, 20)]
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in written))
    return folder


def write_evaluation(folder: Path, **more: Any) -> None:
    """Scores as `kormo eval` keeps them; `more` goes into the one row."""
    row = {"suite": "mini", "task": "kmmlu", "metric": "acc", "value": 0.46481234567, "stderr": 0.0123, "n": 500,
           "shots": 5, "limit": None, "chance": 0.25, "published": {"KORMo-10B": 46.48, "Qwen3-8B": 56.9},
           "unverified": "", "cut": 0, **more}  # fmt: skip
    cells = [
        {"language": language, "length": length, "depth": depth, "choice": 0.25, "generated": 0.75}
        for language in ("ko", "en") for length in (128, 131072) for depth in (0, 100)
    ]  # fmt: skip
    needle = {"cells": cells, "tries": 4, "chance": 0.1, "haystack": EVIL, "published": {"en": 99.04, "ko": 69.04}}
    (folder / "evaluation.json").write_text(json.dumps(sealed({"results": [row], "tasks": [], "needle": needle})))


def write_ablation_folder(out: Path) -> Path:
    """Two variants, two seeds, and a cell that failed, as `kormo ablate` leaves them; gives the ablation's folder."""
    cells = []
    for variant, rate in (("plain", 0.003), (EVIL, 0.01)):
        for seed in (1, 2):
            folder = write_run(out / "cells" / f"cell-{len(cells)}", rate=rate)
            (folder / "samples.json").unlink()  # cells write none
            write_evaluation(folder)
            became = {"state": "trained", "seconds": 3.0, "measures": {"bits": 1.5 + seed}, "reason": ""}
            cells.append({"variant": variant, "seed": seed, "hash": "h", "folder": f"x/{folder.name}", **became})
    cells.append({**cells[-1], "seed": 3, "state": "failed", "measures": {}, "reason": "exit status 1"})
    row = {"mean": 3.0, "sd": 0.5, "n": 2}
    against = {"difference": 0.1, "low": -1.0, "high": 1.0, "p": 0.5, "p_holm": 0.5}
    record = {
        "ablation": "a.yml", "question": f"Does it help? {EVIL}", "base": "base.yml", "baseline": "plain",
        "measures": {"bits": {"metric": "held_out/bits_per_byte", "last": 1, "better": "lower"}},
        "variants": {"plain": {}, EVIL: {"learning_rate": 0.01}}, "cells": cells,
        "table": {"bits": {"plain": row, EVIL: {**row, "against": against}}},
    }  # fmt: skip
    (out / "mine").mkdir()
    (out / "mine" / "ablation.json").write_text(json.dumps(record))
    return out / "mine"
