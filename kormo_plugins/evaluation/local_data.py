"""Reads datasets from a user's folder, in the usual layouts.

`--data FOLDER` contains one folder per dataset, named as on the hub: `skt/kobest_v1` is searched as
`skt/kobest_v1`, `kobest_v1`, `skt__kobest_v1`, `skt--kobest_v1` and as a hub cache's `datasets--skt--kobest_v1`. In it,
a configuration and its splits are found by

    README.md                          the front matter's `configs:`, as in any copy of a hub repository
    <configuration>/<split>*.<ending>  a folder for each configuration
    <configuration>[-_]<split>*…       files side by side
    <split>*.<ending>, data/<split>*…  a dataset with one configuration, or none

with the endings jsonl, json, parquet and csv. Nothing outside the folder is read, and no dataset code is run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from kormo_plugins.errors import KormoError, closest, in_words

if TYPE_CHECKING:
    from datasets import DatasetDict

ENDINGS = (".jsonl", ".json", ".parquet", ".csv")


def find_dataset(folder: Path, dataset: str) -> Path | None:
    """The folder of a dataset under `--data`; None if it does not exist."""
    owner, _, name = dataset.rpartition("/")
    cached = folder / f"datasets--{dataset.replace('/', '--')}" / "snapshots"
    places = [folder / dataset, folder / f"{owner}__{name}", folder / f"{owner}--{name}", folder / name]
    for place in [*places, *sorted(cached.glob("*"), reverse=True)]:
        if place.is_dir() and place.resolve().is_relative_to(folder.resolve()):
            return place
    return None


def read_splits(
    folder: Path, configuration: str | None, wanted: Iterable[str], others: Iterable[str] = ()
) -> DatasetDict:
    """A `datasets.DatasetDict` of the splits that a task reads.

    Args:
        folder: of the dataset.
        configuration: as in the task's `dataset_name`; None: the dataset has none.
        wanted: names of required splits.
        others: names of splits that are read if they exist.
    Raises:
        KormoError: the configuration or a split has no file, or a file cannot be read.
    """
    from datasets import DatasetDict

    files = _files(folder, configuration)
    splits, must = {}, list(dict.fromkeys(wanted))
    for split in dict.fromkeys([*must, *others]):
        paths = files.get(split) or _similar(files, split)
        if not paths and split not in must:
            continue
        if not paths:
            what = f"{configuration}: {split}" if configuration else split
            raise KormoError(
                where=str(folder),
                found=f"no file of {what!r}",
                why=_layout(folder, files),
                do=f"put {configuration + '/' if configuration else ''}{split}.jsonl (or .parquet, .csv) there",
            )
        splits[split] = _read(paths)
    return DatasetDict(splits)


def _layout(folder: Path, files: dict[str, list[Path]]) -> str:
    if files:
        return f"the splits found are: {', '.join(sorted(files))}"
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return f"the folder holds: {', '.join(names[:8]) or 'nothing'}"


def _similar(files: dict[str, list[Path]], split: str) -> list[Path]:
    """Files of a split; `dev`, `val` and `validation` are synonyms."""
    names = {"dev", "val", "valid", "validation"}
    return next((paths for name, paths in files.items() if {name, split} <= names), [])


def _files(folder: Path, configuration: str | None) -> dict[str, list[Path]]:
    """Split -> files."""
    declared = _declared(folder, configuration)
    if declared:
        return declared
    if configuration:
        inner = folder / configuration
        if inner.is_dir() and inner.resolve().is_relative_to(folder.resolve()):
            return _by_split(inner)
        beside = [
            (path, path.stem[len(configuration) + 1 :])
            for path in _data_files(folder)
            if path.stem.lower().startswith((f"{configuration}-".lower(), f"{configuration}_".lower()))
        ]
        if beside:
            return _group(beside)
        if configuration != "default":
            return {}
    return _by_split(folder)


def _declared(folder: Path, configuration: str | None) -> dict[str, list[Path]]:
    """Split -> files, from the front matter of README.md."""
    readme = folder / "README.md"
    if not readme.is_file():
        return {}
    parts = readme.read_text(encoding="utf-8", errors="replace").split("---\n")
    try:
        front = yaml.safe_load(parts[1]) if len(parts) > 2 and not parts[0].strip() else None
    except yaml.YAMLError:
        front = None
    for one in (front or {}).get("configs") or () if isinstance(front, dict) else ():
        if one.get("config_name") == (configuration or "default"):
            listed = one.get("data_files")
            listed = [{"split": "train", "path": listed}] if isinstance(listed, str) else listed or []
            splits: dict[str, list[Path]] = {}
            for entry in listed:
                patterns = [entry["path"]] if isinstance(entry["path"], str) else entry["path"]
                splits[entry["split"]] = [path for pattern in patterns for path in _inside(folder, pattern)]
            return {split: paths for split, paths in splits.items() if paths}
    return {}


def _inside(folder: Path, pattern: str) -> list[Path]:
    try:
        paths = sorted(folder.glob(pattern))
    except (NotImplementedError, ValueError):  # an absolute or empty pattern
        return []
    return [path for path in paths if path.is_file() and path.resolve().is_relative_to(folder.resolve())]


def _data_files(folder: Path) -> list[Path]:
    places = [folder, folder / "data"]
    return sorted(path for place in places if place.is_dir() for path in place.iterdir() if path.suffix in ENDINGS)


def _by_split(folder: Path) -> dict[str, list[Path]]:
    return _group((path, path.stem) for path in _data_files(folder))


def _group(named: Iterable[tuple[Path, str]]) -> dict[str, list[Path]]:
    """Groups files by the split that their names start with: `test-00000-of-00001` belongs to `test`."""
    splits: dict[str, list[Path]] = {}
    for path, name in named:
        splits.setdefault(name.replace("_", "-").split("-")[0].lower(), []).append(path)
    return splits


def _read(paths: list[Path]) -> object:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet
    from datasets import Dataset, concatenate_datasets

    parts = []
    for path in paths:
        try:
            if path.suffix == ".parquet":
                parts.append(Dataset(pyarrow.parquet.read_table(path)))
            elif path.suffix == ".csv":
                parts.append(Dataset(pyarrow.csv.read_csv(path)))
            else:
                parts.append(Dataset.from_list(_rows(path)))
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise KormoError(
                where=str(path),
                found=in_words(error),
                why="it cannot be read as a table",
                do="copy the dataset again",
            ) from None
    return parts[0] if len(parts) == 1 else concatenate_datasets(parts)


def _rows(path: Path) -> list[dict[str, object]]:
    """Rows of JSON lines, or of one JSON list."""
    text = path.read_text(encoding="utf-8")
    where = str(path)
    try:
        if path.suffix == ".json" and text.lstrip().startswith("["):
            rows = json.loads(text)
        else:
            rows = []
            for number, line in enumerate(text.splitlines(), 1):
                where = f"{path}:{number}"
                if line.strip():
                    rows.append(json.loads(line))
        if not rows or not all(isinstance(row, dict) for row in rows):
            raise ValueError("rows are JSON objects, at least one")
    except ValueError as error:
        raise KormoError(
            where=where, found=in_words(error), why="the dataset cannot be read", do="copy it again"
        ) from None
    return list(rows)


def wrong_columns(task: str, place: str, columns: Iterable[str], error: Exception) -> KormoError:
    """The error of a task's template or function that does not find a column."""
    names = sorted(columns)
    message = " ".join(str(error).split()) or in_words(error)
    missing = message.split("'")[1] if "'" in message else message
    return KormoError(
        where=place,
        found=f"the columns {', '.join(names)}",
        why=f"the task {task} reads {missing!r} ({in_words(error)})",
        do=closest(missing, names) or "use the column names of the dataset on the hub",
    )
