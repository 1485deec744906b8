"""Environment variables, `${NAME}` and `${NAME:-default}`, in dataset recipes and paths, which differ between machines.

They are allowed only there. The rest of a recipe is the same on every machine, so one recipe is one experiment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Mapping

from kormo_plugins.errors import Faults, KormoError

REFERENCE = re.compile(r"\$\{[A-Za-z_]\w*(:-[^{}]*)?\}")
"""A reference where references are not replaced."""

REFUSED = (
    "environment variables are allowed only in paths and in dataset recipes, so that a recipe means the same on "
    "every machine"
)
_REFERENCE = re.compile(r"(?P<literal>\$\$\{)|\$\{(?:(?P<body>[^{}]*)\})?")
"""`$${`, a reference, or the beginning of one that is not closed."""
_NAME = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-(?P<value>.*))?", re.DOTALL)

SHORT = 4
"""Letters from which a name that differs by one is taken for a slip."""
_NO_DIGIT = re.compile(r"\D")


def expand(value: object, where: str, environment: Mapping[str, str] | None = None) -> object:
    """`value` with every `${…}` in its strings replaced; `$${` stands for a literal `${`.

    As in a shell, `:-default` is used if the variable is unset or empty. A variable without a default must be set: an
    empty path would read the wrong folder.

    Args:
        value: any value of a recipe; mappings and lists are traversed, keys are not changed.
        where: dotted key of `value` with its file, for messages.
        environment: `os.environ` unless given.
    Raises:
        KormoError: a variable is unset and has no default, or a reference is malformed.
    """
    variables = os.environ if environment is None else environment
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: _replace(match, where, variables), value)
    if isinstance(value, Mapping):
        return {key: expand(child, f"{where}.{key}", variables) for key, child in value.items()}
    if isinstance(value, list):
        return [expand(child, f"{where}[{index}]", variables) for index, child in enumerate(value)]
    return value


def expand_paths(
    values: Mapping[str, object], where: str, paths: Container[str], later: Container[str]
) -> dict[str, object]:
    """A chain's or an ablation's mapping with the references in its paths replaced.

    Args:
        values: the file's mapping.
        where: the file, for messages.
        paths: its keys that hold a path.
        later: keys that are not changed: changes to recipes, which are resolved with those, and texts.
    Raises:
        KormoError: a reference is at another key, where it would be taken literally, or cannot be replaced.
    """
    faults = Faults()
    expanded = dict(values)
    for key, value in values.items():
        with faults.catch():
            if key in paths:
                expanded[key] = expand(value, f"{where}: {key}")
            elif key not in later and (reference := REFERENCE.search(_texts(value))):
                raise KormoError(
                    where=f"{where}: {key}",
                    found=reference[0],
                    why=REFUSED,
                    do="write the value itself",
                )
    faults.raise_any()
    return expanded


def _texts(value: object) -> str:
    """All strings in a value, one per line."""
    if isinstance(value, Mapping):
        return "\n".join(map(_texts, value.values()))
    return "\n".join(map(_texts, value)) if isinstance(value, list) else value if isinstance(value, str) else ""


def _replace(match: re.Match[str], where: str, variables: Mapping[str, str]) -> str:
    if match["literal"]:
        return "${"
    if match["body"] is None:
        raise KormoError(
            where=where,
            found=repr(match.string[match.start() :])[:80],
            why="a reference to an environment variable begins here, and it is not closed (they cannot be nested)",
            do="write ${NAME} or ${NAME:-default}, or $${ for a literal ${",
        )
    parts = _NAME.fullmatch(match["body"])
    if parts is None:
        raise KormoError(
            where=where,
            found=f"{match[0]!r}",
            why="it is neither ${NAME} nor ${NAME:-default}",
            do="write one of the two, or $${ for a literal ${",
        )
    value = variables.get(parts["name"], "")
    if value:
        return value
    if parts["default"] is not None:
        return parts["value"]
    name, state = parts["name"], "is empty" if parts["name"] in variables else "is not set"
    meant = slip_of(name, (known for known, value in variables.items() if value)) if name not in variables else None
    raise KormoError(
        where=where,
        found=f"{match[0]!r}",
        why=f"the environment variable {name} {state}, and there is no default",
        do=f"Did you mean {meant!r}?" if meant else f"export {name}=…, or write ${{{name}:-default}}",
    )


def without_consequences(faults: Iterable[KormoError], unset: Iterable[KormoError]) -> list[KormoError]:
    """Faults of a recipe, without those at values whose reference could not be replaced, or at what such a value is a
    part of: they may be about the reference alone.

    Args:
        unset: the faults of `expand`.
    """
    places = {_key(fault.where) for fault in unset}
    return [fault for fault in faults if not any(_touches(_key(fault.where), place) for place in places)]


def _touches(key: str, other: str) -> bool:
    """Whether one dotted key is the other, or is a part of it or the reverse."""
    long, short = (key, other) if len(key) > len(other) else (other, key)
    return not short or long == short or long.startswith((f"{short}.", f"{short}["))


def _key(where: str) -> str:
    """The dotted key of a place (`file: key`, `file: key: inside`)."""
    return where.partition(": ")[2].partition(": ")[0]


def slip_of(name: str, known: Iterable[str]) -> str | None:
    """The name that differs by one slip of the hand: a character more, less or other, or two that changed places, or
    the case of letters.

    For names of which similar ones mean something else (environment variables): short names and other numbers are not
    taken for a slip.
    """
    return next((one for one in sorted(set(known)) if one != name and _one_slip(name.casefold(), one.casefold())), None)


def _one_slip(one: str, other: str) -> bool:
    """Whether two texts differ by at most one insertion, deletion, replacement or transposition."""
    if one == other:
        return True
    if min(len(one), len(other)) < SHORT or _NO_DIGIT.sub("", one) != _NO_DIGIT.sub("", other):
        return False
    start = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    left, right = one[start:], other[start:]
    return left[1:] == right[1:] or left[1:] == right or left == right[1:] or left[1::-1] + left[2:] == right
