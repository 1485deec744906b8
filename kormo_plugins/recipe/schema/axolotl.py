"""The keys that Axolotl and its plugins accept, without importing Axolotl.

Its configuration model takes seconds and torch to import, so it is read once, as JSON Schema, and cached:

    $XDG_CACHE_HOME/kormo/axolotl-schema-<hash of versions and plugins>.json

On a miss, a child process builds the entry (or this process, if Axolotl is already imported), and it is written
atomically. Plugins outside Axolotl have no version that changes with every edit, so size and time of the files with
their argument models are recorded, and the entry is rebuilt when one of them has changed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kormo_plugins import __version__
from kormo_plugins.errors import KormoError
from kormo_plugins.plugins.installed import version
from kormo_plugins.recipe.schema.axolotl_plugins import EVERY, is_ours, look_up
from kormo_plugins.store.atomic import write_text
from kormo_plugins.store.fingerprint import IDENTITY_LENGTH, identity
from kormo_plugins.training.compat import variants, versions

if TYPE_CHECKING:
    from kormo_plugins.recipe.schema.json_types import Schema

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
    names = sorted({variants.plugin_name(name) for name in plugins if not is_ours(name)})
    path = cache_folder() / f"axolotl-schema-{identity(_key(names))[:IDENTITY_LENGTH]}.json"
    content = _read(path)
    if content is None:
        from kormo_plugins.recipe.schema import axolotl_entry

        versions.require_supported(versions.installed())
        for name in names:
            if name != EVERY:
                look_up(name)
        content = axolotl_entry.made(names)
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
    axolotl = versions.installed() or versions.require_supported(None)
    versions_by_name = {"kormo-plugins": __version__, "python": sys.version.split()[0], "axolotl": axolotl}
    for distribution in ("transformers", "trl"):
        found = version(distribution)
        if found is None:
            raise KormoError(
                where=f"the package {distribution}",
                found="not installed",
                why="a recipe is an Axolotl configuration, and is checked against the installed Axolotl",
                do=versions.install_line(),
            )
        versions_by_name[distribution] = found
    return {
        "format": FORMAT,
        "versions": versions_by_name,
        "plugins": plugins,
        "supported": versions.SUPPORTED,  # an entry exists only for a supported Axolotl
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


def stamp(path: Path) -> list[int]:
    """Size and time of a file, by which a change of it is noticed."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
