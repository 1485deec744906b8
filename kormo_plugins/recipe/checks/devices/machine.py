"""Checks what a run needs of this machine before anything is built: permissions, disk, packages, keys of trackers.

A recipe can be valid and the machine not ready for it. `kormo recipe validate` reports that as warnings, since the
recipe may be meant for another machine; a run is refused.
"""

from __future__ import annotations

import importlib.util
import netrc
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from kormo_plugins.errors import NEEDED, Faults, KormoError, moved, size
from kormo_plugins.recipe.checked import CheckedRecipe
from kormo_plugins.recipe.checks.length import shorter_than_checkpoint
from kormo_plugins.recipe.checks.places import not_a_folder, written
from kormo_plugins.recipe.cost.disk import checkpoint_bytes
from kormo_plugins.recipe.files.folders import exists
from kormo_plugins.training.float8 import refuse_without_float8

MEGABYTE = 1e6
KEPT = 0.5
"""Minimum bytes on disk per byte of text: compressed documents, and two bytes for a token of about six."""

PACKAGES: Mapping[str, Mapping[object, str]] = {
    "optimizer": {
        "optimi_adamw": "optimi",
        "ao_adamw_fp8": "torchao",
        "ao_adamw_4bit": "torchao",
        "ao_adamw_8bit": "torchao",
        "adamw_torch_4bit": "torchao",
        "adamw_torch_8bit": "torchao",
        "came_pytorch": "came_pytorch",
        "q_galore_adamw8bit": "q_galore_torch",
        "galore_adamw": "galore_torch",
        "galore_adafactor": "galore_torch",
        "lomo": "lomo_optim",
        "adalomo": "lomo_optim",
        "grokadamw": "grokadamw",
        "apollo_adamw": "apollo_torch",
        "schedule_free_adamw": "schedulefree",
        "schedule_free_sgd": "schedulefree",
        "stable_adamw": "torch_optimi",
        **dict.fromkeys(
            (
                "adamw_bnb_8bit",
                "adamw_8bit",
                "lion_8bit",
                "lion_32bit",
                "paged_adamw_32bit",
                "paged_adamw_8bit",
                "paged_lion_32bit",
                "paged_lion_8bit",
                "ademamix",
                "ademamix_8bit",
                "rmsprop_bnb",
            ),
            "bitsandbytes",
        ),
        **dict.fromkeys(("flash_adamw", "flash_adam", "flash_sgd", "flash_sgdw", "flash_lion"), "flashoptim"),
    },
    "load_in_4bit": {True: "bitsandbytes"},
    "load_in_8bit": {True: "bitsandbytes"},
    "use_wandb": {True: "wandb"},
    "use_mlflow": {True: "mlflow"},
    "use_comet": {True: "comet_ml"},
    "use_trackio": {True: "trackio"},
    "use_tensorboard": {True: "tensorboard"},
    "use_otel_metrics": {True: "opentelemetry"},
    "use_ray": {True: "ray"},
}
"""Key -> value -> import name of the package that it needs."""

INSTALLED_AS = {
    "optimi": "torch-optimi",
    "torch_optimi": "torch-optimi",
    "came_pytorch": "came-pytorch",
    "q_galore_torch": "q-galore-torch",
    "galore_torch": "galore-torch",
    "lomo_optim": "lomo-optim",
    "apollo_torch": "apollo-torch",
    "comet_ml": "comet-ml",
    "opentelemetry": "opentelemetry-sdk",
}
"""Import name -> name to install, where they differ."""


def not_ready(recipe: CheckedRecipe) -> Iterator[KormoError]:
    """An error for everything that this machine lacks for a run of the recipe, or has of a longer one."""
    for key, path in written(recipe.resolved):
        yield from unwritable(path, recipe.resolved.where(key))
    yield from shorter_than_checkpoint(recipe)
    yield from data_not_ready(recipe)
    yield from _packages(recipe)
    yield from _float8(recipe)
    yield from _tracker_keys(recipe)
    yield from _disk(recipe)


def data_not_ready(recipe: CheckedRecipe) -> Iterator[KormoError]:
    """An error for everything missing to build the data: input files, and disk space for generated text."""
    yield from _missing_inputs(recipe)
    generated = MEGABYTE * sum(_generated(recipe))
    free = shutil.disk_usage(existing(recipe.block.workspace)).free
    if generated * KEPT > free:
        yield KormoError(
            where=recipe.resolved.where("kormo.data.sources"),
            found=f"{size(generated)} of text to generate, {size(free)} {NEEDED} {recipe.block.workspace}",
            why=f"documents and shards take at least {KEPT:g} times as much",
            do="generate less (megabytes), choose another kormo.workspace, or free some space",
        )


def _generated(recipe: CheckedRecipe) -> Iterator[float]:
    """Megabytes of text requested of each generator that takes its size in megabytes."""
    for source in recipe.data.corpus.sources.values() if recipe.data is not None else ():
        size = source.generator.values.get("megabytes") if source.generator is not None else None
        if isinstance(size, (int, float)) and not isinstance(size, bool):
            yield float(size)


def _missing_inputs(recipe: CheckedRecipe) -> Iterator[KormoError]:
    """Missing input files: a source is read only after the sources before it are cleaned, possibly hours later."""
    for source, path in _reader_paths(recipe):
        if not exists(path):
            yield KormoError(
                where=recipe.resolved.where(f"kormo.data.sources.{source}.reader.path"),
                found=str(path)[:200],
                why="there is no such file or folder (paths are relative to the current folder)",
                do="correct the path, or run the command in the folder that it is relative to",
            )
    choice = recipe.block.tokenizer
    if choice is not None and choice.path is not None and not exists(choice.path / "tokenizer.json"):
        yield KormoError(
            where=recipe.resolved.where("kormo.tokenizer.path"),
            found=str(choice.path)[:200],
            why="there is no tokenizer.json in it",
            do="name a folder written by `kormo tokenizer train`, or that of another byte-level BPE",
        )


def _reader_paths(recipe: CheckedRecipe) -> Iterator[tuple[str, Path]]:
    """Source and path of the readers with a parameter `path`."""
    for name, source in recipe.data.corpus.sources.items() if recipe.data is not None else ():
        model = recipe.registry.model("reader", source.reader.name) if source.reader is not None else None
        field = model.model_fields.get("path") if model is not None else None
        value = source.reader.values.get("path") if source.reader is not None else None
        if field is not None and field.annotation is Path and isinstance(value, str):
            yield name, Path(value)


def refuse_unwritable(folder: Path, where: str) -> None:
    """Refuses a folder that cannot be created or written.

    Raises:
        KormoError: it is a file, its name is too long, or the user has no permission.
    """
    fault = not_a_folder(folder, where)
    for error in (fault,) if fault else unwritable(folder, where):
        raise error


def unwritable(path: Path, where: str) -> Iterator[KormoError]:
    """The nearest existing folder, if it cannot be written."""
    folder = existing(path)
    if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
        yield KormoError(
            where=where,
            found=f"{path}: {folder} cannot be written",
            why="the run writes its output there",
            do="change its rights, or name a folder that is yours",
        )


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next((folder for folder in (path, *path.absolute().parents) if exists(folder)), Path("/"))


def _packages(recipe: CheckedRecipe) -> Iterator[KormoError]:
    for key, needed in PACKAGES.items():
        value = recipe.get(key)
        package = needed.get(value) if isinstance(value, (str, bool)) else None
        if package is not None and importlib.util.find_spec(package) is None:
            yield KormoError(
                where=recipe.resolved.where(key),
                found=f"{key}: {str(value).lower()} without the package {package}",
                why="it is not installed, and training would fail when it is needed",
                do=f"pip install {INSTALLED_AS.get(package, package)}, or change {key}",
            )


def _float8(recipe: CheckedRecipe) -> Iterator[KormoError]:
    faults = Faults()
    if recipe.block.precision.compute == "float8":
        with faults.catch():
            refuse_without_float8()
    yield from (moved(fault, recipe.resolved.where) for fault in faults)


def _tracker_keys(recipe: CheckedRecipe) -> Iterator[KormoError]:
    """Refuses Weights & Biases without a key: it would ask at a prompt, which nobody answers in a job."""
    if not (recipe.get("use_wandb") or recipe.get("wandb_project")):
        return
    mode = str(recipe.get("wandb_mode") or os.environ.get("WANDB_MODE") or "online")
    disabled = os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1", "yes")
    if mode != "online" or disabled or os.environ.get("WANDB_API_KEY") or _in_netrc():
        return
    key = "use_wandb" if recipe.get("use_wandb") else "wandb_project"
    yield KormoError(
        where=recipe.resolved.where(key),
        found="Weights & Biases without a key",
        why="there is neither WANDB_API_KEY nor a login, and it would prompt for a key once everything is built",
        do='run `wandb login`, set WANDB_API_KEY, or wandb_mode: "offline"',
    )


def _in_netrc() -> bool:
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("//")[-1].split("/")[0]
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        return netrc.netrc(str(path)).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _disk(recipe: CheckedRecipe) -> Iterator[KormoError]:
    """Disk space for the checkpoints that `kormo recipe plan` predicts, minus what the folder already contains."""
    needed = checkpoint_bytes(recipe)
    if needed is None or recipe.get("save_strategy") == "no":
        return
    folder = recipe.output_dir
    have = shutil.disk_usage(existing(folder)).free + _size(folder)
    if needed > have:
        yield KormoError(
            where=recipe.resolved.where("output_dir"),
            found=f"{size(have)} {NEEDED} {folder}, {size(needed)} needed",
            why="its checkpoints and the finished model take that much (`kormo recipe plan` shows the parts)",
            do="choose a folder on another disk, lower save_total_limit, or free some space",
        )


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
