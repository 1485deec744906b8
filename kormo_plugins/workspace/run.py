"""A run: an output folder with the resolved recipe, `run.json`, metrics, checkpoints and an `export/`.

The functions here are what the bridge does around a training: prepare the folder, open the data, hand over the
settings, and finish.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from kormo_plugins.errors import KormoError
from kormo_plugins.fingerprint import canonical_json
from kormo_plugins.json_file import write_json
from kormo_plugins.recipe.deepspeed import deepspeed_config, zero_stage
from kormo_plugins.recipe.load import Recipe
from kormo_plugins.recipe.override import provenance
from kormo_plugins.shards.format import SHARDS_MANIFEST
from kormo_plugins.training import preempted, private, run_record
from kormo_plugins.training.checkpoint import MARKER, mark_complete, step_of
from kormo_plugins.training.settings import Decay, Settings, Spike, StopOn
from kormo_plugins.workspace import preference, stage_identity
from kormo_plugins.workspace.axolotl_config import context_parallel, training_precision
from kormo_plugins.workspace.build import special_ids
from kormo_plugins.workspace.built import Built, say
from kormo_plugins.workspace.card import write_card
from kormo_plugins.workspace.dataset import open_dataset
from kormo_plugins.workspace.estimate import build_seconds
from kormo_plugins.workspace.report import SAMPLES, run_report, write_samples
from kormo_plugins.workspace.resume_point import resume_point

DEEPSPEED = "deepspeed.json"
MERGED = "merged"
"""Folder in which Axolotl puts the model that `merge-lora` made."""
_HEADER = (
    "# Written by kormo: the recipe of this run with everything that it extends. `axolotl train` runs it as it is.\n"
)
VERIFY_BYTES = 20_000_000_000
"""Up to so many bytes of shards and row plans are checked before every run: some ten seconds of reading."""

MAX_WORLD = 8
MAX_SECONDS = 600.0
"""A job of more ranks, or an estimate of more seconds, does not build while its GPUs wait."""


def resolved_path(recipe: Recipe) -> Path:
    """Where the resolved recipe is kept."""
    return recipe.output_dir / run_record.RESOLVED


def is_resolved(path: Path) -> bool:
    """Whether the file is a resolved recipe that we wrote."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline() == _HEADER
    except OSError:
        return False


def refuse_long_build(recipe: Recipe, world_size: int) -> None:
    """Stops a job that would keep many GPUs waiting for tokenization.

    Raises:
        KormoError: something is not built, and building is long or the job is large.
    """
    seconds = build_seconds(recipe)
    if seconds is None or (world_size <= MAX_WORLD and seconds <= MAX_SECONDS):
        return
    reason = (
        f"{world_size} ranks would wait" if world_size > MAX_WORLD else f"it takes about {seconds / 60:,.0f} minutes"
    )
    raise KormoError(
        str(recipe.path), "data that is not built yet", f"{reason} for documents, tokenizer and shards",
        f"run `axolotl preprocess {recipe.path}` first, on one machine",
    )  # fmt: skip


def refuse_leaking_attention(recipe: Recipe, on_gpu: bool = False) -> None:
    """Stops a recipe whose attention backend would let documents of a row see each other, or would keep them apart
    on a GPU at a price that is seldom meant.

    Raises:
        KormoError: names the key to change.
    """
    from kormo_plugins.mixture.isolation import check_dense_masks, check_isolation

    if recipe.data is None or preference.of_pairs(recipe):
        return
    choice = recipe.block.collator
    params = recipe.registry.params("collator", choice.name, choice.values)
    check_isolation(
        choice.name, params, str(recipe.get("attn_implementation", "sdpa")),
        micro_batch=int(recipe.get("micro_batch_size", 1)),
        context_parallel=context_parallel(recipe), packing=str(recipe.data.mixture.packing["name"]),
        row_length=recipe.sequence_len,
    )  # fmt: skip
    if on_gpu:
        line = check_dense_masks(
            choice.name, str(recipe.get("attn_implementation", "sdpa")), varlen=bool(recipe.get("sdpa_varlen")),
            compute=recipe.block.precision.compute, row_length=recipe.sequence_len,
            micro_batch=int(recipe.get("micro_batch_size", 1)),
        )  # fmt: skip
        if line and int(os.environ.get("RANK", "0")) == 0:
            say(line)


def run_identity(recipe: Recipe, built: Built) -> dict[str, Any]:
    """What must not change under a run: tokenizer, initial weights, seed."""
    return {
        "tokenizer": built.tokenizer_hash[:12],
        "weights": built.weights_hash or str(built.base_model or recipe.get("base_model")),
        "seed": recipe.seed,
    }


def prepare(recipe: Recipe, built: Built, main: bool, world_size: int = 1) -> None:
    """Checks data and folder, sets broken checkpoints aside, writes recipe and record.

    Args:
        main: whether this process writes; the others only read the result.
        world_size: ranks of this job.
    Raises:
        KormoError: damaged data, or a folder that holds another run.
    """
    if not main:
        return
    out = recipe.output_dir
    who = run_identity(recipe, built)
    run_record.check_same_run(out, who, recipe.block.allow_changed)
    last = resume_point(recipe, world_size, say)
    _verify(built)
    data, amendments = _check_data(recipe, built, step_of(last) if last else 0)
    out.mkdir(parents=True, exist_ok=True)
    preempted.clear(out)
    values = {**recipe.resolved.values, **_keep_deepspeed(recipe)}
    text = _HEADER + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    temporary = resolved_path(recipe).with_name(run_record.RESOLVED + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(resolved_path(recipe))
    run_record.write_record(
        out,
        {
            **provenance(recipe.path),
            "recipe_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "identity": who,
            stage_identity.RECORD: stage_identity.stage_identity(
                recipe, {name: artifact.hash for name, artifact in built.corpora.items()}
            ),
            "artifacts": {
                "tokenizer": str(built.tokenizer),
                "init": str(built.base_model),
                **{f"{kind}/{name}": str(a.path) for kind, group in _groups(built) for name, a in group.items()},
            },
            "steps": recipe.steps,
            "global_batch": recipe.block.global_batch,
            "sequence_len": recipe.sequence_len,
            "data": data,
            "amendments": amendments,
            "facts": run_record.read_record(out).get("facts", {}),
            "milestones": run_record.read_record(out).get("milestones", []),
        },
    )


def _keep_deepspeed(recipe: Recipe) -> dict[str, str]:
    """Puts the DeepSpeed configuration beside the resolved recipe, which then names that copy."""
    config = deepspeed_config(recipe.resolved)
    if config is None:
        return {}
    write_json(recipe.output_dir / DEEPSPEED, config)
    return {"deepspeed": DEEPSPEED}


def _verify(built: Built) -> None:
    """Every checksum of shards and row plans, where reading them all is a matter of seconds."""
    from kormo_plugins.shards.verify import verify

    folders = [artifact.path for group in (built.shards, built.rows, built.preferences) for artifact in group.values()]
    size = sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
    if size > VERIFY_BYTES:
        say(f"{size / 1e9:,.0f} GB of shards are not read again now; `kormo data verify` checks every checksum")
        return
    for folder in folders:
        verify(folder)


def _check_data(recipe: Recipe, built: Built, step: int) -> tuple[dict[str, Any], list[str]]:
    """The parts of the data, and how the recipe's future was amended since the run started.

    Raises:
        KormoError: steps that were trained already would have been other.
    """
    from kormo_plugins.mixture.resume import check_resume

    if recipe.data is None:
        return {}, []
    record = run_record.read_record(recipe.output_dir)
    parts = json.loads(canonical_json(open_dataset(recipe, built).parts()))
    old, amendments = record.get("data"), list(record.get("amendments", []))
    if not old or not step:
        return parts, []
    try:
        changed = check_resume(old, parts, step, allow="data" in recipe.block.allow_changed)
    except KormoError as error:
        raise KormoError(
            f"{recipe.output_dir}: data, {error.where}", error.what, error.why,
            f"{error.fix} (kormo.allow_changed: [data]), or set another output_dir",
        ) from None  # fmt: skip
    for line in changed:
        say(f"data {line}")
    return parts, amendments + changed


def _groups(built: Built) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("corpus", built.corpora),
        ("shards", built.shards),
        ("rows", built.rows),
        ("preferences", built.preferences),
    ]


def settings(recipe: Recipe, built: Built) -> Settings:
    """The recipe in the training room's terms."""
    choice = recipe.block.objective
    return Settings(
        output_dir=recipe.output_dir,
        steps=recipe.steps if recipe.data is not None else None,
        global_batch=recipe.block.global_batch,
        sequence_len=recipe.sequence_len,
        precision=training_precision(recipe),
        decay=Decay(**recipe.block.decay.model_dump()),
        objective=choice.name,
        objective_params=recipe.registry.params("objective", choice.name, choice.values),
        special=special_ids(recipe, built),
        generation=recipe.block.generation,
        record=run_identity(recipe, built),
        **watched(recipe, built),
        zero_stage=zero_stage(deepspeed_config(recipe.resolved)),
        milestone_tokens=recipe.block.milestones,
    )


def watched(recipe: Recipe, built: Built) -> dict[str, Any]:
    """What the trainer needs to say which data a step was made of, and when to stop."""
    stop_on = recipe.block.stop_on
    spike = Spike(**stop_on.spike.model_dump()) if stop_on.spike else None
    found: dict[str, Any] = {"stop_on": StopOn(stop_on.nan, spike)}
    if recipe.data is None or preference.of_pairs(recipe):
        return found
    from kormo_plugins.mixture.report import batch

    names = tuple(sorted(built.rows))  # as `MixtureDataset.names`, which the column `sources` counts in
    found |= {"sources": names, "languages": tuple(_language(recipe, built, name) for name in names)}
    return {**found, "batch": lambda step: batch(open_dataset(recipe, built), step)}


def _language(recipe: Recipe, built: Built, source: str) -> str:
    """The BCP 47 code of a source: as declared, else the one that all its documents were found to be in, else `mul`."""
    assert recipe.data is not None
    declared = recipe.data.corpus.sources[source].language
    if declared != "und":
        return declared
    manifest = json.loads((built.shards[source].path / SHARDS_MANIFEST).read_text(encoding="utf-8"))
    found = list(manifest["languages"])
    return str(found[0]) if len(found) == 1 else "mul"


def callbacks(recipe: Recipe) -> list[Any]:
    """`metrics.jsonl` and the callbacks that the recipe names."""
    from kormo_plugins.training.metrics import MetricsFile

    made: list[Any] = [MetricsFile(recipe.output_dir)]
    for choice in recipe.block.callbacks:
        params = recipe.registry.params("run_callback", choice.name, choice.values)
        made.append(recipe.registry.load("run_callback", choice.name)(params))
    return made


def register_architectures(recipe: Recipe) -> None:
    """Teaches transformers every installed model family."""
    for name in recipe.registry.names("architecture"):
        recipe.registry.load("architecture", name).register()


def finish(recipe: Recipe, built: Built) -> None:
    """After the weights are saved: honest configs, the plain Llama export, samples, and where everything is."""
    out = recipe.output_dir
    if not (out / "config.json").is_file():
        return
    private.forget_deepspeed()
    _complete(recipe, built, out)
    if recipe.get("adapter"):  # no model yet: no card, export, samples or evaluation of one
        print(f"\nThe adapters are in {out.resolve()}; `axolotl merge-lora {recipe.path}` makes one model of them and "
              "their base, in its folder merged/", flush=True)  # fmt: skip
        return
    _finished_model(recipe, built, out)


def finish_merged(recipe: Recipe, built: Built) -> None:
    """After `axolotl merge-lora`: its folder `merged/` as that of any finished model.

    Axolotl copies every file of the base's folder: the end token of its role, its tokenizer files, its card, records
    and marker. Weights and architecture stay; everything else is the run's that trained the adapters.
    """
    run, out = recipe.output_dir, recipe.output_dir / MERGED
    for path in out.iterdir():
        if path.is_file() and path.name != "config.json" and not path.name.startswith("model"):
            path.unlink()
    for path in run.iterdir():
        ours = path.suffix in (".json", ".jsonl", ".jinja", ".yml") and not path.name.startswith("adapter_")
        if path.is_file() and ours and path.name not in ("config.json", MARKER, SAMPLES):
            shutil.copy2(path, out)
    _complete(recipe, built, out)
    _finished_model(recipe, built, out)


def _complete(recipe: Recipe, built: Built, out: Path) -> None:
    """Honest configs, and the marker of a finished model."""
    from kormo_plugins.training.saved_config import restore

    restore(out, special_ids(recipe, built), recipe.block.generation)
    model_files = [path.name for path in out.iterdir() if path.suffix in (".safetensors", ".json", ".jinja")]
    mark_complete(out, recipe.steps or 0, set(model_files) - {run_record.FILE})


def _finished_model(recipe: Recipe, built: Built, out: Path) -> None:
    """The plain Llama export, card, samples, scores and report of the model in `out`."""
    from kormo_plugins.training.samples import continuations

    family = json.loads((out / "config.json").read_text(encoding="utf-8")).get("model_type")
    if recipe.block.export and family in recipe.registry.names("architecture"):
        report = recipe.registry.load("architecture", family).export_llama(out, out / "export")
        say(f"export/ holds the same model as a plain Llama: {report.get('compared', 'all')} logits compared, equal")
    write_card(recipe, built, open_dataset(recipe, built) if recipe.data is not None else None, out)
    print(f"\nThe model is in {out.resolve()}", flush=True)
    samples = recipe.block.samples
    if samples.prompts and os.environ.get("KORMO_SAMPLES", "on") != "off" and (out / "config.json").is_file():
        chat = recipe.block.role == "chat"
        written = continuations(out, samples.prompts, samples.max_new_tokens, recipe.seed, chat=chat)
        write_samples(out, written)
        for prompt, text in written:
            print(f"  {prompt} ▸ {' '.join(text.split())}", flush=True)
    if recipe.block.evaluate is not None:
        from kormo_plugins.evaluation.after_training import evaluate_run

        evaluate_run(out, recipe.block.evaluate, recipe.block.plugins, say)
    if recipe.block.report:
        say(f"{run_report(out)}: curves, mixture, samples, what it ran on")
