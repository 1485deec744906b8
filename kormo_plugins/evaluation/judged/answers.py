"""Answers of the evaluated model: generated turn by turn, written to `answers.jsonl`, read again for comparisons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from kormo_plugins.documents.document import Reject
from kormo_plugins.endpoint.client import Answer
from kormo_plugins.errors import KormoError, in_words
from kormo_plugins.evaluation.generation.batches import Sampling
from kormo_plugins.evaluation.generation.speaker import LocalSpeaker, Speaker, Turn
from kormo_plugins.evaluation.judged.questions import Question
from kormo_plugins.store.atomic import write_text

FILE = "answers.jsonl"


@dataclass(frozen=True)
class Answered:
    """A conversation with its answers.

    Args:
        answers: one text per turn; empty if missing.
        notes: per turn, `stop` or `length`, or the reason why the answer is missing.
    """

    question: Question
    answers: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def cut(self) -> int:
        """Number of answers that were truncated at the maximum length."""
        return self.notes.count("length")

    @property
    def missing(self) -> int:
        """Number of turns without an answer."""
        return sum(not answer for answer in self.answers)

    def row(self, **more: object) -> dict[str, object]:
        """As a line of `answers.jsonl`."""
        return {
            "id": self.question.id,
            "category": self.question.category,
            "language": self.question.language,
            "turns": list(self.question.turns),
            "answers": list(self.answers),
            "notes": list(self.notes),
            **more,
        }


def answer_all(speaker: Speaker, questions: Sequence[Question], sampling: Sampling) -> list[Answered]:
    """Answers every turn of every question, with the previous answers in the conversation.

    Raises:
        Unreachable: the model's endpoint does not answer.
    """
    histories: list[list[Turn]] = [[] for _ in questions]
    answers: list[list[str]] = [[] for _ in questions]
    notes: list[list[str]] = [[] for _ in questions]
    for turn in range(max((len(one.turns) for one in questions), default=0)):
        for language in ("ko", "en"):
            rows = [n for n, one in enumerate(questions) if turn < len(one.turns) and one.language == language]
            if not rows:
                continue
            if isinstance(speaker, LocalSpeaker):
                speaker.language = language
            for row in rows:
                histories[row].append({"role": "user", "content": questions[row].turns[turn]})
            replies = speaker.reply([histories[row] for row in rows], sampling)
            for row, reply in zip(rows, replies, strict=True):
                text, note = _settled(reply)
                histories[row].append({"role": "assistant", "content": text})
                answers[row].append(text)
                notes[row].append(note)
    return [
        Answered(question, tuple(texts), tuple(reasons))
        for question, texts, reasons in zip(questions, answers, notes, strict=True)
    ]


def _settled(reply: Answer | Reject) -> tuple[str, str]:
    return ("", reply.reason) if isinstance(reply, Reject) else (reply.text.strip(), reply.finish)


def write_rows(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Writes JSON lines atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_answers(path: Path, questions: Sequence[Question]) -> dict[str, tuple[str, ...]]:
    """Another model's answers to these questions, by question id.

    Args:
        path: `answers.jsonl`, a folder that contains one, or FastChat's answer file of a model.
    Raises:
        KormoError: the file cannot be read, or answers are missing.
    """
    file = path / FILE if path.is_dir() else path
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        answers = {str(_one_of(row, "id", "question_id")): _texts(row) for row in rows}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise KormoError(
            where=f"kormo eval: --against {file}",
            found=in_words(error),
            why="the answers of the other model are JSON lines with id and answers",
            do="name the answers.jsonl that an evaluation of it wrote, or FastChat's file of its answers",
        ) from None
    missing = [one.id for one in questions if len(answers.get(one.id, ())) < len(one.turns)]
    if missing:
        raise KormoError(
            where=f"kormo eval: --against {file}",
            found=f"no answers to {len(missing)} of {len(questions)} questions ({', '.join(missing[:5])}…)",
            why="a pair consists of two answers to one question",
            do="evaluate the other model on the same questions first",
        )
    return answers


def _one_of(row: dict[str, object], *names: str) -> object:
    return next(row[name] for name in names if row.get(name) is not None) if any(n in row for n in names) else row["id"]


class _Choice(TypedDict):
    turns: list[str]


class _Line(TypedDict, total=False):
    """A line of our file or of FastChat's."""

    id: str
    question_id: str
    answers: list[str]
    choices: list[_Choice]


def _texts(row: _Line) -> tuple[str, ...]:
    texts = row["answers"] if "answers" in row else row["choices"][0]["turns"]
    return tuple(str(one) for one in texts)
