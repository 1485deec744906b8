"""From a row of somebody's dataset to a document: which column is the text, and which is the id.

The published KORMo sets have three shapes: a `text` column, a `question` and an `answer`, and a `conversation` (a
list of turns with role, content and sometimes reasoning_content). All three are said in the recipe, none is guessed.
Turns become a text for pretraining (`text: {conversation: …}`) or stay turns for fine-tuning (`messages: …`).

A column is named by its name or by a path into it (`meta.url`, `instances[0].output`); a column whose name is the whole
path goes first. Only mappings and lists are followed, never the attributes of an object.
"""

from __future__ import annotations

import math
import string
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.readers.file_formats.json_values import Repeated, repeated_in
from kormo_plugins.corpus.readers.mapping.mapped import OTHERS, top, unmapped
from kormo_plugins.corpus.readers.mapping.pairs import PairColumns, as_pair
from kormo_plugins.corpus.readers.mapping.paths import lookup, root, steps
from kormo_plugins.corpus.readers.mapping.turns import Turns, turns
from kormo_plugins.documents.conversation import NOTES, TOOLS, conversation, with_messages
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.documents.tool_calls import signatures

MAX_DEPTH = 100
"""Lists and mappings within one another in a column that is kept."""
THINK = ("<think>\n", "\n</think>\n")


class Text(Strict):
    """A text made of more than one column: exactly one of the two."""

    template: str | None = Field(
        default=None, description="text with column names in braces: '{question}\\n\\n{answer}' (braces are doubled)"
    )
    conversation: str | None = Field(
        default=None,
        description="column with a list of turns {role, content, reasoning_content}, written one after "
        "the other with a blank line between them, reasoning between <think> marks",
    )

    @model_validator(mode="after")
    def _one(self) -> Text:
        if (self.template is None) == (self.conversation is None):
            raise ValueError("give exactly one of template and conversation")
        if self.template is not None and not self.names:
            raise ValueError("the template names no column")
        return self

    @property
    def names(self) -> list[str]:
        """The columns (or paths into them) that the template uses. No format and no conversion is followed."""
        found = []
        for _, name, spec, conversion in string.Formatter().parse(self.template or ""):
            if name is None:
                continue
            if not name or spec or conversion or "{" in name or (set(name) & set(".[]") and len(steps(name)) < 2):
                raise ValueError(f"{{{name}}} is neither a column nor a path into one")
            found.append(name)
        return found


class Columns(Strict):
    """Which column is what."""

    text: str | Text = Field(default="text", description="the text's column, or a mapping that makes it of several")
    messages: Turns | None = Field(
        default=None,
        description="the document is a conversation: the column with its list of turns, or a mapping "
        "that says how turns are written; its text is made of the turns",
    )
    pair: PairColumns | None = Field(
        default=None,
        description="the document is a preference pair: which columns hold prompt, chosen and rejected, "
        "and how turns are written; its text is made of them",
    )
    id: str = Field(default="id", description="column of the document's id; where it is missing: file and line")
    language: str | None = Field(default=None, description="column of the language, before the source's own")
    license: str | None = Field(default=None, description="column of the licence, before the source's own")
    keep: tuple[str, ...] = Field(default=(), description="further columns to keep on the document")
    ignore: tuple[str, ...] | Literal["others"] | None = Field(
        default=None,
        description="columns that are left out on purpose: a list, or `others`, all that are not mapped; "
        "null: of a text all others, of conversations and pairs none",
    )

    @model_validator(mode="after")
    def _text_or_messages(self) -> Columns:
        if self.messages is not None and "text" in self.model_fields_set:
            raise ValueError("give text or messages: a conversation's text is made of its turns")
        if self.pair is not None and (self.messages is not None or "text" in self.model_fields_set):
            raise ValueError("give pair, or messages, or text: a pair's text is made of its turns")
        return self

    @model_serializer(mode="wrap")
    def _serialized(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Without the keys that came later where they are not set: the identity of what was built before stays."""
        values: dict[str, object] = handler(self)
        return {key: value for key, value in values.items() if value is not None or key not in ("pair", "ignore")}

    @property
    def mapped(self) -> frozenset[str]:
        """The columns that something is made of."""
        talk = self.messages or self.pair
        optional = talk.optional if talk is not None else []
        return frozenset(map(top, [*needed(self), *optional, self.id]))

    @property
    def ignored(self) -> frozenset[str] | None:
        """The columns that are left out on purpose; None: all that are not mapped."""
        if self.ignore == OTHERS or (self.ignore is None and self.messages is None and self.pair is None):
            return None
        return frozenset(self.ignore or ())


def to_document(row: object, columns: Columns, place: str, *, strange: bool = False) -> Document | Reject:
    """The row as a document.

    Args:
        place: file and line; the id where the row has none.
        strange: the row may hold keys that were written twice (`Repeated`).
    Returns:
        the document, or the reason why the row is none.
    Raises:
        RecursionError: a value that is nested too deeply.
    """
    if not isinstance(row, Mapping):
        return Reject("not an object")
    values = {name: _present(lookup(row, name)) for name in needed(columns)}
    if fault := _fault(row, values, columns, strange):
        return Reject(fault)
    document = Document(id=own_id(row, columns) or place, text="")
    document.meta = {name: _plain(values[name]) for name in columns.keep}
    if columns.messages is not None or columns.pair is not None:
        talk = _turns(document, row, columns)
        if isinstance(talk, Reject):
            return talk
        document = talk
    else:
        text = _text(values, columns.text)
        if isinstance(text, Reject):
            return text
        document.text = text
    if not document.text or document.text.isspace():
        return Reject("empty text")
    if columns.language:
        document.language = str(values[columns.language])
    if columns.license:
        document.license = str(values[columns.license])
    return document


def _fault(row: Mapping[str, object], values: Mapping[str, object], columns: Columns, strange: bool) -> str:
    """Why a row is no document whatever its columns hold, if so: one is missing, there twice, or not mapped."""
    if strange and (fault := _twice(row, values, columns)):
        return fault
    for name, value in values.items():
        if value is None and not (name in columns.keep and root(name) in row):
            return f"no column {name!r}"
    return unmapped(row, columns)


def own_id(row: Mapping[str, object], columns: Columns) -> str:
    """The row's own id; nothing where it has none."""
    name = _present(lookup(row, columns.id))
    return "" if name is None else str(name).encode("utf-8", "backslashreplace").decode()


def _turns(document: Document, row: Mapping[str, object], columns: Columns) -> Document | Reject:
    """The document as the conversation or the pair of a row."""
    if columns.pair is not None:
        names = [*columns.pair.columns, *columns.pair.optional]
        return as_pair(document, {**row, **{name: lookup(row, name) for name in names}}, columns.pair)
    assert columns.messages is not None
    how = columns.messages
    given = turns(row, how, lookup)
    found = given if isinstance(given, Reject) else conversation(given)
    tools = signatures(lookup(row, how.tools) if how.tools else None)
    if isinstance(found, Reject):
        return found
    if isinstance(tools, Reject):
        return tools
    document = with_messages(document, found.messages)
    document.meta |= ({TOOLS: _plain(tools)} if tools else {}) | ({NOTES: list(found.notes)} if found.notes else {})
    return document


def needed(columns: Columns) -> list[str]:
    """The columns that a row must have, or paths into them; the id's, which may be missing, is not among them."""
    text = columns.text
    names = [text] if isinstance(text, str) else [text.conversation] if text.conversation else text.names
    talk = columns.messages or columns.pair
    names = talk.columns if talk is not None else names
    return [*names, *(name for name in (columns.language, columns.license) if name), *columns.keep]


def _present(value: object) -> object:
    """A value; None for NaN, which is how pandas writes what is missing."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _twice(row: Mapping[str, object], values: Mapping[str, Any], columns: Columns) -> str:
    """What is said of a row in which a key that is read was written twice with different values, if one was."""
    repeated = set(row.keys_twice) if isinstance(row, Repeated) else set()
    twice = next(iter(sorted(repeated & columns.mapped)), None)
    twice = twice or next((key for value in values.values() if (key := repeated_in(value)) is not None), None)
    return "" if twice is None else f"the key {twice!r} is there twice"


def _plain(value: object, depth: int = 0) -> object:
    """A column's value in JSON: dates, decimals and bytes of Parquet files become text, NaN null.

    Raises:
        RecursionError: it is nested more than `MAX_DEPTH` deep, more than can safely be written and read again.
    """
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _text(values: Mapping[str, object], text: str | Text) -> str | Reject:
    if isinstance(text, str):
        value = values[text]
        return value if isinstance(value, str) else Reject(f"column {text!r} is no text")
    if text.conversation:
        return render(values[text.conversation])
    if not all(isinstance(values[name], str | int | float) for name in text.names):
        return Reject("a column of the template is no text")
    parts = string.Formatter().parse(text.template or "")
    return "".join(f"{literal}{'' if name is None else values[name]}" for literal, name, _, _ in parts)


def render(turns: object) -> str | Reject:
    """A conversation as plain text, for pretraining; a chat template is the business of later stages."""
    if not isinstance(turns, list | tuple) or not turns:
        return Reject("no list of turns")
    written = []
    for turn in turns:
        content = turn.get("content") if isinstance(turn, Mapping) else None
        if not isinstance(content, str):
            return Reject("a turn without content")
        reasoning = turn.get("reasoning_content")
        written.append(f"{THINK[0]}{reasoning}{THINK[1]}{content}" if reasoning else content)
    return "\n\n".join(written)
