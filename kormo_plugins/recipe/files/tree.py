"""A recipe as a tree of `Block`s (mappings) and `Leaf`s (anything else), each with its file, and ⊕ of two trees.

`a ⊕ b`: mappings are merged key by key; anything else in `b` replaces the value in `a`, including `null` and the empty
mapping `{}` (`shares: {}` removes the shares). ⊕ is associative, so a chain of recipes means the same however it is
divided into files. Only `plugins` is a union, parents first: Axolotl loads our plugin only if the child lists it, so
every child has this key, and replacing it would silently disable the parent's plugins.

Of `ALTERNATIVES` exactly one is given. A block that gives one says of each other that it is absent, which ⊕ treats as
any other value, so it stays associative. Two in the same block are left to the checks of the recipe, which refuse them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

UNITED = ("plugins",)
Keys = tuple[object, ...]
ANY_NAME = "*"
_ORIGINS = (("reader",), ("generator",), ("tokens",))
ALTERNATIVES: dict[tuple[str, ...], tuple[tuple[str, ...], ...]] = {
    ("kormo", "tokenizer"): (("train",), ("path",), ("hub", "revision")),
    ("kormo", "monitor"): (("every_steps",), ("every_tokens",)),
    ("kormo", "data", "sources", ANY_NAME): _ORIGINS,
    ("kormo", "monitor", "external_eval", "sources", ANY_NAME): _ORIGINS,
    ("sources", ANY_NAME): _ORIGINS,
}
"""Block -> its alternatives; of each the key that chooses it, then those that belong to it."""


class _Absent:
    """The value of a key that an alternative takes away."""


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value that is replaced as a whole: scalar, list or null."""

    value: object
    file: str
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """A mapping. `replaces`: it replaces the inherited mapping instead of being merged with it."""

    children: dict[object, Block | Leaf]
    file: str
    replaces: bool = False


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
    if isinstance(base, Leaf):  # kept, so that the result also replaces what comes earlier in the chain
        return Block(own.children, own.file, replaces=True)
    children = dict(base.children)
    for key, child in own.children.items():
        children[key] = merge(children[key], child, (*keys, key)) if key in children else child
    return Block(children, own.file, base.replaces)


def plain(node: Block | Leaf) -> Any:
    """The tree as plain mappings, lists and values."""
    if isinstance(node, Leaf):
        return node.value
    return {key: plain(child) for key, child in node.children.items()}


def leaves(node: Block | Leaf, keys: Keys = ()) -> Iterator[tuple[Keys, Leaf]]:
    """All leaves with their keys, in order; an empty mapping counts as a leaf."""
    if isinstance(node, Leaf):
        yield keys, node
    elif not node.children:
        yield keys, Leaf({}, node.file)
    else:
        for key, child in node.children.items():
            yield from leaves(child, (*keys, key))


def taken_away(values: Mapping[str, object], file: str, at: Keys) -> dict[object, Block | Leaf]:
    """The keys that the mapping at `at` takes away from what it inherits, since it gives an alternative to them."""
    choices = alternatives_at(at)
    if all(values.get(choice[0]) is None for choice in choices):
        return {}
    others = [choice for choice in choices if values.get(choice[0]) is None]
    return {key: Leaf(ABSENT, file) for choice in others for key in choice if key not in values}


def alternatives_at(at: Keys) -> tuple[tuple[str, ...], ...]:
    """The alternatives of the block at `at`; none for most."""
    for pattern, choices in ALTERNATIVES.items():
        if len(at) == len(pattern) and all(map(_fits, at, pattern)):
            return choices
    return ()


def _fits(key: object, pattern: str) -> bool:
    return key == pattern or (pattern == ANY_NAME and isinstance(key, str))


def without_absent(node: Block | Leaf) -> Block | Leaf:
    """The tree of a whole recipe, without the keys that are taken away."""
    if isinstance(node, Leaf):
        return node
    children = {key: without_absent(child) for key, child in node.children.items() if not _is_absent(child)}
    return Block(children, node.file, node.replaces)


def _is_absent(node: Block | Leaf) -> bool:
    return isinstance(node, Leaf) and node.value is ABSENT
