"""The keys that Axolotl and its plugins accept, without importing Axolotl.

Its configuration model takes seconds and torch to import, so it is read once, as JSON Schema, and cached:

    $XDG_CACHE_HOME/kormo/axolotl-schema-<hash of versions and plugins>.json

On a miss, a child process builds the entry (or this process, if Axolotl is already imported), and it is written
atomically. Plugins outside Axolotl have no version that changes with every edit, so size and time of the files with
their argument models are recorded, and the entry is rebuilt when one of them has changed.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kormo_plugins import __version__
from kormo_plugins.errors import KormoError, disk_error_in
from kormo_plugins.plugins.lookup import allowed
from kormo_plugins.recipe.schema.axolotl_model import MODEL_MODULE, build, stamp
from kormo_plugins.recipe.schema.axolotl_plugins import EVERY, is_ours, look_up
from kormo_plugins.recipe.schema.json_types import Schema
from kormo_plugins.store.atomic import write_text
from kormo_plugins.store.fingerprint import IDENTITY_LENGTH, identity
from kormo_plugins.training.compat import variants, versions

FORMAT = 8
"""Incremented when entries of an older layout must not be read."""


@dataclass(frozen=True)
class SchemaView:
    """What a recipe may contain outside the `kormo:` block.

    Args:
        schema: JSON Schema of the whole configuration (`properties`, `additionalProperties: false`).
        definitions: JSON Schema of the models that it refers to (`#/$defs/<name>`).
        command_line: options of Axolotl's commands, which it writes into the configuration although they are no keys.
        schedules: learning-rate schedule -> argument of `lr_scheduler_kwargs` -> `integer`, `number`, or `` for others.
        generation: settings that transformers' generation knows.
    """

    schema: Schema
    definitions: dict[str, Schema]
    command_line: frozenset[str]
    schedules: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    generation: frozenset[str] = frozenset()

    @property
    def keys(self) -> tuple[str, ...]:
        """The top-level keys."""
        return tuple(self.schema["properties"])


def axolotl_keys(plugins: Sequence[str] = ()) -> SchemaView:
    """The schema of the installed Axolotl together with the arguments of `plugins`.

    Args:
        plugins: Axolotl plugins as a recipe lists them (ours is ignored), or `EVERY`.
    Raises:
        KormoError: Axolotl is not installed or has an unsupported version, or a plugin cannot be imported (Axolotl
            itself would continue without it).
    """
    versions.require_supported(versions.installed())
    names = sorted({variants.plugin_name(name) for name in plugins if not is_ours(name)})
    path = cache_folder() / f"axolotl-schema-{identity(_key(names))[:IDENTITY_LENGTH]}.json"
    content = _read(path)
    if content is None:
        for name in names:
            if name != EVERY:
                look_up(name)
        content = build(names) if MODEL_MODULE in sys.modules else _build_apart(names)
        _write(path, content)
    return SchemaView(
        content["schema"],
        content["definitions"],
        frozenset(content["command_line"]),
        content.get("schedules", {}),
        frozenset(content.get("generation", ())),
    )


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/kormo`, by default `~/.cache/kormo`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kormo"


def _key(plugins: list[str]) -> dict[str, object]:
    versions_by_name: dict[str, str] = {"kormo-plugins": __version__, "python": sys.version.split()[0]}
    for distribution in ("axolotl", "transformers", "trl"):
        try:
            versions_by_name[distribution] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            raise KormoError(
                where=f"the package {distribution}",
                found="not installed",
                why="a recipe is an Axolotl configuration, and is checked against the installed Axolotl",
                do=versions.install_line(),
            ) from None
    return {
        "format": FORMAT,
        "versions": versions_by_name,
        "plugins": plugins,
        "unnamed": variants.entry_point_plugins(),
    }


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        fresh = all(stamp(Path(file)) == noted for file, noted in content["sources"].items())
        return content if fresh and content["schema"] and content["definitions"] is not None else None
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None  # missing, damaged, or of an older version: built again


def _write(path: Path, content: dict[str, object]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(content))
    except (OSError, KormoError):
        return  # without a writable cache (read-only home, full disk), only seconds are lost


def _build_apart(plugins: list[str]) -> dict[str, Any]:
    """Runs `build` in a child process, which keeps torch out of this process and import messages off its stdout."""
    with tempfile.TemporaryDirectory(prefix="kormo-") as folder:
        out = Path(folder) / "schema.json"
        paths = [path for path in sys.path if path]
        if any(allowed(plugin.rpartition(".")[0]) for plugin in plugins):
            paths.append(str(Path.cwd()))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        child = subprocess.run(
            [sys.executable, "-P", "-m", "kormo_plugins.recipe.schema.axolotl_model", str(out), *plugins],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        whole = child.returncode == 0 and out.exists()  # not truncated by a full disk
        content = json.loads(out.read_text(encoding="utf-8")) if whole else None
    if content is None:
        last = (child.stderr.strip().splitlines() or [f"exit status {child.returncode}"])[-1]
        if disk := disk_error_in(RuntimeError(last), where=Path(folder)):
            raise disk
        raise KormoError(
            where="the installed Axolotl",
            found=last,
            why="its configuration model could not be imported",
            do=f"try `{sys.executable} -c 'import {MODEL_MODULE}'`, or reinstall it: {versions.install_line()}",
        )
    if "error" in content:
        where, found, why, do = content["error"]
        raise KormoError(where=where, found=found, why=why, do=do)
    return dict(content)
