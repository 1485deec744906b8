"""The contract in readable form: each hook, its protocols, and what their members take and return."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass

from kormo_plugins import hookspecs


@dataclass(frozen=True)
class Member:
    """One method of a protocol: `(self, params: Params) -> int`, and what it does."""

    name: str
    signature: str
    doc: str


@dataclass(frozen=True)
class Part:
    """A protocol of a hook's components: its name, what it is, and its members."""

    name: str
    doc: str
    members: tuple[Member, ...]


def parts(hook: str) -> Iterator[Part]:
    """The protocols that the documentation of a hook names, in order."""
    documentation = inspect.getdoc(getattr(hookspecs, hook)) or ""
    for name in dict.fromkeys(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", documentation)))):
        kind = getattr(hookspecs, name, None)
        if inspect.isclass(kind) and getattr(kind, "_is_protocol", False):
            yield Part(name, inspect.getdoc(kind) or "", tuple(_members(kind)))


def _members(kind: type) -> Iterator[Member]:
    for name, function in vars(kind).items():
        if inspect.isfunction(function) and (name == "__call__" or not name.startswith("_")):
            signature = (
                str(inspect.signature(function)).replace("'", "").replace("(self, ", "(").replace("(self)", "()")
            )
            yield Member(name, signature, inspect.getdoc(function) or "")
