"""Which columns of a row are neither mapped nor told to be ignored.

Of a conversation or a preference pair every column can change what is trained: an `input` that is asked too, a `system`
turn, a `weight`. So a row of such a source with a column (or a turn with a key) that the recipe does not name is a
reject, and a source that begins with such rows is refused with the mapping that is likely meant. Columns of a text are
metadata, and are ignored unless the recipe says `ignore: []`.
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
"""`ignore: others`: every column that is not mapped is left out on purpose."""
REASON = "neither mapped nor ignored: "
HEAD = 64
"""Rows of a source that are looked at before it is built."""
LIKELY = {
    "input": ("input", "context", "passage"),
    "system": ("system", "system_prompt", "system_message"),
    "history": ("history",),
    "tools": ("tools", "functions"),
    "reasoning": ("reasoning_content", "reasoning", "thinking", "thought", "cot", "rationale"),
    "weight": ("weight",),
    "train": ("train", "trainable", "loss"),
}
"""Key of `messages` -> usual names of what it maps."""
KEYS_OF_TURN = ("reasoning", "weight", "train")
OF_TURN = "messages[]."
"""What stands before the name of a turn's key, here and in `ignore`."""
OF_COLUMNS = {"language": ("language", "lang"), "license": ("license", "licence")}
"""The same for keys of `columns`."""
SHAREGPT = {"role": "from", "content": "value", "roles": {"human": "user", "gpt": "assistant"}}
"""How ShareGPT sets write a turn."""
OF_SHAREGPT = {f"{OF_TURN}from", f"{OF_TURN}value"}


@runtime_checkable
class WithColumns(Protocol):
    """Parameters of a reader of rows."""

    @property
    def columns(self) -> Columns:
        """Which columns are the document's text, conversation or pair, and which are its metadata."""


Reader = Callable[[object, int, int], Read]


def unmapped(row: Mapping[str, object], columns: Columns) -> str:
    """The reason why a row is refused: the columns and keys of turns that the recipe does not name; "" if none."""
    if columns.ignored is None:
        return ""
    known = columns.mapped | columns.ignored
    names = [str(name) for name, value in row.items() if name not in known and not _empty(value)]
    for column, how in _turn_columns(columns):
        names += _keys(row.get(column), how, known)
    return REASON + ", ".join(sorted(names)) if names else ""


def unmapped_names(names: Iterable[str], columns: Columns) -> str:
    """The same for the columns of a table, by its schema."""
    return unmapped(dict.fromkeys(names, True), columns)


def top(path: str) -> str:
    """The column that a path like `instances[0].output` begins at."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _turn_columns(columns: Columns) -> list[tuple[str, TurnKeys]]:
    """The columns that may hold lists of turns, and how these are written."""
    if columns.pair is not None:
        return [(name, columns.pair) for name in columns.pair.of_turns]
    how = columns.messages
    return [(how.column, how)] if how is not None and how.column is not None else []


def _keys(value: object, how: TurnKeys, known: frozenset[str]) -> list[str]:
    turns = [] if value is None else turn_list(value, how.form.keys)
    found: set[str] = set()
    for turn in turns if isinstance(turns, list) else ():
        if isinstance(turn, Mapping):
            names = how.keys | {"role", "content"}  # the two of turns that a transcript was divided into
            found |= {f"{OF_TURN}{key}" for key, value in turn.items() if key not in names and not _empty(value)}
    return sorted(found - known)


def _empty(value: object) -> bool:
    return value is None or value == "" or value == [] or value == {}


def refuse_unmapped(read: Reader, params: object, parts: int, where: str) -> None:
    """Looks at the first rows of a source, if it is one of conversations or pairs.

    Args:
        read: its reader, which is called with `params`, a part and the number of parts.
        where: the reader's key, for the message.
    Raises:
        KormoError: some hold what the recipe does not name; all of it in one message, with the likely mapping.
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
            found=f"{'columns' if len(listed) > 1 else 'the column'} {', '.join(listed)}, which nothing maps",
            why="what stands in a row of a conversation can belong to what is asked, answered or trained",
            do=likely(listed, columns) + ("" if _of_sharegpt(listed, columns) else ignoring),
        )


def likely(names: Sequence[str], columns: Columns) -> str:
    """What to write so that these columns are used: `columns` as it stands, with the keys that would map them."""
    if {"chosen", "rejected"} <= set(names):
        return "read a preference set with `columns: {pair: {}}`"
    if _of_sharegpt(names, columns):
        names, columns = _as_sharegpt(names, columns)
    values = likely_values(names, columns)
    written = yaml.safe_dump(values, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10_000)
    return f"write `columns: {written.strip()}`"


def _of_sharegpt(names: Sequence[str], columns: Columns) -> bool:
    """Whether turns have ShareGPT's keys where `columns` takes them for the usual ones: none has a role or a text."""
    how = columns.pair if columns.pair is not None else columns.messages
    return how is not None and set(names) >= OF_SHAREGPT and (how.role, how.content) == ("role", "content")


def _as_sharegpt(names: Sequence[str], columns: Columns) -> tuple[Sequence[str], Columns]:
    """What is left of the names, and the columns, where turns are read as ShareGPT writes them."""
    values = columns.model_dump(mode="json", exclude_defaults=True)
    kind = "pair" if columns.pair is not None else "messages"
    values[kind] = values.get(kind, {}) | SHAREGPT
    return [name for name in names if name not in OF_SHAREGPT], type(columns).model_validate(values)


def likely_values(names: Sequence[str], columns: Columns) -> dict[str, Any]:
    """The keys of `columns` as it stands, and those that would map these columns."""
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
    """The keys of `messages` or `pair` that name a column, of those in `LIKELY`."""
    if columns.messages is None:
        return ("system", "tools")
    beside = ("input", "history", "reasoning") if columns.messages.column is None else ()
    return ("system", "tools", *beside)


def _key_of(name: str, table: Mapping[str, Sequence[str]]) -> str | None:
    return next((key for key, names in table.items() if name.lower() in names), None)


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else f"'{name}'"
