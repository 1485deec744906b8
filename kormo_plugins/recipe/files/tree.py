"""A recipe as a tree of `Block`s (mappings) and `Leaf`s (anything else), each with its file, and ⊕ of two trees.

`a ⊕ b`: mappings are merged key by key; anything else in `b` replaces the value in `a`, including `null` and the empty
mapping `{}` (`shares: {}` removes the shares). ⊕ is associative, so a chain of recipes means the same however it is
divided into files. Only `plugins` is a union, parents first: Axolotl loads our plugin only if the child lists it, so
every child has this key, and replacing it would silently disable the parent's plugins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

UNITED = ("plugins",)
Keys = tuple[object, ...]


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
