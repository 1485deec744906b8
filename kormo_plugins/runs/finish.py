"""Finishes a run after its last step: corrected configs, plain Llama export, model card, samples, scores, report."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from kormo_plugins.architecture.export import equality
from kormo_plugins.errors import KormoError, printable
from kormo_plugins.evaluation.after_training import evaluate_run
from kormo_plugins.hookspecs import Architecture, HasPlainForm
from kormo_plugins.measures.experiments import CELL
from kormo_plugins.measures.metrics_file import FILE as METRICS
from kormo_plugins.monitoring.collapse import SAMPLES_FILE
from kormo_plugins.monitoring.samples import continuations
from kormo_plugins.pipeline.artifacts.tokenizers import special_ids
from kormo_plugins.pipeline.built import Built, say
from kormo_plugins.pipeline.open import open_dataset
from kormo_plugins.recipe.load import Recipe
from kormo_plugins.runs.publishing.model_card import CARD, write_card
from kormo_plugins.runs.publishing.publish import publish
from kormo_plugins.runs.report import SAMPLES, run_report, write_samples
from kormo_plugins.runs.verification import wait_for_verification
from kormo_plugins.store.complete import MARKER
from kormo_plugins.training.checkpoints.complete import mark_complete, mark_records
from kormo_plugins.training.checkpoints.saved_config import restore
from kormo_plugins.training.compat import upstream
from kormo_plugins.training.guards import loss_guard, preemption_file
from kormo_plugins.training.telemetry import run_record

RECORDS = {run_record.FILE, preemption_file.FILE, loss_guard.FILE, SAMPLES, "evaluation.json", CELL}
"""JSON files in a run's folder that are not part of its model, and may be rewritten later."""

FINAL = (METRICS, SAMPLES_FILE, SAMPLES, CARD)
"""Files that are final when a run ends and carry no checksum of their own: the run's marker records theirs."""

MERGED = "merged"
"""Folder for the model that Axolotl's `merge-lora` makes."""


def finish(recipe: Recipe, built: Built) -> None:
    """After the weights are saved: corrects configs, writes the plain Llama export and samples, and prints their
    paths."""
    out = recipe.output_dir
    if not (out / "config.json").is_file():
        return
    upstream.forget_deepspeed()
    wait_for_verification(say)
    _complete(recipe, built, out)
    if recipe.get("adapter"):  # adapters are no model yet: no card, export, samples or evaluation
        mark_records(out, FINAL)
        print(
            f"\nThe adapters are in {out.resolve()}; `axolotl merge-lora {recipe.path}` merges them with their base "
            "model into its folder merged/",
            flush=True,
        )
        return
    _finished_model(recipe, built, out)


def finish_merged(recipe: Recipe, built: Built) -> None:
    """After `axolotl merge-lora`: turns its folder `merged/` into that of a finished model.

    Axolotl copies every file of the base model's folder: tokenizer files with the end token of its role, card, records
    and marker. Weights and architecture are kept; everything else is replaced by that of the run that trained the
    adapters.
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
    """Corrects the configs and writes the marker of a finished model."""
    restore(out, special_ids(built.tokenizer, recipe.block.role), recipe.block.generation)
    model_files = [path.name for path in out.iterdir() if path.suffix in (".safetensors", ".json", ".jinja")]
    mark_complete(out, recipe.steps or 0, set(model_files) - RECORDS)


def _finished_model(recipe: Recipe, built: Built, out: Path) -> None:
    """The plain Llama export, card, samples, scores and report of the model in `out`."""
    if recipe.block.export and (family := plain_family(recipe, out)) is not None:
        report = family.export_llama(out, out / "export")
        layout, compared = report.get("layout", "Llama"), report.get("compared", "all")
        say(f"export/ holds the same model as a plain {layout}: {compared:,} logits compared, {equality(report)}")
    elif recipe.block.export:
        say("there is no export/: no class in transformers computes the same as this model")
    write_card(recipe, built, open_dataset(recipe.stream_plan(), built) if recipe.data is not None else None, out)
    print(f"\nThe model is in {out.resolve()}", flush=True)
    samples = recipe.block.samples
    if (
        samples is not None
        and samples.prompts
        and os.environ.get("KORMO_SAMPLES", "on") != "off"
        and (out / "config.json").is_file()
    ):
        chat = recipe.block.role == "chat"
        written = continuations(out, samples.prompts, samples.max_new_tokens, recipe.seed, chat=chat)
        write_samples(out, written)
        for prompt, text in written:
            print(printable(f"  {prompt} ▸ {' '.join(text.split())}"), flush=True)
    mark_records(out, FINAL)
    if recipe.block.evaluate is not None:
        evaluate_run(out, recipe.block.evaluate, recipe.block.plugins, say)
    _publish(recipe, out)
    if recipe.block.report:
        say(f"{run_report(out)}: curves, mixture, samples, hardware and versions")


def plain_family(recipe: Recipe, out: Path) -> Architecture | None:
    """The family that writes the plain layout of the model in `out`; None if it has no such layout."""
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    name = config.get("model_type")
    if name not in recipe.registry.names("architecture"):
        return None
    family = recipe.registry.load("architecture", name)
    return None if isinstance(family, HasPlainForm) and family.plain_type(config) is None else family


def _publish(recipe: Recipe, out: Path) -> None:
    """Publishes the finished model on the hub, if the recipe names a repository. Errors are reported, and do not fail
    the run."""
    repository = recipe.get("hub_model_id")
    if not repository:
        return
    try:
        sent = publish(out, str(repository))
    except KormoError as error:
        print(error.render(), flush=True)
        return
    say(f"{repository} on the hub has the revisions {', '.join(sent)}")
