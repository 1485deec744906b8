"""Verdicts of a judge on one answer, or on a pair; all are kept.

A verdict without a score or winner is *unparsable*: it is counted and stored with its text, but excluded from the
means. A request that failed after all retries has a reason instead of a text.
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
"""Bytes per token in cost estimates: between English (4 to 5) and Korean (2 to 3) in tokenizers of large models."""
USUAL_VERDICT = 150
"""Tokens of a typical verdict in cost estimates."""


@dataclass(frozen=True)
class Asked:
    """One question to the judge.

    Args:
        kind: `single` or `pair`.
        turn: index of the judged answer.
        swapped: the evaluated model's answer comes second.
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
        """The conversation to send to a `Speaker`."""
        return [dict(turn) for turn in self.messages]


@dataclass(frozen=True)
class Verdict:
    """The judge's verdict.

    Args:
        score: 1 to 10 (LogicKor: from 0), of a single answer; None: unparsable, or a pair.
        winner: `A`, `B` or `C` as presented; None: unparsable, or a single answer.
        reason: why the text is missing or cannot be parsed; empty for a valid verdict.
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
        """Whether it could be parsed."""
        return not self.reason

    @property
    def won(self) -> float | None:
        """1 if the evaluated model won, 0.5 for a tie, 0 if it lost; None without a winner."""
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


def cost(judge: Judge, questions: Iterable[Asked], sampling: Callable[[int], Sampling]) -> tuple[int, int, int, int]:
    """Estimates requests to send, cached requests, input tokens, and typical output tokens. Identical questions (two
    equal answers, in either order) are sent once."""
    once = {(one.messages, one.repeat): one for one in questions}.values()
    open_ones = [one for one in once if not judge.has(one.conversation, sampling(one.repeat))]
    size = sum(len(turn["content"].encode()) for one in open_ones for turn in one.conversation)
    count = len(open_ones)
    return count, len(once) - count, int(size / BYTES_PER_TOKEN), USUAL_VERDICT * count


def ask(judge: Judge, questions: Sequence[Asked], sampling: Callable[[int], Sampling], layout: str) -> list[Verdict]:
    """All verdicts, in order.

    Args:
        sampling: the judge's settings per repetition.
        layout: format of a score.
    Raises:
        Unreachable: the judge's endpoint does not answer.
    """
    verdicts: dict[int, Verdict] = {}
    for repeat in sorted({one.repeat for one in questions}):
        places = [place for place, one in enumerate(questions) if one.repeat == repeat]
        replies = judge.reply([questions[place].conversation for place in places], sampling(repeat))
        for place, reply in zip(places, replies, strict=True):
            one = questions[place]
            if isinstance(reply, Reject):
                verdicts[place] = _verdict(one, None, None, "", reply.reason)
                continue
            score = prompts.read_score(reply.text, layout) if one.kind == "single" else None
            winner = prompts.read_winner(reply.text) if one.kind == "pair" else None
            missing = "" if score is not None or winner is not None else "unparsable"
            if missing and reply.finish == "length":
                missing = CUT
            verdicts[place] = _verdict(one, score, winner, reply.text, missing)
    return [verdicts[place] for place in range(len(questions))]


def _verdict(one: Asked, score: float | None, winner: str | None, text: str, reason: str) -> Verdict:
    return Verdict(one.question, one.kind, one.turn, one.swapped, one.repeat, score, winner, text, reason)
