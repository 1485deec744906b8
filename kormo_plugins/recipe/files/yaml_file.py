"""Reads one YAML file, strictly: what YAML would let pass in silence is an error here.

A key given twice (YAML keeps the last), `no:` as a key (YAML reads false), a second document, an alias that
contains itself. Two readings differ from YAML 1.1 because a recipe means them differently: `3e-4` is a number
(YAML 1.1 wants `3.0e-4` and gives a string), and `2026-01-31` stays text (YAML makes a date, which no recipe
wants).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from kormo_plugins.errors import KormoError
from kormo_plugins.recipe.files.shipped import located

MAX_DEPTH = 64
"""Levels of nesting; beyond it a file is an accident or an attack."""

MAX_VALUES = 200_000
"""Values of one file once its aliases are expanded (ten lines of aliases can stand for billions)."""

_FLOAT = re.compile(r"^[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$|^[-+]?\.\d[\d_]*[eE][-+]?\d+$")
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A safe loader that refuses what would be lost in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, bool) or key is None or not isinstance(key, Hashable):
                raise _Refused(
                    line,
                    f"the key {key_node.value!r}",
                    f"YAML reads it as {key!r}, not as text",
                    "put it in quotes",
                )
            if key in seen and key_node.tag != "tag:yaml.org,2002:merge":
                raise _Refused(
                    line,
                    f"the key {key!r} for the second time (first in line {seen[key]})",
                    "YAML would keep the last one and drop the other in silence",
                    "remove one of the two",
                )
            seen[key] = line
        return dict(super().construct_mapping(node, deep=deep))


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


class _Refused(Exception):
    def __init__(self, line: int, found: str, why: str, do: str) -> None:
        super().__init__(found)
        self.line, self.found, self.why, self.do = line, found, why, do


def read_yaml(path: Path, named_by: str = "") -> dict[str, Any]:
    """The mapping in the file.

    Args:
        path: the file.
        named_by: who asked for it (`recipes/x.yml: extends`), for the message when it is not there.
    Raises:
        KormoError: no such file, not UTF-8, not YAML, or YAML that says something twice or something else
            than it seems; the message names the line.
    """
    path = located(path)
    text = _text(path, named_by)
    try:
        value = yaml.load(text, Loader=_Loader)  # a subclass of the safe loader: makes plain values only
        _measure(value)
    except _Refused as error:
        raise KormoError(where=f"{path}, line {error.line}", found=error.found, why=error.why, do=error.do) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise KormoError(
            where=f"{path}, line {mark.line + 1}" if mark else str(path),
            found=problem,
            why="the file is not valid YAML",
            do="correct it there or in the line above (indentation by spaces, `key: value`, quotes in pairs)",
        ) from None
    except (RecursionError, ValueError, OverflowError) as error:
        raise KormoError(
            where=str(path),
            found=str(error) or "values nested without end",
            why="it cannot be read as a recipe",
            do="write plain mappings, lists and values",
        ) from None
    if not isinstance(value, dict):
        found = "an empty file" if value is None else f"a {type(value).__name__}"
        raise KormoError(
            where=str(path), found=found, why="a recipe is a mapping of keys to values", do="write `key: value` lines"
        )
    return value


def read_value(text: str, where: str) -> Any:
    """One value as a recipe would spell it: `3e-4` is a number, `null` nothing, `[a, b]` a list.

    Raises:
        KormoError: text that is not YAML.
    """
    try:
        value = yaml.load(text, Loader=_Loader)
        _measure(value)
    except _Refused as error:
        raise KormoError(where=where, found=error.found, why=error.why, do=error.do) from None
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise KormoError(
            where=where, found=repr(text), why=f"it is not valid YAML: {problem}", do="put text in quotes"
        ) from None
    return value


def _text(path: Path, named_by: str) -> str:
    where = named_by or str(path)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise KormoError(
            where=where, found=f"the path {str(path)!r}", why="there is no such file", do=nearest_file(path)
        ) from None
    except IsADirectoryError:
        raise KormoError(
            where=where, found=f"the folder {str(path)!r}", why="a recipe is a file", do="name a .yml file in it"
        ) from None
    except UnicodeDecodeError as error:
        raise KormoError(
            where=str(path),
            found=f"the byte 0x{error.object[error.start]:02x} at position {error.start}",
            why="the file is not UTF-8 text",
            do="save it as UTF-8",
        ) from None
    except OSError as error:
        raise KormoError(
            where=where, found=f"the path {str(path)!r}", why=f"it cannot be read: {error.strerror}", do="check it"
        ) from None


def nearest_file(path: Path) -> str:
    """What to do about a path that does not exist: the nearest name in its folder, or the folder that is
    missing."""
    folder = path.parent
    if not folder.is_dir():
        return f"correct the path: there is no folder {str(folder)!r} (seen from {Path.cwd()})"
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {str(folder / near[0])!r}?"
    return f"correct the path; in {str(folder)!r} there are: {', '.join(names[:8]) or 'no files'}"


def _measure(value: Any) -> None:
    """Raises ValueError for a value that is endless or absurdly large once aliases are expanded."""
    stack, count = [(value, 0)], 0
    while stack:
        item, depth = stack.pop()
        count += 1
        if count > MAX_VALUES or depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_VALUES:,} values or {MAX_DEPTH} levels once aliases are expanded")
        if isinstance(item, dict):
            stack.extend((child, depth + 1) for child in item.values())
        elif isinstance(item, list):
            stack.extend((child, depth + 1) for child in item)
