"""The identity of a stage: whether an existing model is still the one that this recipe would train.

    identity = hash(the keys of the recipe that matter, the documents, the previous model)

The recipe counts in resolved form, without keys that only change where or how fast it is trained, or what is kept. The
documents count by the hashes of their artifacts, which are computed from the recipe and the input files without
building anything. The previous model counts by the hashes of its files: retrained with the same result, it is the same.

Code does not count, so that an update does not retrain anything; a change to the bytes of an artifact increments its
version number, which is part of the documents' hashes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.pipeline.artifacts import initial_model
from kormo_plugins.pipeline.artifacts.corpora import build_corpora
from kormo_plugins.pipeline.artifacts.token_source import token_identities
from kormo_plugins.recipe.files.yaml_file import read_yaml
from kormo_plugins.recipe.projections import IdentityPlan
from kormo_plugins.store.artifact import Artifact, Make, Spec
from kormo_plugins.store.fingerprint import IDENTITY_LENGTH, file_checksum, identity
from kormo_plugins.training.telemetry import run_record

RECORD = "stage"
"""Key of the identity in `run.json`."""

IGNORED_KEYS = frozenset(
    {
        # where it is written, and what is kept and logged
        "output_dir",
        "logging_steps",
        "save_steps",
        "saves_per_epoch",
        "save_strategy",
        "save_total_limit",
        "auto_resume_from_checkpoints",
        "resume_from_checkpoint",
        "dataset_prepared_path",
        "debug",
        "strict",
        "use_tensorboard",
        "use_wandb",
        "use_mlflow",
        "use_comet",
        "kormo.workspace",
        "kormo.tokenizer.engine",
        "kormo.samples",
        "kormo.export",
        "kormo.allow_changed",
        "kormo.evaluate",
        "kormo.monitor",
        "kormo.milestones",
        "kormo.report",
        "kormo.stop_on",
        # on which hardware it is trained: the same numbers up to rounding
        "micro_batch_size",
        "kormo.pack_pairs",
        "kormo.checkpointed_layers",
        "deepspeed",
        "fsdp",
        "fsdp_config",
        "fsdp_version",
        "ddp_timeout",
        "ddp_bucket_cap_mb",
        "gradient_checkpointing",
        "gradient_checkpointing_kwargs",
        "activation_offloading",
        "dataloader_num_workers",
        "dataloader_prefetch_factor",
        "dataloader_pin_memory",
        "attn_implementation",
        "sdpa_varlen",
        "torch_compile",
        "torch_compile_backend",
        "context_parallel",
        "context_parallel_size",
        "sequence_parallel_degree",
        "tensor_parallel_size",
        "dp_shard_size",
        "dp_replicate_size",
        "kormo.kernels",
        "kormo.data.executor",
        "kormo.data.workers",
        # covered by what it leads to
        "kormo.from_run",
    }
)
"""Keys that do not change the model; a killed stage may be resumed with other values."""

ASIDE_PREFIXES = ("wandb_", "mlflow_", "comet_", "trackio_", "swanlab_")


def stage_identity(plan: IdentityPlan, corpora: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The identity of what the recipe trains.

    Args:
        plan: of the checked recipe.
        corpora: hash of each source's documents, if known; None: computed.
    Returns:
        `hash`, and its parts: `recipe`, `documents` (by source), `files` (by path) and `before`.
    Raises:
        KormoError: an input is missing, or the previous stage is not finished.
    """
    parts = {**identity_inputs(plan, corpora), "before": _before(plan)}
    return {**parts, "hash": identity(parts)[:IDENTITY_LENGTH]}


def identity_inputs(plan: IdentityPlan, corpora: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The identity without the previous model: what is known, and checked, before any stage runs."""
    sources = set(plan.documents.corpus.documents_of) if plan.documents is not None else set()
    if corpora is None or set(corpora) != sources:
        corpora = _documents(plan)
    tokens = token_identities(plan.documents.corpus.tokens_of) if plan.documents is not None else {}
    return {
        "recipe": identity({".".join(keys): value for keys, value in _told(plan.values)})[:IDENTITY_LENGTH],
        "documents": dict(sorted({**corpora, **tokens}.items())),
        "files": {name: _checksum(path) for name, path in _files(plan)},
    }


def changed_keys(plan: IdentityPlan, folder: Path) -> list[str]:
    """How this recipe differs from that of the run in `folder`, as `key: before → now`."""
    path = folder / "recipe.yml"
    if not path.is_file():
        return []
    before = {".".join(keys): value for keys, value in _told(read_yaml(path))}
    now = {".".join(keys): value for keys, value in _told(plan.values)}
    keys = sorted(before.keys() | now.keys())
    return [f"{key}: {_short(before, key)} → {_short(now, key)}" for key in keys if before.get(key) != now.get(key)]


def recorded(folder: Path) -> dict[str, Any]:
    """The identity that the run in `folder` was started with; empty if none was recorded."""
    try:
        record = run_record.read_record(folder).get(RECORD)
    except ValueError:
        return {}
    return dict(record) if isinstance(record, Mapping) else {}


def _told(values: Mapping[str, object], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """The values that count, by key; null is the same as a missing key."""
    for key, value in values.items():
        keys = (*above, str(key))
        if ".".join(keys) in IGNORED_KEYS or (not above and str(key).startswith(ASIDE_PREFIXES)):
            continue
        if isinstance(value, Mapping):
            yield from _told(value, keys)
        elif value is not None:
            yield keys, value


def _short(values: Mapping[str, object], key: str) -> str:
    text = json.dumps(values[key], ensure_ascii=False) if key in values else "nothing"
    return text if len(text) <= 40 else text[:37] + "..."


def _documents(plan: IdentityPlan) -> dict[str, str]:
    if plan.documents is None:
        return {}

    def named(workspace: Path, spec: Spec, make: Make) -> Artifact:
        """The artifact that the inputs name, whether or not it is built."""
        return Artifact(workspace / spec.folder, {"hash": spec.hash, "stats": {"documents": 1}})

    corpora = build_corpora(plan.documents, named)
    return {name: artifact.hash for name, artifact in corpora.items()}


def _files(plan: IdentityPlan) -> Iterator[tuple[str, Path]]:
    """Local files that the recipe names: a tokenizer, a base model, data that Axolotl reads."""
    choice, base_model = plan.tokenizer, plan.values.get("base_model")
    if choice is not None and choice.path is not None:
        yield str(choice.path), choice.path / "tokenizer.json" if choice.path.is_dir() else choice.path
    base = Path(str(base_model or ""))
    if base_model and base.is_dir():
        for file in sorted([*base.glob("*.safetensors"), *base.glob("*.json")]):
            yield str(file), file
    for key in ("datasets", "test_datasets"):
        entries = plan.values.get(key)
        for entry in entries if isinstance(entries, Sequence) else ():
            yield from _dataset_files(entry)


def _dataset_files(entry: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    named = entry.get("data_files") or ()
    for name in [entry.get("path"), *([named] if isinstance(named, str) else named)]:
        path = Path(str(name))
        if name and path.is_file():
            yield str(path), path
        elif name and path.is_dir():
            yield from ((str(file), file) for file in sorted(path.rglob("*")) if file.is_file())


def _checksum(path: Path) -> str:
    try:
        return file_checksum(path)
    except OSError as error:
        raise KormoError(
            where=str(path), found=in_words(error), why="the recipe needs it", do="correct the path"
        ) from None


def _before(plan: IdentityPlan) -> str | None:
    run = plan.before
    return initial_model.weights_hash(initial_model.finished_model(run)) if run is not None else None
