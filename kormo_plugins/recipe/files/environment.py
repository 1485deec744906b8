"""Environment variables, `${NAME}` and `${NAME:-default}`, in dataset recipes and paths, which differ between machines.

They are allowed only there. The rest of a recipe is the same on every machine, so one recipe is one experiment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Mapping

from kormo_plugins.errors import Faults, KormoError, closest

REFERENCE = re.compile(r"\$\{[A-Za-z_]\w*(:-[^{}]*)?\}")
"""A reference where references are not replaced."""

REFUSED = (
    "environment variables are allowed only in paths and in dataset recipes, so that a recipe means the same on "
    "every machine"
)
_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<body>[^{}]*)\}")
_NAME = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-(?P<value>.*))?", re.DOTALL)


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
    if match["body"] is None:
        return "${"
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
    state = "is empty" if parts["name"] in variables else "is not set"
    raise KormoError(
        where=where,
        found=f"{match[0]!r}",
        why=f"the environment variable {parts['name']} {state}, and there is no default",
        do=closest(parts["name"], variables) or f"export {parts['name']}=…, or write ${{{parts['name']}:-default}}",
    )
