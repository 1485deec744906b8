"""Preference pairs: one prompt, a chosen and a rejected answer.

A pair is a `Document` with its turns in `meta`. Its `text` is the plain-text rendering of all turns, so filters,
deduplication and reports work on it without knowing about pairs:

    meta["prompt"]      [{"role": "user", "content": "…"}]       everything before the answer
    meta["chosen"]      {"role": "assistant", "content": "…", "reasoning_content": "…"}
    meta["rejected"]    {"role": "assistant", "content": "…"}
    meta["unfinished"]  true if the rejected answer was cut off (absent: false)

`checked_pair` converts the columns of a dataset row into a pair, or returns the reason why they are invalid.
`rewritten` applies a text-changing step to every turn, so that the training data gets the same cleaning as `text`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from kormo_plugins.documents.conversation import checked, plain_text, rewritten_message
from kormo_plugins.documents.conversation import rewritten as rewritten_conversation
from kormo_plugins.documents.document import Document, Reject
from kormo_plugins.documents.message import Message, Role
from kormo_plugins.documents.shapes import PLAIN, TurnForm, json_turns, transcript, turn_list

PROMPT, CHOSEN, REJECTED, UNFINISHED = "prompt", "chosen", "rejected", "unfinished"
"""Keys of `Document.meta`."""
SYSTEM = "system"
"""Column of a dataset; in a pair the system turn becomes the first turn of the prompt."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt and two answers.

    Args:
        prompt: turns that end before the assistant speaks; at least one user turn.
        chosen: the better answer, with or without `reasoning_content`.
        rejected: the worse one.
        unfinished: the rejected answer was truncated, for example by a length limit.
    """

    prompt: list[Message]
    chosen: Message
    rejected: Message
    unfinished: bool = False

    @property
    def thinking(self) -> bool:
        """Whether the model is asked to reason first, that is, whether one of the answers has reasoning."""
        return "reasoning_content" in self.chosen or "reasoning_content" in self.rejected


def checked_pair(columns: Mapping[str, object], form: TurnForm = PLAIN) -> Pair | Reject:
    """Converts a row of a preference dataset into a pair.

    Args:
        columns: `chosen` and `rejected`, each a string, a message, a list of messages (also as JSON text), or the
            transcript of a whole conversation (HH-RLHF); `prompt` (string, list or transcript) if the two do not start
            with it themselves; and `system`, the text of a system turn to put first.
        form: format of a turn given as a mapping.
    Returns:
        The pair, its messages in new dicts, or the reason why the row is invalid.
    """
    sides: dict[str, list[Message]] = {}
    for name in (CHOSEN, REJECTED):
        turns = _whole(columns, name, form)
        parsed = turns if isinstance(turns, Reject) else checked(turns)
        if isinstance(parsed, Reject):
            return Reject(f"{name}: {parsed.reason}")
        sides[name] = parsed
    *prompt, chosen = sides[CHOSEN]
    *other, rejected = sides[REJECTED]
    if prompt != other:
        return Reject("the two sides answer different prompts")
    unfinished = bool(columns.get(UNFINISHED, False))
    if chosen == rejected and not unfinished:
        return Reject("the two sides are the same")
    return Pair(prompt, chosen, rejected, unfinished)


def _whole(columns: Mapping[str, object], name: str, form: TurnForm) -> list[object] | Reject:
    """System turn, prompt and one answer as one list of turns, not validated yet."""
    side, prompt, system = columns.get(name), columns.get(PROMPT), columns.get(SYSTEM)
    if side is None:
        return Reject("missing")
    answer = _turns(side, "assistant", form, whole=prompt is None)
    before = [] if prompt is None else _turns(prompt, "user", form, whole=True)
    if len(answer) == 1:
        turns = [*before, *answer]
    elif prompt is None or _begins(answer, before):
        turns = answer
    else:
        return Reject("turns that do not begin with the prompt")
    if system is None or system == "":
        return turns
    first = turns[0]
    if isinstance(first, Mapping) and first.get("role") == "system":
        return turns if first.get("content") == system else Reject("a system turn beside the column of the system turn")
    return [{"role": "system", "content": system}, *turns]


def _begins(answer: Sequence[object], before: Sequence[object]) -> bool:
    return len(answer) > len(before) and all(
        isinstance(one, Mapping) and isinstance(other, Mapping) and one.get("content") == other.get("content")
        for one, other in zip(before, answer, strict=False)
    )


def _turns(value: object, role: Role, form: TurnForm, *, whole: bool) -> list[object]:
    """The turns in a column.

    Args:
        role: role of a plain string.
        whole: a string may be the transcript of a conversation instead of one turn.
    """
    if isinstance(value, str):
        turns = transcript(value) if whole else None
        if turns and role == "user" and _is_open(turns[-1]):
            turns = turns[:-1]
        value = json_turns(value, form.keys) or turns or [{"role": role, "content": value}]
    listed = turn_list(value, form.keys)
    return [value] if isinstance(listed, Reject) else [form.renamed(turn) for turn in listed]


def _is_open(turn: object) -> bool:
    """Whether a transcript ends with the label of a turn that has no text yet."""
    return isinstance(turn, Mapping) and turn.get("role") == "assistant" and not str(turn.get("content")).strip()


def pair_of(document: Document) -> Pair | None:
    """The pair of a document; None if it is not a pair."""
    meta = document.meta
    prompt = meta.get(PROMPT)
    turns = [*prompt, meta.get(CHOSEN), meta.get(REJECTED)] if isinstance(prompt, list) else [None]
    if not all(isinstance(turn, Mapping) and isinstance(turn.get("content"), str) for turn in turns):
        return None
    return Pair(meta[PROMPT], meta[CHOSEN], meta[REJECTED], bool(meta.get(UNFINISHED, False)))


def text_of(pair: Pair) -> str:
    """The plain-text rendering of a pair; the `text` of its document."""
    return plain_text([*pair.prompt, pair.chosen, pair.rejected])


def with_pair(document: Document, pair: Pair) -> Document:
    """Returns the document with this pair in `meta` and `text` rendered from it."""
    meta = {**document.meta, PROMPT: pair.prompt, CHOSEN: pair.chosen, REJECTED: pair.rejected}
    if pair.unfinished:
        meta[UNFINISHED] = True
    return replace(document, text=text_of(pair), meta=meta)


def rewritten(document: Document, step: Callable[[Document], Document | Reject]) -> Document | Reject:
    """Applies a corpus step to a document of any kind: plain text, conversation or pair.

    For a pair, the step first runs on the whole document, so that filters judge the rendered text. If it changed the
    text but not the turns, it is applied to the content and the reasoning of each turn separately, and the pair is
    validated again: answers that differed only in white space may now be equal.

    Returns:
        The document; or the step's reject, for the whole or for one turn; or the reason why the pair became invalid.
    """
    pair, before = pair_of(document), document.text
    if pair is None:
        return rewritten_conversation(document, step)
    result = step(document)
    if isinstance(result, Reject) or result.text == before or _agrees(result):
        return result
    turns: list[Message] = []
    for message in (*pair.prompt, pair.chosen, pair.rejected):
        changed = rewritten_message(document, message, step)
        if isinstance(changed, Reject):
            return changed
        turns.append(changed)
    *prompt, chosen, rejected = turns
    again = checked_pair({PROMPT: prompt, CHOSEN: chosen, REJECTED: rejected, UNFINISHED: pair.unfinished})
    return again if isinstance(again, Reject) else with_pair(result, again)


def _agrees(document: Document) -> bool:
    """Whether `text` matches the pair's turns, that is, whether the step updated both itself."""
    pair = pair_of(document)
    return pair is not None and text_of(pair) == document.text
