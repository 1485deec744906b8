"""Reads a recipe file and everything that it extends, as a tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from kormo_plugins.errors import Faults, KormoError
from kormo_plugins.recipe.files.folders import beside, folders_of
from kormo_plugins.recipe.files.tree import Block, Keys, Leaf, alternatives_at, merge, plain, taken_away
from kormo_plugins.recipe.files.yaml_file import read_yaml

EXTENDS = "extends"
RENAMED: dict[Keys, str] = {("kormo", "monitor", "unseen"): "external_eval"}
"""Key of an earlier version -> its current name; both are read, and the old one causes a warning."""
MAX_VALUES = 200_000
"""Maximum number of values of a recipe with inheritance: files that each extend another twice can expand to
billions."""
MAX_CHAIN = 64
"""Maximum length of a chain of files that extend one another."""


class Reader:
    """Reads files, following `extends`; collects what it read, and what could not be read (`faults`)."""

    def __init__(self, shorthand: tuple[Keys, ...]) -> None:
        self.files: dict[Path, Path] = {}
        self.faults = Faults()
        self._chain: list[Path] = []
        self._trees: dict[tuple[Path, str, Keys | None], Block] = {}
        self._sizes: dict[int, tuple[dict[object, Block | Leaf], int]] = {}
        self._shorthand = shorthand
        self.renamed: dict[str, dict[str, str]] = {}

    def file(self, path: Path, named_by: str, at: Keys = ()) -> Block:
        """The tree of a file at the key `at` of the recipe; read once, however often it is extended."""
        real = path.resolve()
        self._refuse_circle(path, real, named_by)
        short = not at or any(keys[: len(at)] == at for keys in self._shorthand)
        known = (
            real,
            str(path),
            at if short else alternatives_at(at) or None,
        )  # below the top, a file means the same everywhere
        if known not in self._trees:
            self._chain.append(path)
            tree = self.block(read_yaml(path, named_by), str(path), folders_of(path), at)
            self._chain.pop()
            self.files.setdefault(real, path)
            tree = Block(tree.children, tree.file)  # a file on its own does not replace what its child inherits
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
                why="it would be impossible to see where a value comes from",
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
        """Number of values of a tree; shared parts count each time, but are visited once."""
        if isinstance(node, Leaf):
            return 1
        known = self._sizes.get(id(node.children))
        if known is None:
            # the mapping is kept with its size, so that its id is not reused
            known = node.children, 1 + sum(self._size(child) for child in node.children.values())
            self._sizes[id(node.children)] = known
        return known[1]

    def block(
        self, values: Mapping[str, object], file: str, folders: tuple[Path, ...], at: Keys, short: bool = False
    ) -> Block:
        """The tree of a mapping in `file`, with its `extends` resolved; `short` if only a path was written."""
        today = self._today(values, file, at)
        own: Block | Leaf = Block(
            taken_away(today, file, at)
            | {key: self._node(value, file, folders, (*at, key)) for key, value in today.items() if key != EXTENDS},
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

    def _today(self, values: Mapping[str, object], file: str, at: Keys) -> Mapping[str, object]:
        """The mapping with keys of earlier versions under their current names."""
        old = {key: RENAMED[*at, key] for key in values if (*at, key) in RENAMED}
        for key, name in old.items():
            dotted = ".".join(map(str, (*at, key)))
            self.renamed.setdefault(file, {})[dotted] = name
            if name in values:
                self.faults.add(
                    KormoError(
                        where=f"{file}: {dotted}",
                        found=f"{key} beside {name}",
                        why=f"{key} is the former name of {name}, so one of the two would be lost",
                        do=f"remove {key}",
                    )
                )
        return {old.get(key, key): value for key, value in values.items()} if old else values

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Records an error of an extended file, and continues with the others."""
        depth = len(self._chain)
        with self.faults.catch():
            yield
        del self._chain[depth:]

    def _node(self, value: object, file: str, folders: tuple[Path, ...], at: Keys) -> Block | Leaf:
        if isinstance(value, str) and at in self._shorthand:
            return self.block({EXTENDS: value}, file, folders, at, short=True)
        if isinstance(value, Mapping):
            return self.block(value, file, folders, at)
        if isinstance(value, list):
            return Leaf([plain(self._node(item, file, folders, (*at, i))) for i, item in enumerate(value)], file)
        return Leaf(value, file)


def _parents(value: object, where: str) -> list[str]:
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
                why="a recipe inherits the same files on every machine, so `extends` takes no environment variables",
                do="name the file; paths of documents may contain `${NAME}`",
            )
        if "://" in name:
            raise KormoError(
                where=where,
                found=repr(name),
                why="only files can be extended, so that a run does not depend on a server",
                do="download it next to the recipe and name the file",
            )
    return names
