"""Prompts of the judge, and parsers of its verdicts.

Two layouts: MT-Bench's, in which a score is written `[[7]]` and a winner `[[A]]`, `[[B]]` or, for a tie, `[[C]]`
(Zheng et al., arXiv 2306.05685), and LogicKor's, in which a Korean judge ends with `점수: 7`. The wording of
both is ours: a score is only comparable with published ones as far as the judge and its prompt are.

The judged text is data: it is delimited by markers that the prompt explains, and of several verdicts in one text the
last counts, since a judge may quote an answer that contains one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import yaml

from kormo_plugins.evaluation.generation.speaker import Turn
from kormo_plugins.evaluation.judged.questions import Question

FILE = Path(__file__).with_suffix(".yml")
LOWEST, HIGHEST = {"mt_bench": 1, "logickor": 0}, 10
NO_ANSWER = {"ko": "(답이 없음)", "en": "(no answer)"}


@lru_cache(maxsize=1)
def _wording() -> dict[str, dict[str, str]]:
    """The templates `single` and `pair` per language (and for LogicKor)."""
    values: dict[str, dict[str, str]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return values


_ROLES = {"en": ("User", "Assistant", "Right answer"), "ko": ("사용자", "도우미", "바른 답")}
_RATING = re.compile(r"\[\[\s*(\d{1,2}(?:\.\d+)?)\s*\]\]")
_POINTS = re.compile(r"점수[\s*]*[:：][\s*]*(\d{1,2}(?:\.\d+)?)")
_WINNER = re.compile(r"\[\[\s*([ABC])\s*\]\]")


def single(question: Question, answers: Sequence[str], turn: int, layout: str) -> list[Turn]:
    """The judge's prompt for one answer.

    Args:
        answers: at least those of the turns up to the judged one.
        turn: index of the judged answer.
        layout: `mt_bench` or `logickor`.
    """
    language = "ko" if layout == "logickor" else question.language
    system = _wording()["single"]["logickor" if layout == "logickor" else language]
    body = f"<conversation>\n{_conversation(question, answers, turn, language)}\n</conversation>"
    return _messages(system, _reference(question, turn, language), body)


def pair(question: Question, first: Sequence[str], second: Sequence[str], turn: int) -> list[Turn]:
    """The judge's prompt for two answers, with `first` as A."""
    language = question.language
    parts = [
        f"<{name}>\n{_conversation(question, answers, turn, language)}\n</{name}>"
        for name, answers in (("conversation_A", first), ("conversation_B", second))
    ]
    return _messages(_wording()["pair"][language], _reference(question, turn, language), "\n\n".join(parts))


def _messages(system: str, reference: str, body: str) -> list[Turn]:
    return [{"role": "system", "content": system}, {"role": "user", "content": reference + body}]


def _conversation(question: Question, answers: Sequence[str], turn: int, language: str) -> str:
    user, assistant, _ = _ROLES[language]
    lines = []
    for number in range(turn + 1):
        answer = _unmarked(answers[number]) or NO_ANSWER[language]
        lines += [f"[{user}]\n{question.turns[number]}", f"[{assistant}]\n{answer}"]
    return "\n\n".join(lines)


def _unmarked(answer: str) -> str:
    """An answer without the markers that delimit it."""
    return re.sub(r"</?conversation(_[AB])?>", "", answer).strip()


def _reference(question: Question, turn: int, language: str) -> str:
    right = question.references[turn]
    return f"[{_ROLES[language][2]}]\n{right}\n\n" if right else ""


def read_score(text: str, layout: str) -> float | None:
    """The score in a verdict; None: no score, or outside 1 to 10 (`logickor`: from 0, for an answer not in Korean)."""
    matches = (_POINTS if layout == "logickor" else _RATING).findall(text)
    if not matches or not LOWEST[layout] <= float(matches[-1]) <= HIGHEST:
        return None
    return float(matches[-1])


def read_winner(text: str) -> str | None:
    """The winner in a verdict: `A`, `B` or `C` (a tie); None: no winner."""
    matches = _WINNER.findall(text)
    return str(matches[-1]) if matches else None
