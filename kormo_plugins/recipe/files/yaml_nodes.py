"""YAML text as a tree of nodes; refuses what YAML would silently accept, or crash on.

    limits     depth and number of values are counted in the parser's events, before anything recursive runs: 100,000
               open brackets crash libyaml's composer with a segmentation fault, and ten lines of aliases or merge keys
               can expand to billions of values
    faults     a key given twice (YAML keeps the last), `no:` as a key (YAML reads false), `12:00:00` (YAML 1.1 reads
               43200), `010` (YAML 1.1 reads 8), tags for anything but plain values

All faults of a file are found in one pass, each with its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

MAX_DEPTH = 64
"""Maximum depth of nesting; deeper files are accidents or attacks."""

MAX_VALUES = 200_000
"""Maximum number of values of a file, before and after aliases and merge keys are expanded."""

_CORE = "tag:yaml.org,2002:"
_MERGE = _CORE + "merge"
_PLAIN = frozenset(_CORE + name for name in ("map", "seq", "str", "int", "float", "bool", "null", "merge"))
_TRUTHS = frozenset(yaml.SafeLoader.bool_values)
_SEXAGESIMAL = re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?")
_LEADING_ZERO = re.compile(r"[-+]?0[\d_]+")


@dataclass(frozen=True, slots=True)
class NodeFault:
    """An error in a line (counted from 1) of a file."""

    line: int
    found: str
    why: str
    do: str


class TooLarge(Exception):
    """The text is nested too deeply or has too many values; the message says which."""


def compose(text: str, loader: type[yaml.SafeLoader]) -> yaml.Node | None:
    """The tree of the text's only document; None if it is empty.

    Raises:
        TooLarge: deeper than `MAX_DEPTH`, or more than `MAX_VALUES` values.
        yaml.YAMLError: text that is not YAML.
    """
    _measure(text, loader)
    return yaml.compose(text, Loader=loader)


def _measure(text: str, loader: type[yaml.SafeLoader]) -> None:
    depth = values = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        values += isinstance(event, yaml.NodeEvent)
        if depth > MAX_DEPTH:
            raise TooLarge(f"more than {MAX_DEPTH} levels of nesting")
        if values > MAX_VALUES:
            raise TooLarge(f"more than {MAX_VALUES:,} values")


def faults_of(root: yaml.Node) -> Iterator[NodeFault]:
    """All errors of a tree, in the order of lines; each node is visited once.

    Raises:
        TooLarge: merge keys that stand for more than `MAX_VALUES` values.
    """
    problems: list[NodeFault] = []
    waiting, seen = [root], {id(root)}
    while waiting:
        node = waiting.pop()
        problems += _faults_at(node)
        for child in _children(node):
            if id(child) not in seen:
                seen.add(id(child))
                waiting.append(child)
    if not problems:
        _measure_merges(root)
    yield from sorted(problems, key=lambda fault: fault.line)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _faults_at(node: yaml.Node) -> Iterator[NodeFault]:
    line = node.start_mark.line + 1
    if node.tag not in _PLAIN:
        short = node.tag.replace(_CORE, "!!")
        quoted = short == "!!value"  # `=` alone
        yield NodeFault(
            line,
            "=" if quoted else f"the tag {short}",
            "a recipe holds mappings, lists and plain values",
            "put it in quotes" if quoted else "remove the tag",
        )
    elif isinstance(node, yaml.MappingNode):
        yield from _keys(node)
    elif isinstance(node, yaml.ScalarNode):
        yield from _scalar(node, line)


_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""What a quoted value can name by an escape (`"\\0"`) and no file holds: NUL, and half of a surrogate pair."""


def _scalar(node: yaml.ScalarNode, line: int) -> Iterator[NodeFault]:
    value, kind = str(node.value), node.tag.removeprefix(_CORE)
    if no_text := _NO_TEXT.search(value):
        yield NodeFault(
            line,
            f"the character U+{ord(no_text.group()):04X}",
            "neither file names nor texts can contain it",
            "remove it, or write the character that is meant",
        )
    if node.style is None or node.style == "":
        if kind in ("int", "float") and _SEXAGESIMAL.fullmatch(value):
            yield NodeFault(
                line,
                value,
                "YAML 1.1 reads it as a number to the base 60, and other programs as text",
                f'put it in quotes: "{value}"',
            )
            return
        if _LEADING_ZERO.fullmatch(value):
            number = value.lstrip("+-0_") or "0"
            yield NodeFault(
                line,
                value,
                "YAML 1.1 reads a leading zero as base 8, and other programs as base 10 or text",
                f'write {number}, or put it in quotes: "{value}"',
            )
            return
    try:
        readable = kind != "bool" or value.lower() in _TRUTHS
        if kind == "int":
            yaml.SafeLoader("").construct_yaml_int(node)
        elif kind == "float":
            yaml.SafeLoader("").construct_yaml_float(node)
    except (ValueError, OverflowError, IndexError):
        readable = False
    if not readable:
        yield NodeFault(line, value[:80], f"the file calls it {kind}, which it is not", "remove the tag, or correct it")


def _keys(node: yaml.MappingNode) -> Iterator[NodeFault]:
    seen: dict[tuple[str, str], int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        kind = key.tag.removeprefix(_CORE)
        if kind not in ("str", "int", "merge") or not isinstance(key, yaml.ScalarNode):
            shown = str(key.value) if isinstance(key, yaml.ScalarNode) else f"a {kind}"
            reads = {"bool": "true or false", "null": "nothing"}.get(kind, f"a {kind}")
            yield NodeFault(line, f"the key {shown!r}", f"YAML reads it as {reads}, not as text", "put it in quotes")
            continue
        name = (kind, str(key.value))
        if name in seen:
            yield NodeFault(
                line,
                f"the key {key.value!r} for the second time (first in line {seen[name]})",
                "YAML would silently keep only the last one",
                "remove one of the two",
            )
        seen[name] = line
        if kind == "merge" and not _mergeable(value):
            yield NodeFault(
                line,
                "<< with something other than a mapping",
                "a merge key takes the keys of mappings",
                "write `<<: *name`, or `<<: [*one, *other]`",
            )


def _mergeable(value: yaml.Node) -> bool:
    parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
    return all(isinstance(part, yaml.MappingNode) for part in parts)


def _measure_merges(root: yaml.Node) -> None:
    """Raises TooLarge if nested merge keys expand to too many pairs or contain themselves."""
    sizes: dict[int, int] = {}

    def size(node: yaml.MappingNode, depth: int) -> int:
        """Number of keys that a mapping has once its merge keys (`<<`) are written out, each node measured once.

        Raises:
            TooLarge: there are too many, or they are nested too deeply.
        """
        if depth > MAX_DEPTH:
            raise TooLarge(f"merge keys more than {MAX_DEPTH} deep")
        if id(node) not in sizes:
            total = 0
            for key, value in node.value:
                merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
                total += sum(size(part, depth + 1) for part in merged) if key.tag == _MERGE else 1
            sizes[id(node)] = total
        if sizes[id(node)] > MAX_VALUES:
            raise TooLarge(f"merge keys that expand to more than {MAX_VALUES:,} values")
        return sizes[id(node)]

    waiting, seen = [root], {id(root)}
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            size(node, 0)
        for child in _children(node):
            if id(child) not in seen:
                seen.add(id(child))
                waiting.append(child)
