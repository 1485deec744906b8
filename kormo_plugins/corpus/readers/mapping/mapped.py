"""Finds the columns of a row that are neither mapped nor explicitly ignored.

In a conversation or a preference pair every column can affect the training data: an `input`, a `system` turn, a
`weight`. A row of such a source with an undeclared column (or turn key) is therefore rejected, and a source that begins
with such rows is refused with a proposed mapping. For plain text, other columns are metadata and are ignored unless the
recipe says `ignore: []`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import yaml

from kormo_plugins.corpus.readers.mapping.turns import TurnKeys
from kormo_plugins.corpus.step import Read, Rejected
from kormo_plugins.documents.shapes import turn_list
from kormo_plugins.errors import KormoError

if TYPE_CHECKING:
    from kormo_plugins.corpus.readers.mapping.columns import Columns

OTHERS = "others"
"""`ignore: others`: ignores every column that is not mapped."""
REASON = "neither mapped nor ignored: "
HEAD = 64
"""Rows of a source that are checked before it is built."""
LIKELY = {
    "input": ("input", "context", "passage"),
    "system": ("system", "system_prompt", "system_message"),
    "history": ("history",),
    "tools": ("tools", "functions"),
    "reasoning": ("reasoning_content", "reasoning", "thinking", "thought", "cot", "rationale"),
    "weight": ("weight",),
    "train": ("train", "trainable", "loss"),
}
"""Key of `messages` -> common names of the columns for it."""
KEYS_OF_TURN = ("reasoning", "weight", "train")
OF_TURN = "messages[]."
"""Prefix for the keys of a turn, here and in `ignore`."""
OF_COLUMNS = {"language": ("language", "lang"), "license": ("license", "licence")}
"""The same for the keys of `columns`."""
SHAREGPT = {"role": "from", "content": "value", "roles": {"human": "user", "gpt": "assistant"}}
"""Turn format of ShareGPT sets."""
OF_SHAREGPT = {f"{OF_TURN}from", f"{OF_TURN}value"}


@runtime_checkable
class WithColumns(Protocol):
    """Parameters of a reader that reads rows."""

    @property
    def columns(self) -> Columns:
        """The column mapping."""


Reader = Callable[[object, int, int], Read]


def unmapped(row: Mapping[str, object], columns: Columns) -> str:
    """The reject reason that names undeclared columns and turn keys; "" if there are none."""
    if columns.ignored is None:
        return ""
    known = columns.mapped | columns.ignored
    names = [str(name) for name, value in row.items() if name not in known and not _empty(value)]
    for column, how in _turn_columns(columns):
        names += _keys(row.get(column), how, known)
    return REASON + ", ".join(sorted(names)) if names else ""


def unmapped_names(names: Iterable[str], columns: Columns) -> str:
    """As `unmapped`, for the columns of a table's schema."""
    return unmapped(dict.fromkeys(names, True), columns)


def top(path: str) -> str:
    """The root column of a path like `instances[0].output`."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _turn_columns(columns: Columns) -> list[tuple[str, TurnKeys]]:
    """The columns that may hold lists of turns, with their turn formats."""
    if columns.pair is not None:
        return [(name, columns.pair) for name in columns.pair.of_turns]
    how = columns.messages
    return [(how.column, how)] if how is not None and how.column is not None else []


def _keys(value: object, how: TurnKeys, known: frozenset[str]) -> list[str]:
    turns = [] if value is None else turn_list(value, how.form.keys)
    unknown: set[str] = set()
    for turn in turns if isinstance(turns, list) else ():
        if isinstance(turn, Mapping):
            names = how.keys | {"role", "content"}  # the two keys of turns made from a transcript
            unknown |= {f"{OF_TURN}{key}" for key, value in turn.items() if key not in names and not _empty(value)}
    return sorted(unknown - known)


def _empty(value: object) -> bool:
    return value is None or value == "" or value == [] or value == {}


def refuse_unmapped(read: Reader, params: object, parts: int, where: str) -> None:
    """Checks the first rows of a source of conversations or pairs for undeclared columns.

    Args:
        read: its reader, called with `params`, a part and the number of parts.
        where: location for the error message.
    Raises:
        KormoError: undeclared columns were found; names all of them, with the likely mapping.
    """
    if not isinstance(params, WithColumns) or params.columns.ignored is None:
        return
    columns, names = params.columns, set[str]()
    for item in islice(read(params, 0, parts), HEAD):
        if isinstance(item, Rejected) and item.reason.startswith(REASON):
            names |= set(item.reason.removeprefix(REASON).split(", "))
    if names:
        listed = sorted(names)
        ignoring = f", or `ignore: [{', '.join(map(_quoted, listed))}]` or `ignore: {OTHERS}`"
        raise KormoError(
            where=f"{where}.columns",
            found=f"{'columns' if len(listed) > 1 else 'the column'} {', '.join(listed)}, neither mapped nor ignored",
            why="any column of a conversation can affect the prompt, the answer or the loss",
            do=likely(listed, columns) + ("" if _of_sharegpt(listed, columns) else ignoring),
        )


def likely(names: Sequence[str], columns: Columns) -> str:
    """A suggestion for the user: the current `columns` plus the keys that would map these names."""
    if {"chosen", "rejected"} <= set(names):
        return "read preference pairs with `columns: {pair: {}}`"
    if _of_sharegpt(names, columns):
        names, columns = _as_sharegpt(names, columns)
    values = likely_values(names, columns)
    written = yaml.safe_dump(values, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10_000)
    return f"write `columns: {written.strip()}`"


def _of_sharegpt(names: Sequence[str], columns: Columns) -> bool:
    """Whether turns have ShareGPT's keys although `columns` expects the default ones, so no role or text is found."""
    how = columns.pair if columns.pair is not None else columns.messages
    return how is not None and set(names) >= OF_SHAREGPT and (how.role, how.content) == ("role", "content")


def _as_sharegpt(names: Sequence[str], columns: Columns) -> tuple[Sequence[str], Columns]:
    """The names that remain unmapped, and the columns, if turns are read in ShareGPT's format."""
    values = columns.model_dump(mode="json", exclude_defaults=True)
    kind = "pair" if columns.pair is not None else "messages"
    values[kind] = values.get(kind, {}) | SHAREGPT
    return [name for name in names if name not in OF_SHAREGPT], type(columns).model_validate(values)


def likely_values(names: Sequence[str], columns: Columns) -> dict[str, Any]:
    """The current keys of `columns` plus those that would map these names."""
    values: dict[str, Any] = columns.model_dump(mode="json", exclude_defaults=True)
    turns = values.setdefault("pair" if columns.pair is not None else "messages", {})
    keep: list[str] = []
    for name in names:
        plain, of_turn = name.removeprefix(OF_TURN), name.startswith(OF_TURN)
        key, own = _key_of(plain, LIKELY), _key_of(plain, OF_COLUMNS)
        if key in (KEYS_OF_TURN if of_turn else _keys_of_columns(columns)):
            turns[key] = plain
        elif own and not of_turn:
            values[own] = plain
        else:
            keep.append(name)
    kept = [name for name in keep if not name.startswith(OF_TURN)]
    values |= {"keep": [*values.get("keep", ()), *kept]} if kept else {}
    if len(keep) > len(kept):
        values["ignore"] = [name for name in keep if name.startswith(OF_TURN)]
    return values


def _keys_of_columns(columns: Columns) -> tuple[str, ...]:
    """The keys of `messages` or `pair` in `LIKELY` that name a column."""
    if columns.messages is None:
        return ("system", "tools")
    beside = ("input", "history", "reasoning") if columns.messages.column is None else ()
    return ("system", "tools", *beside)


def _key_of(name: str, table: Mapping[str, Sequence[str]]) -> str | None:
    return next((key for key, names in table.items() if name.lower() in names), None)


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else f"'{name}'"
