"""Formats of preference pairs: which column holds the prompt, and which the two answers.

pair: {}                                                          prompt (or question, …), chosen, rejected
pair: {prompt: question, system: system}                          orca pairs
pair: {chosen: response_1, rejected: response_2}                  other names
pair: {prompt: conversations, role: from, content: value, roles: {human: user, gpt: assistant}}       ShareGPT
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from kormo_plugins.corpus.readers.mapping.turns import TurnKeys
from kormo_plugins.documents.conversation import TOOLS
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.documents.preference_pair import (
    CHOSEN,
    PROMPT,
    REJECTED,
    SYSTEM,
    UNFINISHED,
    checked_pair,
    with_pair,
)
from kormo_plugins.documents.tool_calls import signatures

PROMPTS = (PROMPT, "question", "instruction", "conversations", "messages")
"""Common names of the prompt column; `question` is used by orca sets, `conversations` by ShareGPT."""


class PairColumns(TurnKeys):
    """The role of each column, and the format of turns that are mappings."""

    prompt: str | None = Field(
        default=None,
        description=f"column of the prompt; null: the one of {', '.join(PROMPTS)} that exists, or none if chosen and "
        "rejected both begin with the prompt",
    )
    system: str = Field(default=SYSTEM, description="column of the system turn; it may be missing or empty")
    tools: str = Field(
        default=TOOLS,
        description="column of the signatures of the functions that may be called; it may be missing or empty",
    )
    chosen: str = Field(default=CHOSEN, description="column of the preferred answer")
    rejected: str = Field(default=REJECTED, description="column of the rejected answer")

    @property
    def columns(self) -> list[str]:
        """The columns that a row must have."""
        return [self.chosen, self.rejected, *([self.prompt] if self.prompt else [])]

    @property
    def optional(self) -> list[str]:
        """The columns that a row may have."""
        return [self.system, self.tools, UNFINISHED, *(() if self.prompt else PROMPTS)]

    @property
    def of_turns(self) -> list[str]:
        """The columns that may hold lists of turns."""
        return [self.chosen, self.rejected, *([self.prompt] if self.prompt else PROMPTS)]

    def names(self, row: Mapping[str, object]) -> dict[str, str] | Reject:
        """Key of a pair -> column of this row that holds it."""
        prompts = [self.prompt] if self.prompt else [name for name in PROMPTS if row.get(name) is not None]
        if len(prompts) > 1 and prompts[0] != PROMPT:
            return Reject(f"{' and '.join(prompts)}: one of them is the prompt")
        names = {SYSTEM: self.system, CHOSEN: self.chosen, REJECTED: self.rejected, UNFINISHED: UNFINISHED}
        return names | ({PROMPT: prompts[0]} if prompts else {})


def as_pair(document: Document, row: Mapping[str, object], how: PairColumns) -> Document | Reject:
    """The document with the pair of a row, or the reason why it is invalid; other `meta` is kept."""
    names = how.names(row)
    if isinstance(names, Reject):
        return names
    pair = checked_pair({key: row.get(name) for key, name in names.items()}, how.form)
    tools = signatures(row.get(how.tools))
    if isinstance(pair, Reject):
        return pair
    if isinstance(tools, Reject):
        return tools
    document.meta |= {TOOLS: tools} if tools else {}
    return with_pair(document, pair)
