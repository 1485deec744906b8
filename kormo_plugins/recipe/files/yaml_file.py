"""Reads one YAML file strictly: what YAML silently accepts is an error here (`yaml_nodes.py`).

Two values are read differently than in YAML 1.1: `3e-4` is a number (YAML 1.1 requires `3.0e-4`, and reads a string),
and `2026-01-31` is text (YAML reads a date, which no recipe wants). Merge keys (`<<: *name`) and aliases work as in
YAML.

`-`, `/dev/stdin` and `/dev/fd/N` are read once and cached, since a command reads a recipe more than once.
"""

from __future__ import annotations

import difflib
import re
import stat
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from kormo_plugins.errors import Faults, KormoError, value_in_words
from kormo_plugins.recipe.files.shipped import located
from kormo_plugins.recipe.files.yaml_nodes import MAX_DEPTH, MAX_VALUES, TooLarge, compose, faults_of

MAX_BYTES = 2**21
"""Maximum size of a recipe in bytes; a larger file is data, or a mistake."""

STREAMS = re.compile(r"-|/dev/stdin|/dev/fd/\d+|/proc/self/fd/\d+")
"""Paths that can be read only once."""

_FLOAT = re.compile(r"^[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$|^[-+]?\.\d[\d_]*[eE][-+]?\d+$")
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A safe loader, which creates only plain values."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def read_yaml(path: Path, named_by: str = "") -> dict[str, Any]:
    """The mapping in the file.

    Args:
        path: the file; `-` for standard input.
        named_by: the key that names it (`recipes/x.yml: extends`), for the message if it does not exist.
    Raises:
        KormoError: the file does not exist, is not UTF-8 or not YAML, or contains duplicate or misleading values; all
            errors of the file together, each with its line.
    """
    path = located(path)
    value = _value(_text(path, named_by), str(path))
    if not isinstance(value, dict):
        found = "an empty file" if value is None else value_in_words(value)
        raise KormoError(
            where=str(path), found=found, why="a recipe is a mapping of keys to values", do="write `key: value` lines"
        )
    return value


def read_value(text: str, where: str) -> object:
    """Parses one value as in a recipe: `3e-4` is a number, `null` None, `[a, b]` a list.

    Raises:
        KormoError: the text is not YAML, or is misleading.
    """
    return _value(text, where, one_line=True)


def _value(text: str, where: str, one_line: bool = False) -> object:
    """The plain value of a YAML text. `one_line`: a single value, for which line numbers are omitted."""

    def at(line: int) -> str:
        """File and line, for messages."""
        return where if one_line else f"{where}, line {line}"

    try:
        node = compose(text, _Loader)
        faults = Faults(
            KormoError(where=at(fault.line), found=fault.found, why=fault.why, do=fault.do)
            for fault in (faults_of(node) if node is not None else ())
        )
        faults.raise_any()
        value = None if node is None else _Loader("").construct_document(node)
        _measure(value)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise KormoError(
            where=at(mark.line + 1) if mark else where,
            found=repr(text) if one_line else problem,
            why=f"it is not valid YAML: {problem}" if one_line else "the file is not valid YAML",
            do="put text in quotes"
            if one_line
            else "correct it there or in the line above (indentation by spaces, `key: value`, quotes in pairs)",
        ) from None
    except (TooLarge, RecursionError, ValueError, OverflowError) as error:
        problem_text = (
            str(error) if isinstance(error, TooLarge) else "values that contain themselves or do not fit in memory"
        )
        raise KormoError(
            where=where,
            found=problem_text,
            why="it cannot be read as a recipe",
            do="write plain mappings, lists and values",
        ) from None
    return value


def _text(path: Path, named_by: str) -> str:
    where = named_by or str(path)
    try:
        content = _stream(str(path)) if STREAMS.fullmatch(str(path)) else _bytes(path)
    except FileNotFoundError:
        raise KormoError(
            where=where, found=f"the path {str(path)!r}", why="there is no such file", do=nearest_file(path)
        ) from None
    except IsADirectoryError:
        raise KormoError(
            where=where, found=f"the folder {str(path)!r}", why="a recipe is a file", do="name a .yml file in it"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise KormoError(
            where=where,
            found=f"the path {str(path)!r}"[:200],
            why=f"it cannot be read: {reason}",
            do="correct the path",
        ) from None
    if len(content) > MAX_BYTES:
        raise KormoError(
            where=str(path),
            found=f"more than {MAX_BYTES:,} bytes",
            why="no recipe is as large as that",
            do="name the file of the recipe; text to train on is named in it, not written into it",
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise KormoError(
            where=str(path),
            found=f"the byte 0x{content[error.start]:02x} at position {error.start}",
            why="the file is not UTF-8 text",
            do="save it as UTF-8",
        ) from None


def _bytes(path: Path) -> bytes:
    """The file's content, up to slightly more than the limit; an endless pipe or device is not opened."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(0, "it is not a regular file")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


@lru_cache(maxsize=4)
def _stream(name: str) -> bytes:
    if name in ("-", "/dev/stdin"):
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    with Path(name).open("rb") as file:
        return file.read(MAX_BYTES + 1)


def nearest_file(path: Path) -> str:
    """Advice for a path that does not exist: the nearest name in its folder, or the missing folder."""
    if path.is_symlink():
        return f"correct the link: it leads to {str(path.readlink())!r}, which is not there"
    folder = path.parent
    if not folder.is_dir():
        return f"correct the path: there is no folder {str(folder)!r} (relative to {Path.cwd()})"
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    alike = [name for name in names if _alike(path.stem, Path(name).stem)]  # not only by `.yml`, which all have
    near = difflib.get_close_matches(path.name, alike, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {str(folder / near[0])!r}?"
    return f"correct the path; in {str(folder)!r} there are: {', '.join(names[:8]) or 'no files'}"


def _alike(one: str, other: str) -> bool:
    return difflib.SequenceMatcher(None, one, other).ratio() >= 0.6


def _measure(value: object) -> None:
    """Raises TooLarge for a value that is infinite or excessively large once aliases are expanded."""
    stack, count = [(value, 0)], 0
    while stack:
        item, depth = stack.pop()
        count += 1
        if count > MAX_VALUES or depth > MAX_DEPTH:
            raise TooLarge(f"more than {MAX_VALUES:,} values or {MAX_DEPTH} levels once aliases are expanded")
        if isinstance(item, dict):
            stack.extend((child, depth + 1) for child in item.values())
        elif isinstance(item, list):
            stack.extend((child, depth + 1) for child in item)
