"""Recipe inheritance: a file that says `extends:` becomes one mapping, each key knowing the file that set it.

    resolved = parents, left to right  ⊕  the file's own keys  ⊕  the command line

⊕ is defined in `tree.py`. Two rules on top:

- A block that itself says `extends` (or `data: some.yml`, short for `data: {extends: some.yml}`) is a
  statement of its own and replaces the inherited block. One without merges into it.
- `extends` is relative to the file that says it, or names a file that comes with the package (`kormo:pretrain.yml`,
  see `shipped.py`); of a link, it is relative to the folder of the link or else to that of the file that it leads to.
  Every other path is relative to the current folder, as in Axolotl.

`${NAME}` stands for an environment variable in a dataset recipe and in the paths of `PATHS`, and nowhere else: apart
from where things lie, a recipe says the same on every machine.
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
from kormo_plugins.recipe.files.tree import Block, Keys, Leaf, merge, plain
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
"""Keys that hold a path, in which an environment variable may stand."""
ENVIRONMENT_BLOCKS = (("kormo", "data"), ("kormo", "monitor", "external_eval"), *PATHS)


@dataclass(frozen=True)
class Resolved:
    """A recipe with nothing left to inherit.

    Args:
        path: the file that was asked for.
        values: the plain mapping, `extends` gone; inherited keys first, in the order of the files.
        files: every file that was read, parents before children, each once.
        renamed: file -> the keys of earlier versions that it uses, dotted, each with what it is called today.
    """

    path: Path
    values: dict[str, Any]
    files: list[Path]
    tree: Block = field(repr=False)
    renamed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def get(self, key: str) -> Any:
        """The value of the dotted `key` (`kormo.precision.weights`); None when it is not there or null."""
        value: object = self.values
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def origin(self, key: str) -> str:
        """The file that set the dotted `key` (`kormo.precision.weights`, `datasets[0].path`), or `command
        line`.

        For a key that nobody set, the file of the nearest mapping around it.
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


def resolve(path: Path | str, overrides: Mapping[str, object] | None = None) -> Resolved:
    """The recipe at `path` with all that it inherits.

    Args:
        path: an Axolotl recipe.
        overrides: nested mapping that wins over every file (`{"kormo": {"global_batch": 8}}`); paths in it
            are relative to the current folder.
    Raises:
        KormoError: a missing file, one of another kind (a chain), a cycle of `extends`, YAML that cannot be read, or an
            undefined variable.
    """
    read_kind(Path(path), RECIPE)
    return _resolve(Path(path), overrides, SHORTHAND, ENVIRONMENT_BLOCKS)


def resolve_data(path: Path | str, overrides: Mapping[str, object] | None = None) -> Resolved:
    """The dataset recipe at `path` by itself: what a recipe gets from `kormo: {data: path}`."""
    return _resolve(Path(path), overrides, (), ((),))


def dotted(values: Mapping[str, object], above: str = "") -> dict[str, object]:
    """Every value below, by its dotted key; null is the same as nothing."""
    found: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= dotted(value, f"{above}{key}.")
        elif value is not None:
            found[f"{above}{key}"] = value
    return found


def overrides_of(cfg: Mapping[str, object], path: Path | str) -> dict[str, Any]:
    """What the command line changed: the part of `cfg` that differs from the file's own YAML.

    Axolotl applies its options to the child file before plugins see it; taken apart again here, they can win
    over the parents as well.

    Args:
        cfg: Axolotl's raw configuration, as `register` gets it.
        path: the file that it was read from.
    Returns:
        nested mapping for `resolve`.
    """
    to_dict = getattr(cfg, "to_dict", None)
    changed = _difference(to_dict() if callable(to_dict) else cfg, _own_yaml(Path(path)))
    changed.pop("axolotl_config_path", None)  # Axolotl's note of where it read; not a setting
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
    path: Path, overrides: Mapping[str, object] | None, shorthand: tuple[Keys, ...], environment: tuple[Keys, ...]
) -> Resolved:
    path, reader = located(path), Reader(shorthand)
    tree: Block | Leaf = reader.file(path, "")
    if overrides:
        tree = merge(tree, reader.block(overrides, COMMAND_LINE, (Path(),), ()))
    for keys in environment:
        tree = _expanded(tree, keys, reader.faults)
    reader.faults.raise_any()
    assert isinstance(tree, Block)  # a file and the command line are mappings
    return Resolved(path, plain(tree), list(reader.files.values()), tree, reader.renamed)


def _expanded(node: Block | Leaf, keys: Keys, faults: Faults, at: Keys = ()) -> Block | Leaf:
    """The tree with environment variables put in below `keys`."""
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
