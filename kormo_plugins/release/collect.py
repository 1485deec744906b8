"""Writes a release and its index, `release.json`.

    release.json            format, and the runs; a run comes after the run whose model it starts from
    runs/NAME/              resolved recipe, record, metrics, scores, card, model, requested checkpoints
    runs/NAME/written/      the recipe as it was written, with every file that it extends
    artifacts/KIND-NAME-…/  manifests of corpus, tokenizer, shards and row plans: inputs, statistics, file hashes
    code.json  lock.txt  sbom.cdx.json  licenses.json  SHA256SUMS

Documents are not copied: their licences may forbid it. The manifests record their inputs and hashes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kormo_plugins import __version__
from kormo_plugins.architecture.files import TOKENIZER_FILES
from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.measures.metrics_file import FILE as METRICS
from kormo_plugins.recipe.files.yaml_file import read_yaml
from kormo_plugins.release.environment import code_hashes, lock, sbom
from kormo_plugins.store.artifact import MANIFEST
from kormo_plugins.store.atomic import write_text
from kormo_plugins.store.complete import MARKER, fault
from kormo_plugins.store.json_file import read_object, seal_fault, write_json
from kormo_plugins.store.lease import new_folder
from kormo_plugins.store.sums import write_sums
from kormo_plugins.training.checkpoints.complete import checkpoints, step_of
from kormo_plugins.training.telemetry.left_behind import CARD, EVALUATION, SAMPLES, changed_card, check_left_behind
from kormo_plugins.training.telemetry.run_record import FILE as RECORD
from kormo_plugins.training.telemetry.run_record import RESOLVED, read_record

INDEX = "release.json"
FORMAT = 1
CHAIN = "chain.json"
KEPT = (
    RESOLVED,
    RECORD,
    MARKER,
    METRICS,
    EVALUATION,
    SAMPLES,
    CARD,
    "config.json",
    "generation_config.json",
    "model*.safetensors",
    "*.index.json",
    *TOKENIZER_FILES,
)


@dataclass(frozen=True)
class Released:
    """One run of a release.

    Args:
        name: its folder below `runs/`.
        output_dir: where it was trained, as its recipe and those of later runs name it.
        checkpoints: steps of the included checkpoints, from which a window can be repeated.
    """

    name: str
    output_dir: str
    checkpoints: tuple[int, ...]


def release(source: Path, out: Path, steps: Sequence[int] = ()) -> str:
    """Writes the release of a finished run, or of every stage of a chain.

    Args:
        source: a run's folder, or a chain's (with `chain.json`).
        out: folder to create.
        steps: checkpoints to include, of every run that has them.
    Returns:
        The identity of the release: SHA-256 of its list of hashes.
    Raises:
        KormoError: an unfinished run, an incomplete checkpoint, or `out` already exists.
    """
    runs = _runs(source)
    for run in runs:
        _refuse_unfinished(run)
        check_left_behind(run)
        _refuse_missing_artifacts(run)
    _refuse_missing_steps(runs, steps)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise KormoError(
            where=str(out), found="something that exists already", why="nothing is overwritten", do="name a new folder"
        )
    with new_folder(out) as partial:
        entries = [_copy_run(run, partial, steps) for run in runs]
        if (source / CHAIN).is_file():
            _copy(source / CHAIN, partial / CHAIN)
        _write_index(partial, source.name, entries, runs)
        identity = write_sums(partial)
    return identity


def _runs(source: Path) -> list[Path]:
    chain = source / CHAIN
    if not chain.is_file():
        return [source]
    fix = "run the chain again: finished stages are skipped, and the file is written again"
    record = read_object(chain, missing=("", fix), fix=fix)
    stages, changed = record.get("stages"), seal_fault(record, unnamed=True)
    named = isinstance(stages, list) and all(isinstance(one, dict) and "output" in one for one in stages)
    if changed or not stages or not named:
        raise KormoError(
            where=str(chain), found=changed or "no list of stages", why="a release holds the run of each stage", do=fix
        )
    return [_from(source, str(stage["output"])) for stage in stages]


def _from(folder: Path, name: str) -> Path:
    """A path from a run's or a chain's record. It is relative to the folder in which training was started, usually a
    parent of the run's folder, and possibly not the current one."""
    path = Path(name)
    places = () if path.is_absolute() else (above / path for above in folder.resolve().parents)
    return next((place for place in places if place.exists()), path)


def changed_cards(source: Path) -> list[Path]:
    """Model cards that were edited or removed after the end of their run; a release contains the current state."""
    return [run / CARD for run in _runs(source) if changed_card(run)]


def _refuse_unfinished(run: Path) -> None:
    reason = fault(run) if run.is_dir() else "there is no such folder"
    missing = [name for name in (RESOLVED, RECORD) if not (run / name).is_file()]
    if reason is not None or missing:
        raise KormoError(
            where=str(run),
            found=reason or f"no {missing[0]}",
            why="only a finished run, as it was written, can be checked by others",
            do="finish training (the same command resumes it)",
        )


def _refuse_missing_artifacts(run: Path) -> None:
    """Refuses a run whose corpora, shards or rows are missing: the release would lack their hashes."""
    missing = [key for key, folder in _artifacts(run) if "/" in key and not (folder / MANIFEST).is_file()]
    if missing:
        raise KormoError(
            where=str(run),
            found=f"no manifest of {', '.join(missing)}",
            why="others compare what they build with its inputs and hashes",
            do=f"put the artifacts back where {RECORD} names them; `kormo train` builds them again",
        )


def _artifacts(run: Path) -> list[tuple[str, Path]]:
    """Kind and name of each artifact of a run, and its folder."""
    return [(key, _from(run, place)) for key, place in read_record(run).get("artifacts", {}).items()]


def _refuse_missing_steps(runs: Sequence[Path], steps: Sequence[int]) -> None:
    available = {step_of(folder) for run in runs for folder in checkpoints(run) if fault(folder) is None}
    for step in steps:
        if step not in available:
            raise KormoError(
                where="kormo release --checkpoint",
                found=str(step),
                why="no run has a whole checkpoint of that step",
                do=f"name one of {', '.join(map(str, sorted(available))) or 'none: keep some with save_steps'}",
            )


def _copy_run(run: Path, out: Path, steps: Sequence[int]) -> Released:
    folder = out / "runs" / run.name
    for pattern in KEPT:
        for path in sorted(run.glob(pattern)):
            _copy(path, folder / path.name)
    for path in written(run):
        if path.is_file():
            _copy(path, folder / "written" / _flat(path))
    kept = [c for c in checkpoints(run) if step_of(c) in steps and fault(c) is None]
    for checkpoint in kept:
        shutil.copytree(checkpoint, folder / checkpoint.name, copy_function=_copy)
    for _, place in _artifacts(run):
        if (place / MANIFEST).is_file():
            _copy(place / MANIFEST, out / "artifacts" / place.name / MANIFEST)
    return Released(run.name, str(read_yaml(run / RESOLVED)["output_dir"]), tuple(step_of(c) for c in kept))


def written(run: Path) -> list[Path]:
    """The recipe files of a run as written, with the files that they extend; some may no longer exist."""
    record = read_record(run)
    names = [*(record.get("facts", {}).get("extends") or {}).get("files", ()), record.get("recipe")]
    return [_from(run, name) for name in dict.fromkeys(names) if name]


def recipes_gone(source: Path) -> list[Path]:
    """Recipe files that no longer exist; their values are in the resolved recipe."""
    return [path for run in _runs(source) for path in written(run) if not path.is_file()]


def _flat(path: Path) -> str:
    """A unique file name for a path."""
    return path.as_posix().strip("/").replace("../", "").replace("/", "__")


def _copy(source: str | Path, target: str | Path) -> None:
    """Copies a file and creates its folder; not a link, so that changes of the release do not affect the run."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _write_index(out: Path, name: str, entries: Sequence[Released], runs: Sequence[Path]) -> None:
    seeds = {run.name: read_record(run).get("identity", {}).get("seed") for run in runs}
    index = {
        "format": FORMAT,
        "name": name,
        "kormo_plugins": __version__,
        "runs": [asdict(entry) for entry in entries],
        "seeds": seeds,
    }
    write_json(out / INDEX, index)
    write_json(out / "code.json", code_hashes())
    write_json(out / "sbom.cdx.json", sbom())
    write_text(out / "lock.txt", "\n".join(lock()) + "\n")
    write_json(out / "licenses.json", {run.name: _licences(run) for run in runs})


def _licences(run: Path) -> dict[str, str]:
    """Source -> licence, from the run's dataset recipe."""
    data: Mapping[str, Any] = read_yaml(run / RESOLVED).get("kormo", {}).get("data") or {}
    return {name: str(source.get("license", "not stated")) for name, source in (data.get("sources") or {}).items()}


def read_index(folder: Path) -> list[Released]:
    """The runs of a release, in order.

    Raises:
        KormoError: not a release.
    """
    path = folder / INDEX
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["format"] != FORMAT:
            raise ValueError(f"format {value['format']}")
        return [Released(r["name"], r["output_dir"], tuple(r["checkpoints"])) for r in value["runs"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KormoError(
            where=str(path),
            found=in_words(error),
            why="it lists the runs of the release",
            do="name a folder that `kormo release` of this version made",
        ) from None
