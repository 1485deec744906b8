"""A finished run without a training, and the release of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from kormo_plugins.store.artifact import Spec, build
from kormo_plugins.training.checkpoints.complete import mark_complete

RECIPE = "output_dir: {out}\nkormo: {{data: {{sources: {{a: {{license: CC0-1.0}}}}}}}}\n"


def finished_run(folder: Path, losses: list[float]) -> Path:
    """A run of some steps with one artifact and a checkpoint at each step."""
    run = folder / "small"
    artifact = build(folder / "artifacts", Spec("corpus", "a", {"version": 1}), _documents)
    for part in (run, *(run / f"checkpoint-{step}" for step in range(1, len(losses) + 1))):
        part.mkdir(parents=True, exist_ok=True)
        (part / "config.json").write_text("{}")
        (part / "model.safetensors").write_bytes(b"weights")
        mark_complete(part, len(losses))
    recipe = RECIPE.format(out=run)
    (run / "recipe.yml").write_text(recipe)
    (folder / "written.yml").write_text("extends: kormo:pretrain.yml\n")
    record = {
        "recipe": str(folder / "written.yml"), "recipe_sha256": hashlib.sha256(recipe.encode()).hexdigest(),
        "identity": {"seed": 42}, "artifacts": {"corpus/a": str(artifact.path)},
    }  # fmt: skip
    (run / "run.json").write_text(json.dumps(record))
    lines = [json.dumps({"step": step, "loss": loss}) for step, loss in enumerate(losses, start=1)]
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return run


def _documents(out: Path) -> dict[str, int]:
    (out / "part.txt").write_text("문서")
    return {"documents": 1}
