"""From a row of somebody's dataset to a document: which column is the text, and which is the id.

The published KORMo sets have three shapes: a `text` column, a `question` and an `answer`, and a `conversation` (a
list of turns with role, content and sometimes reasoning_content). All three are said in the recipe, none is guessed.
Turns become a text for pretraining (`text: {conversation: …}`) or stay turns for fine-tuning (`messages: …`).
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from kormo_plugins.corpus.params import Strict
from kormo_plugins.corpus.readers.mapped import OTHERS, top, unmapped
from kormo_plugins.corpus.readers.pairs import PairColumns, as_pair
from kormo_plugins.corpus.readers.turns import Turns, turns
from kormo_plugins.documents.conversation import NOTES, TOOLS, conversation, with_messages
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.documents.tool_calls import signatures

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
        """The columns that the template uses. Only plain names: no attribute, index or format is followed."""
        found = []
        for _, name, spec, conversion in string.Formatter().parse(self.template or ""):
            if name is None:
                continue
            if not name or spec or conversion or set(name) & set(".[]{}"):
                raise ValueError(f"{{{name}}} is not a plain column name")
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
        return frozenset(map(top, [*_needed(self), *optional, self.id]))

    @property
    def ignored(self) -> frozenset[str] | None:
        """The columns that are left out on purpose; None: all that are not mapped."""
        if self.ignore == OTHERS or (self.ignore is None and self.messages is None and self.pair is None):
            return None
        return frozenset(self.ignore or ())


def to_document(row: Mapping[str, Any], columns: Columns, place: str) -> Document | Reject:
    """The row as a document.

    Args:
        place: file and line; the id where the row has none.
    Returns:
        the document, or the reason why the row is none.
    """
    if not isinstance(row, Mapping):
        return Reject("not an object")
    missing = [name for name in _needed(columns) if row.get(name) is None]
    if missing:
        return Reject(f"no column {missing[0]!r}")
    if fault := unmapped(row, columns):
        return Reject(fault)
    name = row.get(columns.id)
    document = Document(id=place if name is None or name == "" else str(name), text="")
    document.meta = {name: _plain(row[name]) for name in columns.keep}
    if columns.messages is not None or columns.pair is not None:
        talk = _turns(document, row, columns)
        if isinstance(talk, Reject):
            return talk
        document = talk
    else:
        text = _text(row, columns.text)
        if isinstance(text, Reject):
            return text
        document.text = text
    if not document.text or document.text.isspace():
        return Reject("empty text")
    if columns.language:
        document.language = str(row[columns.language])
    if columns.license:
        document.license = str(row[columns.license])
    return document


def _turns(document: Document, row: Mapping[str, Any], columns: Columns) -> Document | Reject:
    """The document as the conversation or the pair of a row."""
    if columns.pair is not None:
        return as_pair(document, row, columns.pair)
    assert columns.messages is not None
    how = columns.messages
    given = turns(row, how)
    found = given if isinstance(given, Reject) else conversation(given)
    tools = signatures(row.get(how.tools) if how.tools else None)
    if isinstance(found, Reject):
        return found
    if isinstance(tools, Reject):
        return tools
    document = with_messages(document, found.messages)
    document.meta |= ({TOOLS: _plain(tools)} if tools else {}) | ({NOTES: list(found.notes)} if found.notes else {})
    return document


def _plain(value: Any) -> Any:
    """A column's value in JSON: dates, decimals and bytes of Parquet files become text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _needed(columns: Columns) -> list[str]:
    text = columns.text
    names = [text] if isinstance(text, str) else [text.conversation] if text.conversation else text.names
    talk = columns.messages or columns.pair
    names = talk.columns if talk is not None else names
    return [*names, *(name for name in (columns.language, columns.license) if name), *columns.keep]


def _text(row: Mapping[str, Any], text: str | Text) -> str | Reject:
    if isinstance(text, str):
        value = row[text]
        return value if isinstance(value, str) else Reject(f"column {text!r} is no text")
    if text.conversation:
        return render(row[text.conversation])
    values = {name: row[name] for name in text.names}
    if not all(isinstance(value, str | int | float) for value in values.values()):
        return Reject("a column of the template is no text")
    return (text.template or "").format_map(values)


def render(turns: Any) -> str | Reject:
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
