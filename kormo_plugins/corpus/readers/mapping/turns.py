"""Formats of conversations: a column with a list of turns, or a question and an answer.

Datasets use different names for the fields and roles of a turn. The recipe declares them, so that
`documents.conversation` handles a single form:

    messages: conversation                                            KORMo's own: role, content, reasoning_content
    messages: {question: question, answer: answer}                    two columns, one exchange
    messages: {question: instruction, input: input, answer: output}   Alpaca's, with extra input
    messages: {column: conversations, role: from, content: value, roles: {human: user, gpt: assistant}}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic import Field, model_validator

from kormo_plugins.corpus.params import Strict
from kormo_plugins.documents.document import Reject
from kormo_plugins.documents.shapes import TurnForm, exchanges, turn_list

ALWAYS = frozenset({"tool_calls", "function_call", "name", "tool_call_id"})
"""Keys of a turn that have the same name in every dataset."""
CALLS = "function_call"
"""A role in ShareGPT sets: an assistant turn that contains the JSON text of its calls."""
Value = Callable[[Mapping[str, object], str], object]


def by_name(row: Mapping[str, object], name: str) -> object:
    """The value in the column `name`; None if it is missing."""
    return row.get(name)


class TurnKeys(Strict):
    """The format of a turn."""

    role: str = Field(default="role", description="key of the role in a turn")
    content: str = Field(default="content", description="key of the text in a turn")
    reasoning: str = Field(
        default="reasoning_content",
        description="key of the reasoning in an assistant turn, where it has any; with question and answer: the "
        "column of the reasoning",
    )
    weight: str = Field(default="weight", description="key of the weight of an answer in the loss: 1 trained, 0 not")
    train: str = Field(default="train", description="key of the same switch as true or false")
    roles: dict[str, str] = Field(
        default_factory=dict, description="role names in the dataset -> system, user, assistant or tool"
    )

    @property
    def keys(self) -> frozenset[str]:
        """All keys that a turn may have."""
        return ALWAYS | {self.role, self.content, self.reasoning, self.weight, self.train}

    @property
    def form(self) -> TurnForm:
        """The same in the form that `documents` takes, without recipe types."""
        return TurnForm((self.role, self.content), lambda turn: as_turn(turn, self))


class Turns(TurnKeys):
    """The format of a conversation in a row: one column (a string is its name), or a question and an answer."""

    column: str | None = Field(default=None, description="column with the list of turns")
    question: str | None = Field(default=None, description="column of the user's question")
    answer: str | None = Field(default=None, description="column of the assistant's answer")
    input: str | None = Field(
        default=None, description="column of additional input (Alpaca), appended to the question after a blank line"
    )
    history: str | None = Field(default=None, description="column of earlier exchanges: [[question, answer], …]")
    system: str | None = Field(default=None, description="column of the system turn; it may be empty")
    tools: str | None = Field(
        default=None, description="column of the signatures of the functions that may be called; it may be empty"
    )

    @model_validator(mode="before")
    @classmethod
    def _column(cls, value: object) -> object:
        return {"column": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one(self) -> Turns:
        if (self.column is None) == (self.question is None) or (self.question is None) != (self.answer is None):
            raise ValueError("give either column, or question and answer")
        if self.column is not None and (self.input or self.history):
            raise ValueError("input and history apply to question and answer, not to a column of turns")
        return self

    @property
    def columns(self) -> list[str]:
        """The columns that a row must have."""
        return [name for name in (self.column, self.question, self.answer) if name is not None]

    @property
    def optional(self) -> list[str]:
        """The columns that a row may have."""
        beside = self.reasoning if self.column is None else None
        return [name for name in (self.input, self.history, self.system, self.tools, beside) if name is not None]


def turns(row: Mapping[str, object], how: Turns, value: Value = by_name) -> list[object] | Reject:
    """The turns of a row in the form of `documents.conversation`, or the reason why it has none.

    Args:
        value: returns the value of a column; None if it is missing.
    """
    parsed = _exchange(row, how, value) if how.column is None else _listed(value(row, how.column), how)
    if isinstance(parsed, Reject) or how.system is None:
        return parsed
    system = value(row, how.system)
    if system is None or system == "":
        return parsed
    first = parsed[0]
    if isinstance(first, Mapping) and first.get("role") == "system":
        if first.get("content") == system:
            return parsed
        return Reject("a system turn beside the column of the system turn")
    return [{"role": "system", "content": system}, *parsed]


def _listed(value: object, how: TurnKeys) -> list[object] | Reject:
    listed = turn_list(value, (how.role, how.content))
    return listed if isinstance(listed, Reject) else [as_turn(turn, how) for turn in listed]


def _exchange(row: Mapping[str, object], how: Turns, value: Value) -> list[object] | Reject:
    question, answer = (value(row, name or "") for name in (how.question, how.answer))
    about = value(row, how.input) if how.input else None
    if about is not None and not isinstance(about, str):
        return Reject(f"column {how.input!r} is no text")
    if about and about.strip() and isinstance(question, str):
        question = f"{question.rstrip()}\n\n{about}"
    before = value(row, how.history) if how.history else None
    earlier = turn_list(before) if before else []
    if isinstance(earlier, Reject):
        return Reject(f"column {how.history!r}: {earlier.reason}")
    reasoning = value(row, how.reasoning)
    thought = {"reasoning_content": reasoning} if reasoning else {}
    return [*earlier, *exchanges([(question, answer)])[:1], {"role": "assistant", "content": answer, **thought}]


def as_turn(turn: object, how: TurnKeys) -> object:
    """Renames a turn's keys to those that `documents.turn` expects; anything but a mapping is returned unchanged."""
    if not isinstance(turn, Mapping):
        return turn
    role = turn.get(how.role)
    if role is None and {how.role, how.content} != {"role", "content"} and turn.get("role") in ("user", "assistant"):
        return turn  # made from exchanges or a transcript
    role = how.roles.get(role, role) if isinstance(role, str) else role
    if role == CALLS:
        return {"role": "assistant", "content": None, "tool_calls": turn.get(how.content)}
    return {
        "role": {"developer": "system", "function": "tool"}.get(str(role), role),
        "content": turn.get(how.content),
        "reasoning_content": turn.get(how.reasoning),
        "weight": turn.get(how.weight),
        "train": turn.get(how.train),
        "tool_calls": turn.get("tool_calls") or turn.get("function_call"),
    }
