"""Recipe inheritance: a file that says `extends:` becomes one mapping, each key knowing the file that set it.

    resolved = parents, left to right  ⊕  the file's own keys  ⊕  the command line

`a ⊕ b`: mappings merge key by key, anything else in `b` replaces what `a` has, `null` and the empty mapping `{}`
included (`shares: {}` takes the shares away). ⊕ is associative, so a chain of recipes means the same however it is cut
into files. Three rules on top:

- A block that itself says `extends` (or `data: some.yml`, short for `data: {extends: some.yml}`) is a
  statement of its own and replaces the inherited block. One without merges into it.
- `plugins` is united, parents first: Axolotl loads us only if the child lists us, so every child has this
  key, and replacing would silently switch off what a parent switched on.
- `extends` is relative to the file that says it, or names a file that comes with the package (`kormo:pretrain.yml`,
  see `shipped.py`); of a link, it is relative to the folder of the link or else to that of the file that it leads to.
  Every other path is relative to the current folder, as in Axolotl.

`${NAME}` stands for an environment variable in a dataset recipe and in the paths of `PATHS`, and nowhere else: apart
from where things lie, a recipe says the same on every machine.

Inside, a recipe is a tree of `Block` (a mapping) and `Leaf` (anything else), both with their file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kormo_plugins.errors import Faults, KormoError
from kormo_plugins.recipe.files.environment import expand
from kormo_plugins.recipe.files.shipped import is_shipped, located
from kormo_plugins.recipe.files.yaml_file import read_yaml

EXTENDS = "extends"
COMMAND_LINE = "command line"
SHORTHAND = (("kormo", "data"), ("kormo", "tokenizer", "train"), ("kormo", "monitor", "external_eval"))
"""Blocks that may be given as a string, the path of the file to extend."""

RENAMED = {("kormo", "monitor", "unseen"): "external_eval"}
"""Key of an earlier version -> what it is called today; both are read, and the old one is named in a warning."""

UNITED = ("plugins",)
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
MAX_VALUES = 200_000
"""Values of a recipe with all that it inherits: files that extend one another twice each can stand for billions."""

MAX_CHAIN = 64
"""Files that extend one another, one behind the other."""

Keys = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value that is replaced as a whole: scalar, list or null."""

    value: Any
    file: str
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """A mapping. `replaces`: it takes the place of what is inherited instead of being merged or united with
    it."""

    children: dict[Any, Block | Leaf]
    file: str
    replaces: bool = False


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
        value: Any = self.values
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


def resolve(path: Path | str, overrides: Mapping[str, Any] | None = None) -> Resolved:
    """The recipe at `path` with all that it inherits.

    Args:
        path: an Axolotl recipe.
        overrides: nested mapping that wins over every file (`{"kormo": {"global_batch": 8}}`); paths in it
            are relative to the current folder.
    Raises:
        KormoError: a missing file, a cycle of `extends`, YAML that cannot be read, or an undefined variable.
    """
    return _resolve(Path(path), overrides, SHORTHAND, ENVIRONMENT_BLOCKS)


def resolve_data(path: Path | str, overrides: Mapping[str, Any] | None = None) -> Resolved:
    """The dataset recipe at `path` by itself: what a recipe gets from `kormo: {data: path}`."""
    return _resolve(Path(path), overrides, (), ((),))


def overrides_of(cfg: Mapping[str, Any], path: Path | str) -> dict[str, Any]:
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


def _own_yaml(path: Path) -> dict[str, Any]:
    import yaml

    read_yaml(path)  # for its messages; the comparison needs Axolotl's own reading of `3e-4`
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def _difference(new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
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


def merge(base: Block | Leaf, own: Block | Leaf, keys: Keys = ()) -> Block | Leaf:
    """`base ⊕ own`. Associative: `merge(a, merge(b, c))` equals `merge(merge(a, b), c)`."""
    if own.replaces:
        return own
    if isinstance(own, Leaf):
        if keys != UNITED or not isinstance(own.value, list):
            return own
        if not isinstance(base, Leaf) or not isinstance(base.value, list):
            return Leaf(own.value, own.file, replaces=True)
        return Leaf([*base.value, *(n for n in own.value if n not in base.value)], own.file, base.replaces)
    if isinstance(base, Leaf):  # remembered, so that the result also replaces what stands further up the chain
        return Block(own.children, own.file, replaces=True)
    children = dict(base.children)
    for key, child in own.children.items():
        children[key] = merge(children[key], child, (*keys, key)) if key in children else child
    return Block(children, own.file, base.replaces)


def plain(node: Block | Leaf) -> Any:
    """The tree as ordinary mappings, lists and values."""
    if isinstance(node, Leaf):
        return node.value
    return {key: plain(child) for key, child in node.children.items()}


def leaves(node: Block | Leaf, keys: Keys = ()) -> Iterator[tuple[Keys, Leaf]]:
    """Every leaf with its keys, in order; an empty mapping counts as one."""
    if isinstance(node, Leaf):
        yield keys, node
    elif not node.children:
        yield keys, Leaf({}, node.file)
    else:
        for key, child in node.children.items():
            yield from leaves(child, (*keys, key))


def _resolve(
    path: Path, overrides: Mapping[str, Any] | None, shorthand: tuple[Keys, ...], environment: tuple[Keys, ...]
) -> Resolved:
    path, reader = located(path), _Reader(shorthand)
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


class _Reader:
    """Reads files, following `extends`; remembers what it read, and what could not be read (`faults`)."""

    def __init__(self, shorthand: tuple[Keys, ...]) -> None:
        self.files: dict[Path, Path] = {}
        self.faults = Faults()
        self._chain: list[Path] = []
        self._trees: dict[tuple[Path, str, Keys | None], Block] = {}
        self._sizes: dict[int, tuple[dict[Any, Block | Leaf], int]] = {}
        self._shorthand = shorthand
        self.renamed: dict[str, dict[str, str]] = {}

    def file(self, path: Path, named_by: str, at: Keys = ()) -> Block:
        """The tree of a file that stands at the key `at` of the recipe; read once, however often it is extended."""
        real = path.resolve()
        self._refuse_circle(path, real, named_by)
        short = not at or any(keys[: len(at)] == at for keys in self._shorthand)
        known = (real, str(path), at if short else None)  # below, a file means the same wherever it stands
        if known not in self._trees:
            self._chain.append(path)
            tree = self.block(read_yaml(path, named_by), str(path), folders_of(path), at)
            self._chain.pop()
            self.files.setdefault(real, path)
            tree = Block(tree.children, tree.file)  # a whole file is nobody's replacement by itself
            self._refuse_explosion(tree, path)
            self._trees[known] = tree
        return self._trees[known]

    def _refuse_circle(self, path: Path, real: Path, named_by: str) -> None:
        names = [other.resolve() for other in self._chain]
        if real in names:
            circle = [str(other) for other in self._chain[names.index(real) :]]
            raise KormoError(
                where=named_by,
                found=" → ".join([*circle, str(path)]),
                why="a file cannot inherit from itself",
                do=f"remove one `extends` of this circle ({len(circle)} file{'s' * (len(circle) > 1)})",
            )
        if len(names) >= MAX_CHAIN:
            raise KormoError(
                where=named_by,
                found=f"more than {MAX_CHAIN} files that extend one another",
                why="nobody could say where a value comes from",
                do="put some of them into one",
            )

    def _refuse_explosion(self, tree: Block, path: Path) -> None:
        if self._size(tree) > MAX_VALUES:
            raise KormoError(
                where=str(path),
                found=f"more than {MAX_VALUES:,} values with all that it extends",
                why="it cannot be read as a recipe",
                do="extend each file once",
            )

    def _size(self, node: Block | Leaf) -> int:
        """Values of a tree; parts that stand in it more than once are counted as often and looked at once."""
        if isinstance(node, Leaf):
            return 1
        known = self._sizes.get(id(node.children))
        if known is None:
            # the mapping is kept beside its size, so that its id is not given to another one
            known = node.children, 1 + sum(self._size(child) for child in node.children.values())
            self._sizes[id(node.children)] = known
        return known[1]

    def block(
        self, values: Mapping[Any, Any], file: str, folders: tuple[Path, ...], at: Keys, short: bool = False
    ) -> Block:
        """The tree of a mapping in `file`, its own `extends` followed; `short` if it was written as a path alone."""
        today = self._today(values, file, at)
        own: Block | Leaf = Block(
            {key: self._node(value, file, folders, (*at, key)) for key, value in today.items() if key != EXTENDS},
            file,
            replaces=not values and bool(at),
        )
        if EXTENDS not in values:
            return own  # type: ignore[return-value]
        dotted = ".".join(map(str, at if short else (*at, EXTENDS)))
        base: Block | Leaf = Block({}, file)
        with self._reading():
            for name in _parents(values[EXTENDS], f"{file}: {dotted}"):
                with self._reading():
                    base = merge(
                        base, self.file(beside(folders, name, f"{file}: {dotted}"), f"{file}: {dotted}", at), at
                    )
        tree = merge(base, own, at)
        assert isinstance(tree, Block)
        return Block(tree.children, file, replaces=True)

    def _today(self, values: Mapping[Any, Any], file: str, at: Keys) -> Mapping[Any, Any]:
        """The mapping with keys of earlier versions under the names that they have today."""
        old = {key: RENAMED[*at, key] for key in values if (*at, key) in RENAMED}
        for key, name in old.items():
            dotted = ".".join((*at, key))
            self.renamed.setdefault(file, {})[dotted] = name
            if name in values:
                self.faults.add(
                    KormoError(
                        where=f"{file}: {dotted}",
                        found=f"{key} beside {name}",
                        why=f"{name} is what {key} is called today, so one of the two would be lost",
                        do=f"remove {key}",
                    )
                )
        return {old.get(key, key): value for key, value in values.items()} if old else values

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Remembers what is wrong with a file that is extended, and goes on with the others."""
        depth = len(self._chain)
        with self.faults.catch():
            yield
        del self._chain[depth:]

    def _node(self, value: Any, file: str, folders: tuple[Path, ...], at: Keys) -> Block | Leaf:
        if isinstance(value, str) and at in self._shorthand:
            return self.block({EXTENDS: value}, file, folders, at, short=True)
        if isinstance(value, Mapping):
            return self.block(value, file, folders, at)
        if isinstance(value, list):
            return Leaf([plain(self._node(item, file, folders, (*at, i))) for i, item in enumerate(value)], file)
        return Leaf(value, file)


def folders_of(path: Path) -> tuple[Path, ...]:
    """Where the files lie that a file names: beside it, and, of a link, beside the file that it leads to."""
    beside, behind = path.parent, path.resolve().parent
    return (beside,) if beside.resolve() == behind else (beside, behind)


def exists(path: Path) -> bool:
    """Whether there is a file; a name that no file system has is one that is not there."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def beside(folders: tuple[Path, ...], name: str, where: str) -> Path:
    """The file of a name in one of the folders, in the first if it is in none; for `kormo:NAME` the shipped one.

    Raises:
        KormoError: nothing is shipped under that name; or different files of it beside a link and its target.
    """
    if is_shipped(name):
        return located(name, where)
    places = [Path(os.path.normpath(folder / name)) for folder in folders]
    there = [place for place in places if exists(place)]
    if len(there) > 1 and not there[0].samefile(there[1]):
        raise KormoError(
            where=where,
            found=f"{there[0]} and {there[1]}",
            why="the file that names it is a link, and there is one beside the link and another beside its target",
            do="name the file by its whole path, or remove one of the two",
        )
    return there[0] if there else places[0]


def _parents(value: Any, where: str) -> list[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise KormoError(
            where=where,
            found=repr(value),
            why="`extends` is one path or a list of paths",
            do="write `extends: other.yml`",
        )
    for name in names:
        if "${" in name:
            raise KormoError(
                where=where,
                found=repr(name),
                why="what a recipe inherits is the same on every machine, so no environment variable stands here",
                do="name the file; where documents lie may be `${NAME}`",
            )
        if "://" in name:
            raise KormoError(
                where=where,
                found=repr(name),
                why="only files can be extended, so that a run does not depend on a server",
                do="download it next to the recipe and name the file",
            )
    return names
