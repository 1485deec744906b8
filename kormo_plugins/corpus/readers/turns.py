"""How a dataset writes conversations: a column with a list of turns, or a question and an answer.

Datasets name the fields of a turn and its roles in many ways; the recipe says in which, so that `conversations.checked`
meets one form:

    messages: conversation                                            KORMo's own: role, content, reasoning_content
    messages: {question: question, answer: answer}                    two columns, one exchange
    messages: {column: conversations, role: from, content: value, roles: {human: user, gpt: assistant}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from kormo_plugins.corpus.params import Strict


class Turns(Strict):
    """How a conversation is written in a row: in one column (a string is its name), or as a question and an answer."""

    column: str | None = Field(default=None, description="column with the list of turns")
    role: str = Field(default="role", description="key of a turn's role")
    content: str = Field(default="content", description="key of a turn's text")
    reasoning: str = Field(default="reasoning_content", description="key of an assistant's reasoning, where it has one")
    roles: dict[str, str] = Field(
        default_factory=dict, description="the dataset's names of roles -> system, user, assistant, tool"
    )
    question: str | None = Field(default=None, description="column of what the user asks")
    answer: str | None = Field(default=None, description="column of what the assistant answers")

    @model_validator(mode="before")
    @classmethod
    def _column(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one(self) -> Turns:
        if (self.column is None) == (self.question is None) or (self.question is None) != (self.answer is None):
            raise ValueError("give column, or question and answer")
        return self

    @property
    def columns(self) -> list[str]:
        """The columns that a row must have."""
        return [name for name in (self.column, self.question, self.answer) if name is not None]


def turns(row: Mapping[str, Any], how: Turns) -> Any:
    """The turns of a row as `conversations.checked` takes them; what is not of that form is handed on as it is."""
    if how.column is None:
        return [
            {"role": "user", "content": row[how.question or ""]},
            {"role": "assistant", "content": row[how.answer or ""]},
        ]
    found = row[how.column]
    return [_turn(turn, how) for turn in found] if isinstance(found, list | tuple) else found


def _turn(turn: Any, how: Turns) -> Any:
    if not isinstance(turn, Mapping):
        return turn
    role = turn.get(how.role)
    return {
        "role": how.roles.get(role, role) if isinstance(role, str) else role,
        "content": turn.get(how.content),
        "reasoning_content": turn.get(how.reasoning),
        "tool_calls": turn.get("tool_calls"),
    }
