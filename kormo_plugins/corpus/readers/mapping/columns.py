"""Maps a dataset row to a document: which column is the text, and which is the id.

The published KORMo sets have three layouts: a `text` column, a `question` and an `answer`, and a `conversation` (a list
of turns with role, content and sometimes reasoning_content). The recipe declares the layout; it is never guessed. Turns
become one text for pretraining (`text: {conversation: …}`) or stay turns for fine-tuning (`messages: …`).

A column is given by name or by a path into it (`meta.url`, `instances[0].output`); a column whose name equals the whole
path takes precedence. Paths follow only mappings and lists, never object attributes.
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
"""Maximum nesting depth of a column that is kept."""
THINK = ("<think>\n", "\n</think>\n")


class Text(Strict):
    """A text made from one or several columns: exactly one of the two."""

    template: str | None = Field(
        default=None,
        description="template with column names in braces: '{question}\\n\\n{answer}' (a literal brace is doubled)",
    )
    conversation: str | None = Field(
        default=None,
        description="column with a list of turns {role, content, reasoning_content}; their texts are joined with a "
        "blank line, reasoning between <think> marks",
    )

    @model_validator(mode="after")
    def _one(self) -> Text:
        if (self.template is None) == (self.conversation is None):
            raise ValueError("give exactly one of template and conversation; null takes an inherited one away")
        if self.template is not None and not self.names:
            raise ValueError("the template names no column")
        return self

    @property
    def names(self) -> list[str]:
        """The columns (or paths) that the template uses. Format specs and conversions are not allowed."""
        columns = []
        for _, name, spec, conversion in string.Formatter().parse(self.template or ""):
            if name is None:
                continue
            if not name or spec or conversion or "{" in name or (set(name) & set(".[]") and len(steps(name)) < 2):
                raise ValueError(f"{{{name}}} is neither a column nor a path into one")
            columns.append(name)
        return columns


class Columns(Strict):
    """The role of each column."""

    text: str | Text = Field(
        default="text", description="column of the text, or a mapping that composes the text from several columns"
    )
    messages: Turns | None = Field(
        default=None,
        description="for conversations: the column with the list of turns, or a mapping that describes the format "
        "of the turns; the text is made from them",
    )
    pair: PairColumns | None = Field(
        default=None,
        description="for preference pairs: the columns of prompt, chosen and rejected, and the format of the turns; "
        "the text is made from them",
    )
    id: str = Field(
        default="id", description="column of the document's id; where it is missing, the id is file and line"
    )
    language: str | None = Field(
        default=None, description="column of the language, which overrides the source's `language`"
    )
    license: str | None = Field(
        default=None, description="column of the licence, which overrides the source's `license`"
    )
    keep: tuple[str, ...] = Field(default=(), description="additional columns to keep in the document's `meta`")
    ignore: tuple[str, ...] | Literal["others"] | None = Field(
        default=None,
        description="unmapped columns that are deliberately ignored: a list, or `others` for all of them; null: all "
        "for texts, none for conversations and pairs",
    )

    @model_validator(mode="after")
    def _text_or_messages(self) -> Columns:
        if self.messages is not None and "text" in self.model_fields_set:
            raise ValueError("give text or messages, not both: a conversation's text is made from its turns")
        if self.pair is not None and (self.messages is not None or "text" in self.model_fields_set):
            raise ValueError("give only one of pair, messages and text: a pair's text is made from its turns")
        return self

    @model_serializer(mode="wrap")
    def _serialized(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Omits newer keys while they are unset, so that the identity of existing artifacts does not change."""
        values: dict[str, object] = handler(self)
        return {key: value for key, value in values.items() if value is not None or key not in ("pair", "ignore")}

    @property
    def mapped(self) -> frozenset[str]:
        """The columns that are used."""
        turns_form = self.messages or self.pair
        optional = turns_form.optional if turns_form is not None else []
        return frozenset(map(top, [*needed(self), *optional, self.id]))

    @property
    def ignored(self) -> frozenset[str] | None:
        """The columns that are ignored explicitly; None: all that are not mapped."""
        if self.ignore == OTHERS or (self.ignore is None and self.messages is None and self.pair is None):
            return None
        return frozenset(self.ignore or ())


def to_document(row: object, columns: Columns, place: str, *, strange: bool = False) -> Document | Reject:
    """Converts a row to a document.

    Args:
        place: file and line; used as the id if the row has none.
        strange: the row may contain repeated keys (`Repeated`).
    Returns:
        The document, or the reason why the row is invalid.
    Raises:
        RecursionError: a value is nested too deeply.
    """
    if not isinstance(row, Mapping):
        return Reject("not an object")
    values = {name: _present(lookup(row, name)) for name in needed(columns)}
    if fault := _fault(row, values, columns, strange):
        return Reject(fault)
    document = Document(id=own_id(row, columns) or place, text="")
    document.meta = {name: _plain(values[name]) for name in columns.keep}
    if columns.messages is not None or columns.pair is not None:
        with_turns = _turns(document, row, columns)
        if isinstance(with_turns, Reject):
            return with_turns
        document = with_turns
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
    """A fault that does not depend on the values, or "": a column is missing, repeated, or not mapped."""
    if strange and (fault := _twice(row, values, columns)):
        return fault
    for name, value in values.items():
        if value is None and not (name in columns.keep and root(name) in row):
            return f"no column {name!r}"
    return unmapped(row, columns)


def own_id(row: Mapping[str, object], columns: Columns) -> str:
    """The row's own id; "" if it has none."""
    name = _present(lookup(row, columns.id))
    return "" if name is None else str(name).encode("utf-8", "backslashreplace").decode()


def _turns(document: Document, row: Mapping[str, object], columns: Columns) -> Document | Reject:
    """Adds the conversation or the pair of a row to the document."""
    if columns.pair is not None:
        names = [*columns.pair.columns, *columns.pair.optional]
        return as_pair(document, {**row, **{name: lookup(row, name) for name in names}}, columns.pair)
    assert columns.messages is not None
    form = columns.messages
    raw_turns = turns(row, form, lookup)
    parsed = raw_turns if isinstance(raw_turns, Reject) else conversation(raw_turns)
    tools = signatures(lookup(row, form.tools) if form.tools else None)
    if isinstance(parsed, Reject):
        return parsed
    if isinstance(tools, Reject):
        return tools
    document = with_messages(document, parsed.messages)
    document.meta |= ({TOOLS: _plain(tools)} if tools else {}) | ({NOTES: list(parsed.notes)} if parsed.notes else {})
    return document


def needed(columns: Columns) -> list[str]:
    """The columns or paths that a row must have; the optional id column is not included."""
    text = columns.text
    names = [text] if isinstance(text, str) else [text.conversation] if text.conversation else text.names
    turns_form = columns.messages or columns.pair
    names = turns_form.columns if turns_form is not None else names
    return [*names, *(name for name in (columns.language, columns.license) if name), *columns.keep]


def _present(value: object) -> object:
    """The value; None for NaN, which pandas writes for missing values."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _twice(row: Mapping[str, object], values: Mapping[str, Any], columns: Columns) -> str:
    """The reject reason if a mapped key is repeated with different values, else ""."""
    repeated = set(row.keys_twice) if isinstance(row, Repeated) else set()
    twice = next(iter(sorted(repeated & columns.mapped)), None)
    twice = twice or next((key for value in values.values() if (key := repeated_in(value)) is not None), None)
    return "" if twice is None else f"the key {twice!r} is there twice"


def _plain(value: object, depth: int = 0) -> object:
    """Converts a column's value to JSON: dates, decimals and bytes become strings, NaN becomes null.

    Raises:
        RecursionError: it is nested more than `MAX_DEPTH` deep, the limit for safe serialization.
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
    """Renders a conversation as plain text for pretraining, without a chat template."""
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
