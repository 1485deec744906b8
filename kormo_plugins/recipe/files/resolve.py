"""Recipe inheritance: a file with `extends:` becomes one mapping, in which each key knows the file that set it.

    resolved = parents, left to right  ⊕  the file's own keys  ⊕  the command line

⊕ is defined in `tree.py`. There are three additional rules:

- A block with its own `extends` (or `data: some.yml`, short for `data: {extends: some.yml}`) replaces the inherited
  block. A block without one is merged into it.
- Of alternatives (`ALTERNATIVES`), the one that a file gives replaces the inherited one.
- `extends` is relative to the file that contains it, or names a file of the package (`kormo:pretrain.yml`, see
  `shipped.py`). For a symbolic link, it is relative to the folder of the link, or else to that of its target. All other
  paths are relative to the current folder, as in Axolotl.

`${NAME}` is an environment variable in dataset recipes and in the paths of `PATHS`, and nowhere else: apart from paths,
a recipe is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kormo_plugins.errors import Faults
from kormo_plugins.recipe.files.environment import expand
from kormo_plugins.recipe.files.kinds import RECIPE, read_kind
from kormo_plugins.recipe.files.reader import Reader
from kormo_plugins.recipe.files.shipped import located
from kormo_plugins.recipe.files.tree import Block, Keys, Leaf, merge, plain, without_absent
from kormo_plugins.recipe.files.yaml_file import read_yaml

COMMAND_LINE = "command line"
SHORTHAND = (("kormo", "data"), ("kormo", "tokenizer", "train"), ("kormo", "monitor", "external_eval"))
"""Blocks that may be given as a string, the path of the file to extend."""
PATHS = (
    ("output_dir",),
    ("base_model",),
    ("lora_model_dir",),
    ("resume_from_checkpoint",),
    ("kormo", "workspace"),
    ("kormo", "from_run"),
    ("deepspeed",),
    ("kormo", "tokenizer", "path"),
    ("kormo", "evaluate", "data"),
)
"""Keys with a path, which may contain environment variables."""
ENVIRONMENT_BLOCKS = (("kormo", "data"), ("kormo", "monitor", "external_eval"), *PATHS)


@dataclass(frozen=True)
class Resolved:
    """A recipe with inheritance resolved.

    Args:
        path: the requested file.
        values: the plain mapping, without `extends`; inherited keys first, in the order of the files.
        files: all files that were read, parents before children, each once.
        renamed: file -> the keys of earlier versions in it, dotted, each with its current name.
    """

    path: Path
    values: dict[str, Any]
    files: list[Path]
    tree: Block = field(repr=False)
    renamed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def get(self, key: str) -> Any:
        """The value of the dotted `key` (`kormo.precision.weights`); None if it is missing or null."""
        value: object = self.values
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def origin(self, key: str) -> str:
        """The file that set the dotted `key` (`kormo.precision.weights`, `datasets[0].path`), or `command
        line`.

        For a key that was not set, the file of the nearest enclosing mapping.
        """
        node: Block | Leaf = self.tree
        rest = key.replace("[", ".").replace("]", "")
        while rest and isinstance(node, Block):
            names = [str(name) for name in node.children]
            match = max((n for n in names if rest == n or rest.startswith(n + ".")), key=len, default=None)
            if match is None:
                break
            node = next(child for name, child in node.children.items() if str(name) == match)
            rest = rest[len(match) + 1 :]
        return node.file

    def where(self, key: str) -> str:
        """`recipes/pretrain.yml: kormo.data`, the first part of every message about that key."""
        return f"{self.origin(key)}: {key}"


def resolve(path: Path | str, overrides: Mapping[str, object] | None = None, unset: Faults | None = None) -> Resolved:
    """Resolves the recipe at `path`.

    Args:
        path: an Axolotl recipe.
        overrides: nested mapping that overrides all files (`{"kormo": {"global_batch": 8}}`); paths in it are relative
            to the current folder.
        unset: takes references that cannot be replaced, which are then left as they are, instead of raising them: for
            a caller who refuses the recipe in any case, with what else is wrong.
    Raises:
        KormoError: a file is missing or of another kind (a chain), `extends` has a cycle, YAML is invalid, or a
            variable is undefined.
    """
    read_kind(Path(path), RECIPE)
    return _resolve(Path(path), overrides, SHORTHAND, ENVIRONMENT_BLOCKS, unset)


def as_written(path: Path | str) -> Resolved:
    """`resolve` of a recipe that is not used as it is: its values are looked at, or changed before they are used.
    References to variables that are not set are left as they are; what is changed may be where they stand."""
    return resolve(path, unset=Faults())


def resolve_data(
    path: Path | str, overrides: Mapping[str, object] | None = None, unset: Faults | None = None
) -> Resolved:
    """Resolves the dataset recipe at `path` on its own, as a recipe does for `kormo: {data: path}`."""
    return _resolve(Path(path), overrides, (), ((),), unset)


def dotted(values: Mapping[str, object], above: str = "") -> dict[str, object]:
    """All values by dotted key; null is the same as a missing key."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= dotted(value, f"{above}{key}.")
        elif value is not None:
            flat[f"{above}{key}"] = value
    return flat


def overrides_of(cfg: Mapping[str, object], path: Path | str) -> dict[str, Any]:
    """The changes from the command line: the part of `cfg` that differs from the file's YAML.

    Axolotl applies its options to the child file before plugins see it; separated again here, they override the parents
    too.

    Args:
        cfg: Axolotl's raw configuration, as `register` gets it.
        path: the file that it was read from.
    Returns:
        nested mapping for `resolve`.
    """
    to_dict = getattr(cfg, "to_dict", None)
    changed = _difference(to_dict() if callable(to_dict) else cfg, _own_yaml(Path(path)))
    changed.pop("axolotl_config_path", None)  # where Axolotl read it; not a setting
    return changed


def _own_yaml(path: Path) -> dict[str, object]:
    read_yaml(path)  # for its messages; the comparison needs Axolotl's own reading of `3e-4`
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def _difference(new: Mapping[str, object], old: Mapping[str, Any]) -> dict[str, object]:
    changed: dict[str, object] = {}
    for key, value in new.items():
        if key not in old:
            changed[key] = value
        elif isinstance(value, Mapping) and isinstance(old[key], Mapping):
            inner = _difference(value, old[key])
            if inner:
                changed[key] = inner
        elif value != old[key] or isinstance(value, bool) != isinstance(old[key], bool):
            changed[key] = value
    return changed


def _resolve(
    path: Path,
    overrides: Mapping[str, object] | None,
    shorthand: tuple[Keys, ...],
    environment: tuple[Keys, ...],
    unset: Faults | None,
) -> Resolved:
    path, reader = located(path), Reader(shorthand)
    tree: Block | Leaf = reader.file(path, "")
    if overrides:
        tree = merge(tree, reader.block(overrides, COMMAND_LINE, (Path(),), ()))
    tree = without_absent(tree)
    for keys in environment:
        tree = _expanded(tree, keys, reader.faults if unset is None else unset)
    reader.faults.raise_any()
    assert isinstance(tree, Block)  # a file and the command line are mappings
    return Resolved(path, plain(tree), list(reader.files.values()), tree, reader.renamed)


def _expanded(node: Block | Leaf, keys: Keys, faults: Faults, at: Keys = ()) -> Block | Leaf:
    """The tree with environment variables replaced below `keys`."""
    if isinstance(node, Leaf):
        if keys:
            return node
        with faults.catch():
            return Leaf(expand(node.value, f"{node.file}: {'.'.join(map(str, at))}"), node.file, node.replaces)
        return node
    children = {
        key: child if keys and key != keys[0] else _expanded(child, keys[1:], faults, (*at, key))
        for key, child in node.children.items()
    }
    return Block(children, node.file, node.replaces)
