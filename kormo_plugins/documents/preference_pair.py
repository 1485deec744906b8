"""Preference pairs: one prompt, two answers to it, and which of them is better.

A pair is a `Document` like any other: its turns are in `meta`, and its `text` is what a person would read of all of
them, so that filters, deduplication and reports need to know nothing about pairs:

    meta["prompt"]      [{"role": "user", "content": "…"}]       everything before the answer
    meta["chosen"]      {"role": "assistant", "content": "…", "reasoning_content": "…"}
    meta["rejected"]    {"role": "assistant", "content": "…"}
    meta["unfinished"]  true if the rejected answer was cut off before it ended (absent: false)

`checked_pair` turns the columns of somebody's dataset into a pair, or says in a few words why they are none;
`rewritten` applies a step that changes text to every turn, so that nothing is clean in `text` and dirty in what is
trained on.
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
"""Column of a dataset; in a pair the system turn is the first of the prompt."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt and two answers.

    Args:
        prompt: at least a user's turn; ends before the assistant speaks.
        chosen: the better answer, with or without `reasoning_content`.
        rejected: the worse one.
        unfinished: the rejected answer stops without an end, as text does that ran into a length limit.
    """

    prompt: list[Message]
    chosen: Message
    rejected: Message
    unfinished: bool = False

    @property
    def thinking(self) -> bool:
        """Whether the model is asked to think first: one of the answers did."""
        return "reasoning_content" in self.chosen or "reasoning_content" in self.rejected


def checked_pair(columns: Mapping[str, object], form: TurnForm = PLAIN) -> Pair | Reject:
    """The pair that a row of a preference dataset holds.

    Args:
        columns: `chosen` and `rejected`, each a text, a message, a list of messages (also as JSON text), or the
            transcript of a whole conversation (HH-RLHF); with `prompt` (text, list or transcript) where the two do not
            begin with it themselves, and `system`, the text of a system turn in front.
        form: how a turn is written where it is a mapping.
    Returns:
        the pair, its messages in new dicts, or the reason why this is none.
    """
    sides: dict[str, list[Message]] = {}
    for name in (CHOSEN, REJECTED):
        turns = _whole(columns, name, form)
        found = turns if isinstance(turns, Reject) else checked(turns)
        if isinstance(found, Reject):
            return Reject(f"{name}: {found.reason}")
        sides[name] = found
    *prompt, chosen = sides[CHOSEN]
    *other, rejected = sides[REJECTED]
    if prompt != other:
        return Reject("the two sides answer different prompts")
    unfinished = bool(columns.get(UNFINISHED, False))
    if chosen == rejected and not unfinished:
        return Reject("the two sides are the same")
    return Pair(prompt, chosen, rejected, unfinished)


def _whole(columns: Mapping[str, object], name: str, form: TurnForm) -> list[object] | Reject:
    """System turn, prompt and one side as one list of turns, none of them checked yet."""
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
    """The turns that a column holds.

    Args:
        role: whose a plain text is.
        whole: a text may be the transcript of a conversation, rather than one turn.
    """
    if isinstance(value, str):
        said = transcript(value) if whole else None
        if said and role == "user" and _is_open(said[-1]):
            said = said[:-1]
        value = json_turns(value, form.keys) or said or [{"role": role, "content": value}]
    found = turn_list(value, form.keys)
    return [value] if isinstance(found, Reject) else [form.renamed(turn) for turn in found]


def _is_open(turn: object) -> bool:
    """Whether a transcript ends with the label of a turn that is still to be written."""
    return isinstance(turn, Mapping) and turn.get("role") == "assistant" and not str(turn.get("content")).strip()


def pair_of(document: Document) -> Pair | None:
    """The pair of a document; None if it is something else."""
    meta = document.meta
    prompt = meta.get(PROMPT)
    turns = [*prompt, meta.get(CHOSEN), meta.get(REJECTED)] if isinstance(prompt, list) else [None]
    if not all(isinstance(turn, Mapping) and isinstance(turn.get("content"), str) for turn in turns):
        return None
    return Pair(meta[PROMPT], meta[CHOSEN], meta[REJECTED], bool(meta.get(UNFINISHED, False)))


def text_of(pair: Pair) -> str:
    """What a person reads of a pair; the `text` of its document."""
    return plain_text([*pair.prompt, pair.chosen, pair.rejected])


def with_pair(document: Document, pair: Pair) -> Document:
    """The document as this pair: its keys in `meta`, and the `text` that belongs to it."""
    meta = {**document.meta, PROMPT: pair.prompt, CHOSEN: pair.chosen, REJECTED: pair.rejected}
    if pair.unfinished:
        meta[UNFINISHED] = True
    return replace(document, text=text_of(pair), meta=meta)


def rewritten(document: Document, step: Callable[[Document], Document | Reject]) -> Document | Reject:
    """A corpus step applied to a document, whatever it holds: a text, a conversation or a pair.

    Of a pair, the step first sees the whole, so that a filter judges what a person reads. Did it change the text and
    not the turns, it is applied to the content and the reasoning of every turn by itself, and the pair is checked
    again: two sides that differed in white space alone may have become the same.

    Returns:
        the document; or the step's reject, of the whole or of a turn; or the reason why it is no pair any more.
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
    """Whether the text of a pair's document is that of its turns: the step saw to them itself."""
    pair = pair_of(document)
    return pair is not None and text_of(pair) == document.text
