"""The keys that Axolotl and its plugins accept, without importing Axolotl.

Its configuration model takes seconds and torch to import, so it is read once, as JSON Schema, and cached:

    $XDG_CACHE_HOME/kormo/axolotl-schema-<hash of versions and plugins>.json

On a miss, a child process builds the entry (or this process, if Axolotl is already imported), and it is written
atomically. Plugins outside Axolotl have no version that changes with every edit, so size and time of the files with
their argument models are recorded, and the entry is rebuilt when one of them has changed.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kormo_plugins import __version__
from kormo_plugins.errors import KormoError, closest, in_words, system_error_in
from kormo_plugins.plugins.lookup import allowed, find, refuse_foreign, source
from kormo_plugins.recipe.schema.json_types import Schema, object_schema
from kormo_plugins.store.atomic import write_text
from kormo_plugins.store.fingerprint import IDENTITY_LENGTH, identity
from kormo_plugins.training.compat import variants, versions

OURS = ("kormo_plugins.KormoPlugin",)
"""Our own Axolotl plugin. The `kormo:` block is checked by its own models, not through Axolotl."""

FORMAT = 8
"""Incremented when entries of an older layout must not be read."""

SHIPPED = "axolotl.integrations"
EVERY = "*"
"""Means all plugins that Axolotl ships and that can be imported here."""
MODEL_MODULE = "axolotl.utils.schemas.config"


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


def is_ours(plugin: str) -> bool:
    """Whether a name under `plugins` is one of the paths of our Axolotl plugin."""
    package, _, name = variants.plugin_name(plugin).rpartition(".")
    return package.partition(".")[0] == OURS[0].partition(".")[0] and name == OURS[0].rpartition(".")[2]


def is_registered(plugins: Sequence[str]) -> bool:
    """Whether Axolotl registers our plugin for a recipe that lists `plugins`: by name, or by our entry point."""
    return any(is_ours(name) for name in plugins) or OURS[0] in variants.entry_point_plugins()


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
                _look_up(name)
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
    found: dict[str, str] = {"kormo-plugins": __version__, "python": sys.version.split()[0]}
    for distribution in ("axolotl", "transformers", "trl"):
        try:
            found[distribution] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            raise KormoError(
                where=f"the package {distribution}",
                found="not installed",
                why="a recipe is a configuration of Axolotl's",
                do=versions.install_line(),
            ) from None
    return {"format": FORMAT, "versions": found, "plugins": plugins, "unnamed": variants.entry_point_plugins()}


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        fresh = all(_stamp(Path(file)) == stamp for file, stamp in content["sources"].items())
        return content if fresh and content["schema"] and content["definitions"] is not None else None
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None  # missing, damaged, or of an older version: built again


def _write(path: Path, content: dict[str, object]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(content))
    except (OSError, KormoError):
        return  # without a writable cache (read-only home, full disk), only seconds are lost


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _build_apart(plugins: list[str]) -> dict[str, Any]:
    """Runs `build` in a child process, which keeps torch out of this process and import messages off its stdout."""
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory(prefix="kormo-") as folder:
        out = Path(folder) / "schema.json"
        paths = [path for path in sys.path if path]
        if any(allowed(plugin.rpartition(".")[0]) for plugin in plugins):
            paths.append(str(Path.cwd()))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        child = subprocess.run(
            [sys.executable, "-P", "-m", "kormo_plugins.recipe.schema.axolotl", str(out), *plugins],
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
        if disk := system_error_in(RuntimeError(last), "the schema of the installed Axolotl, in a temporary folder"):
            raise disk
        raise KormoError(
            where="the installed Axolotl",
            found=last,
            why="its configuration model could not be imported",
            do=f"try `{sys.executable} -c 'import {MODEL_MODULE}'`, or install it anew: {versions.install_line()}",
        )
    if "error" in content:
        where, found, why, do = content["error"]
        raise KormoError(where=where, found=found, why=why, do=do)
    return dict(content)


def build(plugins: Sequence[str]) -> dict[str, Any]:
    """The cache entry, from the models themselves (imports Axolotl).

    Raises:
        KormoError: a plugin cannot be imported.
    """
    from axolotl.utils.schemas.config import AxolotlInputConfig

    definitions: dict[str, Schema] = {}
    schema = object_schema(AxolotlInputConfig, definitions)
    schema.pop("required", None)  # a recipe lacks what the bridge fills in; `--full` uses Axolotl's own check
    for key, names in _closed_lists().items():
        schema["properties"][key]["anyOf"] = [{"enum": names}, {"type": "null"}]
    schema["properties"]["learning_rate"] = {"type": "number"}  # Axolotl accepts any text, and fails in the optimizer
    sources: dict[str, list[int]] = {}
    unnamed = [name for name in variants.unnamed_plugins() if not is_ours(name)]
    for plugin in dict.fromkeys([*_named(plugins), *unnamed]):
        asked_for = EVERY not in plugins and plugin in plugins
        model = _arguments(plugin) if asked_for else _arguments_if_any(plugin)
        if model is None:
            continue
        schema["properties"].update(object_schema(model, definitions)["properties"])
        file = sys.modules[model.__module__].__file__
        if file and not plugin.startswith("axolotl."):
            sources[file] = _stamp(Path(file))
    return {
        "schema": schema,
        "definitions": definitions,
        "command_line": _options(),
        "sources": sources,
        "schedules": _schedules(),
        "generation": _generation(),
    }


def _named(plugins: Sequence[str]) -> list[str]:
    """The plugins' names, with `EVERY` expanded."""
    return [name for name in plugins if name != EVERY] + (_shipped()[0] if EVERY in plugins else [])


def _arguments_if_any(plugin: str) -> object:
    """The argument model of a plugin that the recipe does not name; None if its dependencies are not installed."""
    try:
        return _arguments(plugin)
    except KormoError:
        return None


def _arguments(plugin: str) -> object:
    """The argument model of an Axolotl plugin, or None if it has none."""
    try:
        named = plugin_class(plugin)().get_input_args()
        if named is None:
            return None
        module, _, attribute = named.rpartition(".")
        return getattr(importlib.import_module(module), attribute)
    except KormoError:
        raise
    except Exception as error:  # any failure of the import stops the run
        raise KormoError(
            where=f"plugins: {plugin}",
            found=in_words(error),
            why="it cannot be imported; Axolotl would print this and train without it",
            do="install what it needs, or remove it from `plugins`",
        ) from error


def plugin_class(plugin: str) -> Any:
    """The class of an Axolotl plugin. Axolotl calls any object of that name (even `os.system`); this checks it first.

    Raises:
        KormoError: it is not a subclass of Axolotl's plugin class.
    """
    from axolotl.integrations.base import BasePlugin

    module, _, name = plugin.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    if not (isinstance(found, type) and issubclass(found, BasePlugin)):
        raise KormoError(
            where=f"plugins: {plugin}",
            found=f"{name}, which is no such class",
            why="it is no plugin of Axolotl's (a subclass of axolotl.integrations.base.BasePlugin), and Axolotl would "
            "call it",
            do="name a plugin's class, or remove it from `plugins`",
        )
    return found


def _look_up(plugin: str) -> None:
    """Refuses a name that cannot be a plugin, from the source of its module: importing takes seconds, and runs it."""
    where = f"plugins: {plugin}"
    package, _, name = plugin.rpartition(".")
    if not package:
        raise KormoError(
            where=where,
            found=repr(plugin),
            why="a plugin is named by its module and its class",
            do="write package.module.Class",
        )
    if not package.startswith(SHIPPED + "."):
        return _look_up_foreign(package, name, where)
    found, texts = _shipped()
    if not texts:
        return
    folder_name, _, module = package.removeprefix(SHIPPED + ".").partition(".")
    if module or re.search(rf"\b{re.escape(name)}\b", texts.get(folder_name, "")):
        return  # a submodule, or a class that is at least mentioned: the import decides
    raise KormoError(
        where=where,
        found=f"the class {name} of {package}",
        why="Axolotl ships no such plugin; it would print an error and train without it",
        do=closest(plugin, found) or f"the plugins are: {', '.join(sorted(found))}",
    )


def _look_up_foreign(module: str, name: str, where: str) -> None:
    """Refuses a module that cannot contain a plugin, or that was not allowed."""
    text = source(module)
    if find(module) is None:
        return  # the import will say so
    if (
        module.split(".")[0] in sys.stdlib_module_names
        or text is None
        or not re.search(rf"\b{re.escape(name)}\b", text)
    ):
        raise KormoError(
            where=where,
            found=f"the name {name} of the module {module}",
            why="there is no class of that name in its source, so it is no plugin, and Axolotl would call it",
            do="name a plugin's class, or remove it from `plugins`",
        )
    refuse_foreign(module, where)


def _shipped() -> tuple[list[str], dict[str, str]]:
    """The plugins that Axolotl ships, and the source of each folder's `__init__.py`, without importing them."""
    spec = importlib.util.find_spec("axolotl")
    folder = Path(next(iter((spec and spec.submodule_search_locations) or ("",)))) / "integrations"
    texts = {file.parent.name: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*/__init__.py"))}
    found: list[str] = []
    for name, text in texts.items():
        classes = re.findall(r"^class (\w+Plugin)\b|\bimport (\w+Plugin)$", text, re.M)
        found += [f"{SHIPPED}.{name}.{defined or imported}" for defined, imported in classes]
    return [plugin for plugin in found if not plugin.endswith(".BasePlugin")], texts


def _closed_lists() -> dict[str, list[str]]:
    """Keys that Axolotl's model declares as text, and the names that its trainer builder accepts.

    Otherwise a misspelt optimizer would only be found after the data are built and the model is loaded.
    """
    from axolotl.utils.schemas.enums import CustomSupportedOptimizers
    from transformers.trainer_utils import SchedulerType
    from transformers.training_args import OptimizerNames

    optimizers = {name.value for group in (OptimizerNames, CustomSupportedOptimizers) for name in group}
    schedulers = {name.value for name in SchedulerType} | {"one_cycle", "rex"}
    return {"optimizer": sorted(optimizers), "lr_scheduler": sorted(schedulers)}


def _schedules() -> dict[str, dict[str, str]]:
    """The arguments of each schedule for `lr_scheduler_kwargs`, and their types.

    Otherwise a misspelt one would only fail after the data are built and the model is loaded.
    """
    import inspect

    from torch.optim.lr_scheduler import OneCycleLR
    from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION

    given = {"self", "optimizer", "num_warmup_steps", "num_training_steps", "last_epoch", "max_lr", "total_steps"}
    functions = {name.value: function for name, function in TYPE_TO_SCHEDULER_FUNCTION.items()}
    found: dict[str, dict[str, str]] = {"rex": {}}
    every: dict[str, Any] = {**functions, "one_cycle": OneCycleLR}
    for name, function in every.items():
        parameters = inspect.signature(function).parameters
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            continue  # it passes anything on
        found[name] = {key: _kind(parameter) for key, parameter in parameters.items() if key not in given}
    return found


def _kind(parameter: Any) -> str:
    """`integer`, `number` or nothing, from a parameter's annotation or default."""
    hint = str(parameter.annotation)
    if "float" in hint or (parameter.annotation is parameter.empty and isinstance(parameter.default, float)):
        return "number"
    return "integer" if re.search(r"\bint\b", hint) else ""


def _generation() -> list[str]:
    from transformers import GenerationConfig

    return sorted(name for name in vars(GenerationConfig()) if not name.startswith("_"))


def _options() -> list[str]:
    """Options of Axolotl's commands, which are written into the configuration even if they are no keys."""
    import dataclasses

    import axolotl.cli.args as arguments

    found = {"inference", "merge_lora", "launcher"}
    for item in vars(arguments).values():
        if isinstance(item, type) and dataclasses.is_dataclass(item):
            found |= {field.name for field in dataclasses.fields(item)}
    return sorted(found)


def _main(out: str, *plugins: str) -> None:
    try:
        content = build(plugins)
    except KormoError as error:
        content = {"error": [error.where, error.found, error.why, error.do]}
    Path(out).write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    _main(*sys.argv[1:])
