"""A run: an output folder with the resolved recipe, `run.json`, metrics, checkpoints and an `export/`.

The bridge calls these functions around a training: prepare the folder, open the data, hand over the settings, finish.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import yaml

from kormo_plugins.errors import KormoError, redact
from kormo_plugins.mixture.resume import check_resume
from kormo_plugins.pipeline.built import Built, say
from kormo_plugins.pipeline.open import open_dataset
from kormo_plugins.plugins.registry import Registry
from kormo_plugins.recipe.files.override import provenance
from kormo_plugins.recipe.projections import RunPlan
from kormo_plugins.runs import identity as stage_identity
from kormo_plugins.runs.resume import resume_point
from kormo_plugins.runs.resume_keys import check_changed_keys
from kormo_plugins.runs.verification import Expected, verify
from kormo_plugins.store.artifact import Artifact
from kormo_plugins.store.atomic import write_text
from kormo_plugins.store.files import manifest_files
from kormo_plugins.store.fingerprint import canonical_json
from kormo_plugins.store.json_file import write_json
from kormo_plugins.training.checkpoints.complete import step_of, unmark_records
from kormo_plugins.training.guards import preemption_file
from kormo_plugins.training.telemetry import run_record

DEEPSPEED = "deepspeed.json"
_HEADER = (
    "# Written by kormo: the recipe of this run with everything that it extends. `axolotl train` runs it as it is.\n"
)


def resolved_path(output_dir: Path) -> Path:
    """The path of a run's resolved recipe."""
    return output_dir / run_record.RESOLVED


def is_resolved(path: Path) -> bool:
    """Whether the file is a resolved recipe that a run wrote."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline() == _HEADER
    except OSError:
        return False


def run_identity(built: Built, base_model: str | None, seed: int) -> dict[str, object]:
    """What must not change during a run: tokenizer, initial weights, seed."""
    return {
        "tokenizer": built.tokenizer_hash[:12],
        "weights": built.weights_hash or str(built.base_model or base_model),
        "seed": seed,
    }


def prepare(plan: RunPlan, built: Built, main: bool, world_size: int = 1) -> None:
    """Checks data and folder, moves incomplete checkpoints aside, writes recipe and record.

    Args:
        main: whether this process writes; the others only read the result.
        world_size: ranks of this job.
    Raises:
        KormoError: the data are damaged, or the folder contains another run.
    """
    if not main:
        return
    out = plan.output_dir
    who = run_identity(built, plan.base_model, plan.seed)
    run_record.check_same_run(out, who, plan.allow_changed)
    last = resume_point(plan, world_size, say)
    for line in check_changed_keys(plan, resolved_path(out), step_of(last)) if last else ():
        say(line)
    verify(_read_by_the_run(built, fresh=last is None), say)
    data, amendments = _check_data(plan, built, step_of(last) if last else 0)
    out.mkdir(parents=True, exist_ok=True)
    preemption_file.clear(out)
    unmark_records(out)
    values = {**plan.values, **_keep_deepspeed(plan)}
    text = _HEADER + redact(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
    write_text(resolved_path(out), text)
    run_record.write_record(
        out,
        {
            **provenance(plan.path),
            "recipe_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "identity": who,
            stage_identity.RECORD: stage_identity.stage_identity(
                plan.identity, {name: artifact.hash for name, artifact in built.corpora.items()}
            ),
            "artifacts": {
                "tokenizer": str(built.tokenizer),
                "init": str(built.base_model),
                **{f"{kind}/{name}": str(a.path) for kind, group in _groups(built) for name, a in group.items()},
            },
            "steps": plan.steps,
            "global_batch": plan.global_batch,
            "sequence_len": plan.sequence_len,
            "data": data,
            "amendments": amendments,
            "facts": run_record.read_record(out).get("facts", {}),
            "milestones": run_record.read_record(out).get("milestones", []),
        },
    )


def _keep_deepspeed(plan: RunPlan) -> dict[str, str]:
    """Puts the DeepSpeed configuration beside the resolved recipe, which then names that copy."""
    if plan.deepspeed is None:
        return {}
    write_json(plan.output_dir / DEEPSPEED, plan.deepspeed)
    return {"deepspeed": DEEPSPEED}


def _read_by_the_run(built: Built, fresh: bool) -> list[Expected]:
    """All files that training reads: shards, row plans, pairs, and for a new run the initial weights."""
    groups = (built.shards, built.rows, built.preferences)
    expected = [
        Expected(artifact.path / name, record)
        for group in groups
        for artifact in group.values()
        for name, record in (artifact.files | manifest_files(artifact.path)).items()
    ]
    if fresh and built.init is not None:
        expected += [Expected(built.init.path / name, record) for name, record in built.init.files.items()]
    return expected


def _check_data(plan: RunPlan, built: Built, step: int) -> tuple[dict[str, object], list[str]]:
    """The segments of the data, and the changes to its future steps since the run started.

    Raises:
        KormoError: steps that are already trained would have had other data.
    """
    if plan.stream is None:
        return {}, []
    record = run_record.read_record(plan.output_dir)
    parts = json.loads(canonical_json(open_dataset(plan.stream, built).parts()))
    old, amendments = record.get("data"), list(record.get("amendments", []))
    if not old or not step:
        return parts, []
    try:
        changed = check_resume(old, parts, step, allow="data" in plan.allow_changed)
    except KormoError as error:
        raise KormoError(
            where=f"{plan.output_dir}: data, {error.where}",
            found=error.found,
            why=error.why,
            do=f"{error.do} (kormo.allow_changed: [data]), or set another output_dir",
        ) from None
    for line in changed:
        say(f"data {line}")
    return parts, amendments + changed


def _groups(built: Built) -> list[tuple[str, dict[str, Artifact]]]:
    return [
        ("corpus", built.corpora),
        ("shards", built.shards),
        ("rows", built.rows),
        ("preferences", built.preferences),
    ]


def register_architectures(components: Registry) -> None:
    """Registers every installed model family with transformers."""
    for name in components.names("architecture"):
        components.load("architecture", name).register()
