"""Verdicts: one judge's view of one answer, or of two; each is kept whatever it says.

A verdict that holds no score or winner is *unparsable*: it is counted, stays in the file with its text, and is in no
mean. One that could not be had after all tries has a reason instead of a text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from kormo_plugins.documents.document import Reject
from kormo_plugins.evaluation.generation.batches import Sampling
from kormo_plugins.evaluation.generation.speaker import LocalSpeaker, ServedSpeaker, Turn
from kormo_plugins.evaluation.judged import prompts
from kormo_plugins.evaluation.judged.questions import Question

Judge = LocalSpeaker | ServedSpeaker
CUT = "the verdict was cut at max_tokens"
BYTES_PER_TOKEN = 3.0
"""For the estimate of cost: between English (4 to 5) and Korean text (2 to 3) in the tokenizers of large models."""
USUAL_VERDICT = 150
"""Tokens of a usual verdict, for the estimate of cost."""


@dataclass(frozen=True)
class Asked:
    """One question to the judge.

    Args:
        kind: `single` or `pair`.
        turn: which answer is judged, from 0.
        swapped: the model that is evaluated stands second.
        repeat: number of the repetition, from 0; also the judge's seed.
    """

    question: str
    kind: str
    turn: int
    swapped: bool
    repeat: int
    messages: tuple[tuple[tuple[str, str], ...], ...]

    @property
    def conversation(self) -> list[Turn]:
        """As a speaker takes it."""
        return [dict(turn) for turn in self.messages]


@dataclass(frozen=True)
class Verdict:
    """What the judge said.

    Args:
        score: 1 to 10, of a single answer; None: unparsable, or a pair.
        winner: `A`, `B` or `C` as they stood; None: unparsable, or a single answer.
        reason: why there is no text, or why it cannot be read; empty for a verdict that counts.
    """

    question: str
    kind: str
    turn: int
    swapped: bool
    repeat: int
    score: float | None
    winner: str | None
    text: str
    reason: str

    @property
    def counts(self) -> bool:
        """Whether it can be read."""
        return not self.reason

    @property
    def won(self) -> float | None:
        """1 if the evaluated model won, 0.5 for a tie, 0 if it lost; None for a verdict that does not say."""
        if self.winner is None:
            return None
        return 0.5 if self.winner == "C" else float((self.winner == "A") != self.swapped)

    def row(self) -> dict[str, object]:
        """As a line of `verdicts.jsonl`."""
        return asdict(self)


def about(
    question: Question, turn: int, messages: list[Turn], repeat: int, kind: str = "single", swapped: bool = False
) -> Asked:
    """One question to the judge."""
    return Asked(question.id, kind, turn, swapped, repeat, tuple(tuple(one.items()) for one in messages))


def cost(judge: Judge, asked: Iterable[Asked], sampling: Callable[[int], Sampling]) -> tuple[int, int, int, int]:
    """Requests that are still to be sent, those that are kept from before, tokens that go in, and tokens that usually
    come out; an estimate. What is asked twice (two answers alike, in either order) is sent once."""
    once = {(one.messages, one.repeat): one for one in asked}.values()
    open_ones = [one for one in once if not judge.has(one.conversation, sampling(one.repeat))]
    size = sum(len(turn["content"].encode()) for one in open_ones for turn in one.conversation)
    count = len(open_ones)
    return count, len(once) - count, int(size / BYTES_PER_TOKEN), USUAL_VERDICT * count


def ask(judge: Judge, asked: Sequence[Asked], sampling: Callable[[int], Sampling], layout: str) -> list[Verdict]:
    """All verdicts, in order.

    Args:
        sampling: the judge's settings at each repetition.
        layout: how a score is read.
    Raises:
        Unreachable: the judge's endpoint gives nothing.
    """
    verdicts: dict[int, Verdict] = {}
    for repeat in sorted({one.repeat for one in asked}):
        places = [place for place, one in enumerate(asked) if one.repeat == repeat]
        replies = judge.reply([asked[place].conversation for place in places], sampling(repeat))
        for place, reply in zip(places, replies, strict=True):
            one = asked[place]
            if isinstance(reply, Reject):
                verdicts[place] = _verdict(one, None, None, "", reply.reason)
                continue
            score = prompts.read_score(reply.text, layout) if one.kind == "single" else None
            winner = prompts.read_winner(reply.text) if one.kind == "pair" else None
            missing = "" if score is not None or winner is not None else "unparsable"
            if missing and reply.finish == "length":
                missing = CUT
            verdicts[place] = _verdict(one, score, winner, reply.text, missing)
    return [verdicts[place] for place in range(len(asked))]


def _verdict(one: Asked, score: float | None, winner: str | None, text: str, reason: str) -> Verdict:
    return Verdict(one.question, one.kind, one.turn, one.swapped, one.repeat, score, winner, text, reason)
